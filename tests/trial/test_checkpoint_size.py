"""The size of a training that is left in its midst, against what stands in the store."""

from __future__ import annotations

from typing import Any

import pytest

from autoreg.trial.checkpoint_size import copies_of_weights
from autoreg.trial.objective import TaskObjective
from tests.trial.conftest import evaluate


@pytest.mark.parametrize(
    ("optimizer", "momentum", "averaging", "copies"),
    [
        ("sgd", 0.9, "none", [2, 2]),
        ("sgd", 0.0, "ema", [2, 2]),
        ("adamw", 0.9, {"lawa": {"count": 3}}, [5, 6]),
    ],
)
def test_it_is_that_of_what_trials_leave(
    optimizer: str, momentum: float, averaging: Any, copies: list[int], objective: TaskObjective
) -> None:
    training = {"epochs": 4, "finetune_epochs": 0, "schedule": "constant_cooldown", "lr": 0.01}
    recipe = {"training": {**training, "optimizer": optimizer, "momentum": momentum}, "averaging": averaging}
    evaluate(objective, recipe)
    phase = objective.chain(objective.setup.complete(recipe), seed=0, fold="all").phases[0]
    predicted = copies_of_weights(phase.settings, list(phase.trunk))
    assert predicted == pytest.approx(copies, rel=1e-3)  # beside weights Adam keeps the number of its step
    weights = sum(p.numel() * p.element_size() for p in objective.setup.fresh_model(0).parameters())
    for key, expected in zip(phase.trunk.values(), predicted, strict=True):
        entry = objective.setup.store.get(key)
        assert entry is not None
        held = sum(t.nbytes for t in entry.tensors.values() if t.is_floating_point())
        assert held / weights == pytest.approx(expected, rel=0.05)  # batch norm's statistics are no weights
