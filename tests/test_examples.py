"""The examples run as they stand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_objective_of_ones_own() -> None:
    study = load("own_objective").main(trials=12)
    assert len(study.trials) == 12
    assert len(study.front) >= 1


def test_a_plain_loop_learns_and_keeps_a_fifth_of_its_weights() -> None:
    assert load("plain_loop").main(epochs=4) < 0.3
