"""The size of a recipe's file: predicted from the dense reference, measured on the finished network."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from autoreg.artifacts.export import EXPORT_FORMATS, FileFormat
from autoreg.engine.log.trial import Trial
from autoreg.study.export import export_recipe
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from tests.trial.conftest import evaluate

FORMATS = {
    "compressed": FileFormat("safetensors", True),
    "safetensors": FileFormat("safetensors", False),
    "onnx": FileFormat("onnx", False),
    "torch": FileFormat("torch", False),
}
INTEGERS = {"weights": {"bits": 4}, "activations": {"bits": 8}}
RECIPES: dict[str, dict[str, Any]] = {
    "dense": {},
    "channels": {"sparsity": {"channel": {"amount": 0.5}}, "quantization": INTEGERS},
    "masked": {"sparsity": {"weight": {"amount": 0.7}}, "quantization": {"weights": {"bits": 8}}},
    "pattern": {
        "sparsity": "2:4",
        "quantization": {"weights": {"bits": 4, "granularity": "tensor", "symmetric": False}},
    },
    "learned": {"quantization": {"quantizer": "lsq", "weights": {"bits": 3}, "activations": {"bits": 8}}},
    "dropped": {"layers": {"drop": {"last": {"count": 1}}}, "quantization": {"weights": {"bits": 2}}},
    "low_rank": {"sparsity": {"low_rank": {}}, "quantization": {"weights": {"bits": 8}}},
}


@pytest.mark.parametrize("format", FORMATS)
def test_the_recorded_size_is_that_of_the_exported_file(format: str, objective: TaskObjective, tmp_path: Path) -> None:
    objective.file_format = FORMATS[format]
    recipe = objective.setup.complete(RECIPES["channels"])
    trial = Trial(seed=0)
    recorded = objective(recipe, trial)["file_bytes"]
    name, compress = FORMATS[format].name, FORMATS[format].compress
    path = tmp_path / f"a{EXPORT_FORMATS[name]}"
    export_recipe(objective, recipe, 0, path, name, compress=compress, timed=False)
    assert path.stat().st_size == recorded
    predicted = objective.costs_and_intervals(recipe)[1]["file_bytes"]
    assert predicted.ends[1] == pytest.approx(recorded, rel=0.05)


NUMBERS_IN_HEADER = 64
"""Bytes by which the text of the numbers in a header may be longer or shorter than predicted."""


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_predicted_is_what_is_measured(name: str, objective: TaskObjective) -> None:
    """Without entropy coding nearly to the byte: what is unknown is how numbers in the header are written."""
    for format, tolerance in (("safetensors", 0.01), ("compressed", 0.05)):
        objective.file_format = FORMATS[format]
        predicted = objective.costs_and_intervals(objective.setup.complete(RECIPES[name]))[1]["file_bytes"]
        measured = evaluate(objective, RECIPES[name])[0]["file_bytes"]
        low, middle, high = predicted.ends
        assert low < middle < high
        assert middle == pytest.approx(measured, rel=tolerance, abs=NUMBERS_IN_HEADER)


def test_nobody_asks_and_nothing_is_measured(objective: TaskObjective) -> None:
    assert "file_bytes" not in evaluate(objective, {})[0]
    assert "file_bytes" not in objective.costs(objective.setup.complete({}))


def test_a_worker_gets_the_format(objective: TaskObjective) -> None:
    objective.file_format = FORMATS["compressed"]
    assert objective.file_sizes is not None
    again = pickle.loads(pickle.dumps(objective))
    assert again.file_format == objective.file_format
    assert objective.without_rungs().file_format == objective.file_format


@pytest.mark.parametrize(
    ("weak", "strong"),
    [
        ({}, {"weight_decay": 0.1}),
        ({"l1": {"strength": 0.01}}, {"l1": {"strength": 30.0}}),
    ],
)
def test_regularization_saves_bytes_at_the_same_bits(
    weak: dict[str, Any], strong: dict[str, Any], tmp_path: Path
) -> None:
    wine = TaskRef("tabular", {"data": "wine", "blocks": 1})
    objective = TaskObjective(wine, TrialOptions(str(tmp_path)), latency=False, file_format=FORMATS["compressed"])
    bits = {"quantization": {"weights": {"bits": 4, "granularity": "tensor"}}}
    training = {"lr": 0.1, "epochs": 6, "finetune_epochs": 0, "weight_decay": 1e-5}
    less, more = (
        evaluate(objective, {**bits, "regularizer": change, "training": training})[0]
        if "l1" in change
        else evaluate(objective, {**bits, "training": {**training, **change}})[0]
        for change in (strong, weak)
    )
    assert less["bytes"] == more["bytes"]
    assert less["file_bytes"] < 0.995 * more["file_bytes"]


def test_a_network_that_is_narrow_from_the_start(objective: TaskObjective) -> None:
    recipe = {"network": {"width": 0.5}, "quantization": {"weights": {"bits": 4}}}
    objective.file_format = FORMATS["compressed"]
    predicted = objective.costs_and_intervals(objective.setup.complete(recipe))[1]["file_bytes"]
    assert evaluate(objective, recipe)[0]["file_bytes"] == pytest.approx(predicted.ends[1], rel=0.05)
