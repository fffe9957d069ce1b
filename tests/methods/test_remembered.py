"""Values that are computed once for each set of scores."""

from __future__ import annotations

import pytest
import torch

from autoreg.methods.sparsity.allocations import remembered as module
from autoreg.methods.sparsity.allocations.lamp import Lamp
from autoreg.methods.sparsity.allocations.remembered import MAX_REMEMBERED, remembered
from autoreg.methods.sparsity.allocations.shapes import LayerShape


def test_a_value_is_computed_once_until_its_scores_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place, or in their order; and again when many others were asked for."""
    asked: list[int] = []

    def value() -> int:
        asked.append(1)
        return len(asked)

    one, other = torch.rand(3), torch.rand(3)
    assert [remembered("x", given, value) for given in ([one, other], (one, other), [other, one])] == [1, 1, 2]
    assert remembered("y", [one, other], value) == 3
    one[0] = 2.0
    assert [remembered("x", [one, other], value) for _ in range(2)] == [4, 4]
    for _ in range(MAX_REMEMBERED):
        remembered("x", [torch.rand(3)], value)
    assert remembered("x", [one, other], value) == 4, "few numbers in all: nothing is forgotten"
    monkeypatch.setattr(module, "MAX_REMEMBERED_SCORES", 0)
    for _ in range(MAX_REMEMBERED):
        remembered("x", [torch.rand(3)], value)
    assert remembered("x", [one, other], value) == len(asked) == 5 + 2 * MAX_REMEMBERED


def test_lamp_follows_scores_that_change_in_place() -> None:
    """What goes from each layer is what fresh copies of the scores would give."""
    layers = [LayerShape("a", (4, 5)), LayerShape("b", (10, 3))]
    scores = {layer.name: torch.rand(layer.shape) for layer in layers}
    for _ in range(3):
        for amount in (0.2, 0.5, 0.9):
            fresh = {name: score.clone() for name, score in scores.items()}
            assert Lamp().levels(layers, amount, scores) == Lamp().levels(layers, amount, fresh)
        scores["a"] *= 3
