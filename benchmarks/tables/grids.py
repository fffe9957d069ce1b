"""The grids of our own tables: tasks small enough to train thousands of recipes, and the recipes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from autoreg.errors import InputError
from autoreg.space import Space

RULES = [
    "quantization.weights.bits == 32 and quantization.activations.bits == 8",
    "quantization.weights.bits != 32 and quantization.activations.bits == 32",
    "quantization.quantizer == 'lsq' and quantization.weights.bits in [8, 32]",
    "sparsity == 'weight' and layers.drop != 'none'",
    "sparsity == 'none' and layers.drop == 'none' and training.finetune_epochs != 0",
]
"""Twice the same (a quantizer at 32 bits, fine-tuning of what has lost nothing), or left out to keep the grid small."""
NO_ROUNDING_TO_TWO = "quantization.quantizer == 'rtn' and quantization.weights.bits == 2"
"""Two bits without training never work."""


@dataclass(frozen=True)
class Grid:
    """A table to be: every allowed config of `space`, completed to a recipe and carried out on every column.

    Attributes:
        name: of the table.
        task: name or import path of the task.
        params: its parameters, beside those that say where data is.
        data: names of the parameters that say where data is.
        space: a space without continuous ranges, in the words of the YAML.
        dense: the config of `space` that is the largest network with default training.
        seeds: of the columns; with several folds column k is fold k with `seeds[k]`.
    """

    name: str
    task: str
    params: Mapping[str, Any]
    data: tuple[str, ...]
    space: Mapping[str, Any]
    dense: Mapping[str, Any]
    seeds: tuple[int, ...]

    def configs(self) -> list[dict[str, Any]]:
        """All configs, in the order of the table."""
        return list(Space.from_dict(self.space, name=self.name).enumerate())

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the grid and all its configs."""
        text = json.dumps([asdict(self), self.configs()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def grid_of(name: str) -> Grid:
    """A grid by name.

    Raises:
        InputError: there is no such grid.
    """
    if name not in GRIDS:
        raise InputError(f"grid {name!r} is not known; allowed: {', '.join(GRIDS)}")
    return GRIDS[name]


QUANTIZATION = {
    "quantizer": ["rtn", "lsq"],
    "weights": {"bits": [2, 4, 8, 32]},
    "activations": {"bits": [8, 32]},
}
UNCOMPRESSED = {
    "sparsity": "none",
    "quantization": {"quantizer": "rtn", "weights": {"bits": 32}, "activations": {"bits": 32}},
    "layers": {"drop": "none"},
}


def _training(**more: Any) -> dict[str, Any]:
    return {"epochs": 10, "finetune_epochs": [0, 4], "qat_epochs": 1, **more}


DIGITS = Grid(
    name="digits",
    task="digits",
    params={"train_images": 200, "width": 8},
    data=(),
    space={
        "regularizer": [
            "none",
            {"l1": {"strength": 3.0}},
            {"group_lasso": {"strength": 3.0, "group": "filter", "step": "proximal"}},
            {"label_smoothing": {"theta": 0.1, "switch_off": 1.0}},
            {"sam": {"rho": 0.05}},
        ],
        "training": _training(lr=[0.05, 0.2], weight_decay=5e-4, start=["scratch", "pretrained"]),
        "sparsity": [
            "none",
            {
                "weight": {
                    "criterion": "magnitude",
                    "allocation": ["uniform", "lamp"],
                    "amount": [0.5, 0.7, 0.9],
                    "schedule": "one_shot",
                }
            },
            {
                "channel": {
                    "criterion": "magnitude",
                    "allocation": "global",
                    "amount": [0.2, 0.4],
                    "schedule": "one_shot",
                    "round_to": 1,
                }
            },
        ],
        "layers": {"drop": ["none", {"last": {"count": 1}}]},
        "quantization": QUANTIZATION,
        "forbidden": [*RULES, NO_ROUNDING_TO_TWO],
    },
    dense={
        "regularizer": "none",
        "training": {
            "epochs": 10,
            "finetune_epochs": 0,
            "qat_epochs": 1,
            "lr": 0.05,
            "weight_decay": 5e-4,
            "start": "scratch",
        },
        **UNCOMPRESSED,
    },
    seeds=(0, 1, 2),
)

SPEECH = Grid(
    name="speech",
    task="speech",
    params={"train_per_class": 60, "eval_per_class": 20, "width": 8},
    data=("path",),
    space={
        "regularizer": [
            "none",
            {"l1": {"strength": 3.0}},
            {"label_smoothing": {"theta": 0.1, "switch_off": 1.0}},
            {"sam": {"rho": 0.05}},
        ],
        "noise": ["none", {"dropout": {"rate": 0.2, "place": "penultimate"}}],
        "training": _training(lr=[0.05, 0.2], weight_decay=1e-3, start="scratch"),
        "sparsity": [
            "none",
            {
                "weight": {
                    "criterion": "magnitude",
                    "allocation": ["uniform", "lamp"],
                    "amount": [0.6, 0.9],
                    "schedule": "gradual",
                }
            },
            {
                "channel": {
                    "criterion": "taylor",
                    "allocation": "uniform",
                    "amount": [0.25, 0.5],
                    "schedule": "one_shot",
                    "round_to": 1,
                }
            },
        ],
        "layers": {"drop": ["none", {"last": {"count": 1}}]},
        "quantization": {**QUANTIZATION, "weights": {"bits": [4, 8, 32]}},
        "forbidden": RULES,
    },
    dense={
        "regularizer": "none",
        "noise": "none",
        "training": {
            "epochs": 10,
            "finetune_epochs": 0,
            "qat_epochs": 1,
            "lr": 0.05,
            "weight_decay": 1e-3,
            "start": "scratch",
        },
        **UNCOMPRESSED,
    },
    seeds=(0, 1, 2, 3),
)

ADULT = Grid(
    name="adult",
    task="benchmarks.adult:Adult",
    params={"train_rows": 1000, "eval_rows": 5000, "batch_size": 64, "width": 32},
    data=("train", "test"),
    space={
        "regularizer": [
            "none",
            {"l1": {"strength": 3.0}},
            {"label_smoothing": {"theta": 0.1, "switch_off": 1.0}},
            {"sam": {"rho": 0.05}},
        ],
        "training": _training(lr=[0.02, 0.1], weight_decay=[1e-4, 1e-2], start="scratch"),
        "sparsity": [
            "none",
            {
                "weight": {
                    "criterion": ["magnitude", "wanda"],
                    "allocation": "lamp",
                    "amount": [0.5, 0.7, 0.9],
                    "schedule": "one_shot",
                }
            },
            {
                "channel": {
                    "criterion": "magnitude",
                    "allocation": "uniform",
                    "amount": [0.25, 0.5],
                    "schedule": "one_shot",
                    "round_to": 1,
                }
            },
        ],
        "layers": {"drop": ["none", {"last": {"count": 1}}]},
        "quantization": QUANTIZATION,
        "forbidden": [*RULES, NO_ROUNDING_TO_TWO],
    },
    dense={
        "regularizer": "none",
        "training": {
            "epochs": 10,
            "finetune_epochs": 0,
            "qat_epochs": 1,
            "lr": 0.02,
            "weight_decay": 1e-4,
            "start": "scratch",
        },
        **UNCOMPRESSED,
    },
    seeds=(0, 1, 2),
)

GRIDS = {grid.name: grid for grid in (DIGITS, SPEECH, ADULT)}
