"""Recipes that every search is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autoreg.engine.log.baseline_names import DENSE, INT8, UNIFORM_CHANNELS, UNIFORM_WEIGHTS
from autoreg.trial.compression_phases import FINETUNE_RATE

Complete = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Fills a recipe with the defaults of its space and task (`Setup.complete`)."""

TUNED_SETTINGS = 6  # training settings that the small dense network is tuned over


def baseline_recipes(complete: Complete, dense: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The recipes every report carries: dense, int8, and uniform removal of channels and of weights.

    Args:
        complete: fills recipes.
        dense: the dense recipe, whose training they have.
    """
    eight = {"quantizer": {"rtn": {}}, "weights": {"bits": 8}, "activations": {"bits": 8}}
    changes: dict[str, dict[str, Any]] = {
        DENSE: {},
        INT8: {"quantization": eight},
        UNIFORM_CHANNELS: {"sparsity": {"channel": _one_shot(0.5)}},
        UNIFORM_WEIGHTS: {"sparsity": {"weight": _one_shot(0.8)}},
    }
    training = dict(dense["training"])
    return {name: complete({**change, "training": training}) for name, change in changes.items()}


def full_recipes(complete: Complete, dense: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The further baselines of `--baselines full`: other allocations and a random mask at 80 % sparsity."""
    chosen = {f"{name} weights 80 %": ("magnitude", name) for name in ("global", "erk", "lamp")}
    chosen["random mask 80 %"] = ("random", "uniform")
    training = dict(dense["training"])
    return {
        name: complete({"sparsity": {"weight": _one_shot(0.8, criterion, allocation)}, "training": training})
        for name, (criterion, allocation) in chosen.items()
    }


def small_dense_recipes(complete: Complete, training: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """A network of half the channels trained from scratch, at settings drawn around the study's own.

    Args:
        complete: fills recipes.
        training: of the study; all its epochs go to the small network.
        seed: of the draws.

    Returns:
        `TUNED_SETTINGS` recipes, of which validation data chooses one.
    """
    rng = np.random.default_rng([seed, 0xF3])
    epochs = training["epochs"] + training["finetune_epochs"]
    drawn = ((10 ** rng.uniform(-0.7, 0.7), 10 ** rng.uniform(-1, 1)) for _ in range(TUNED_SETTINGS - 1))
    recipes = []
    for rate, decay in [(1.0, 1.0), *drawn]:
        changed = {
            **training,
            "start": "scratch",
            "lr": min(10.0, training["lr"] * rate / FINETUNE_RATE),  # all its epochs count as fine-tuning
            "weight_decay": min(10.0, training["weight_decay"] * decay),
            "epochs": 0,
            "finetune_epochs": epochs,
        }
        recipes.append(complete({"sparsity": {"channel": _one_shot(0.5, "random")}, "training": changed}))
    return recipes


def _one_shot(amount: float, criterion: str = "magnitude", allocation: str = "uniform") -> dict[str, Any]:
    """Removal of an amount at once, after training."""
    return {
        "criterion": {criterion: {}},
        "allocation": {allocation: {}},
        "amount": amount,
        "schedule": {"one_shot": {}},
    }
