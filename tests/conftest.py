"""What tests of the whole share: a store for all of them, so that the dense references are trained once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from autoreg.methods import discovery, registry


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of finished phases, shared by the tests of a run."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def speech_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic spectrograms in the layout of the spoken digits: 6 speakers, 10 classes told apart by a bright band."""
    rng = np.random.default_rng(0)
    speaker = np.repeat([f"s{i}" for i in range(6)], 40)
    y = np.tile(np.arange(10), 24)
    x = rng.normal(size=(240, 1, 32, 51)).astype(np.float32)
    for i, label in enumerate(y):
        x[i, 0, 3 * label : 3 * label + 3] += 2.0
    path = tmp_path_factory.mktemp("speech") / "speech.npz"
    np.savez(path, x=x.astype(np.float16), y=y, speaker=speaker, test=np.zeros(240, bool))
    return path


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few thousand characters of text with some structure."""
    rng = np.random.default_rng(0)
    words = ["the ", "cat ", "sat ", "on ", "a ", "mat. ", "and ", "ran\n"]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(words[i] for i in rng.integers(len(words), size=4000)))
    return path


@pytest.fixture
def own_methods() -> Iterator[None]:
    """Methods that a test declares are gone after it."""
    registry()
    before = dict(discovery._CLASSES)
    yield
    discovery._CLASSES.clear()
    discovery._CLASSES.update(before)
