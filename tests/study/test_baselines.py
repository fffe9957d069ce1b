"""The recipes that every search is compared with."""

from __future__ import annotations

from typing import Any

from autoreg.engine.log.baseline_names import BASELINE_NAMES
from autoreg.study.baselines import baseline_recipes, narrow

TRAINING: dict[str, Any] = {"lr": 0.06, "weight_decay": 1e-4, "epochs": 10, "finetune_epochs": 4, "start": "pretrained"}


def test_every_baseline_that_a_search_begins_with_is_known_to_the_report_by_name() -> None:
    """The report tells them from proposals by these names alone."""
    assert tuple(baseline_recipes(dict, {"training": TRAINING})) == BASELINE_NAMES


def test_what_is_never_trained_has_no_narrow_baseline() -> None:
    known = baseline_recipes(dict, {"training": {**TRAINING, "epochs": 0}})
    assert not any("width" in name for name in known)


def test_a_narrow_network_trains_from_scratch_for_as_long_as_the_dense_one() -> None:
    recipe = narrow(0.25, TRAINING)
    assert recipe == {"network": {"width": 0.25}, "training": {**TRAINING, "start": "scratch"}}
