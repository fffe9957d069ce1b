"""Small data of the shape that the tasks with a path want; the repository needs no data files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SPEAKERS = ("ada", "bob", "cleo", "dan", "eve", "finn")


@pytest.fixture
def speech_file(tmp_path: Path) -> Path:
    """Six speakers, four words, ten recordings of each word by each: 240 of 16 bands and 20 steps."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(4, 1, 16, 20))
    y = np.tile(np.arange(4), 60).astype(np.uint8)
    speaker = np.repeat(SPEAKERS, 40)
    x = words[y] + 0.5 * rng.normal(size=(240, 1, 16, 20)) + np.repeat(np.arange(6), 40)[:, None, None, None]
    path = tmp_path / "speech.npz"
    np.savez(path, x=x.astype(np.float16), y=y, speaker=speaker, test=np.zeros(240, dtype=bool))
    return path


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """4,000 characters of words that follow each other by chance."""
    rng = np.random.default_rng(0)
    words = ("the", "cat", "sat", "on", "a", "mat", "and", "ran")
    path = tmp_path / "text.txt"
    path.write_text(" ".join(rng.choice(words, size=1500))[:4000], encoding="utf-8")
    return path
