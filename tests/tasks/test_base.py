"""Defaults of the base class: loss, metrics, chance, names, parameters."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from autoreg.errors import InputError
from autoreg.tasks import BatchLoader, Task


class ThreeWayTask(Task):
    training: ClassVar = {"lr": 0.5}

    def __init__(self, size: int = 12, *, scale: float = 1.0) -> None:
        self.size = size

    def build_model(self) -> nn.Module:
        return nn.Linear(2, 3)

    def loaders(self, fold: str) -> dict[str, Any]:
        x, y = torch.randn(self.size, 2, generator=torch.Generator().manual_seed(0)), torch.arange(self.size) % 6 // 2
        y[y == 2] = 0
        return {
            split: BatchLoader(x, y, batch_size=6, indices=torch.arange(i, self.size, 4))
            for i, split in enumerate(("train", "calibration", "validation", "test"))
        }


def test_loss_is_the_mean_cross_entropy_in_nats() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    loss = ThreeWayTask().loss(logits, (None, torch.tensor([0, 1])))
    assert float(loss) == pytest.approx((math.log(2.0) + math.log(4.0)) / 2)


def test_loss_flattens_sequences() -> None:
    logits, targets = torch.randn(2, 5, 3), torch.randint(3, (2, 5))
    expected = nn.functional.cross_entropy(logits.transpose(1, 2), targets)
    assert torch.allclose(ThreeWayTask().loss(logits, (None, targets)), expected)


def test_a_loss_that_the_model_computed_goes_first() -> None:
    assert float(ThreeWayTask().loss(SimpleNamespace(loss=torch.tensor(7.0), logits=None), {})) == 7.0


def test_metrics_weigh_batches_by_their_size() -> None:
    right, wrong = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]] * 3)
    batches = [(None, torch.tensor([1])), (None, torch.tensor([1, 1, 1]))]
    metrics = ThreeWayTask().metrics([right, wrong], batches)
    assert metrics["error"] == 0.75
    low, high = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    assert metrics["loss"] == pytest.approx((low + 3 * high) / 4)


def test_chance_is_the_error_of_the_most_frequent_class() -> None:
    task = ThreeWayTask(24)
    labels = torch.cat([y for _, y in task.loaders("all")["train"]])
    assert task.chance == pytest.approx(1 - float((labels == 0).float().mean()))
    assert 0 < task.chance < 1


def test_chance_of_another_quality_must_be_given() -> None:
    class Bits(ThreeWayTask):
        quality = "bpc"

    with pytest.raises(InputError, match="define `chance`"):
        _ = Bits().chance


def test_name_is_the_class_in_snake_case_and_training_is_filled_in() -> None:
    assert ThreeWayTask.name == "three_way"
    assert ThreeWayTask.training["lr"] == 0.5
    assert ThreeWayTask.training["epochs"] == Task.training["epochs"]


def test_an_unknown_training_default_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'weight_decay'"):
        type("Wrong", (ThreeWayTask,), {"training": {"weight_dcay": 0.1}})


def test_parameters_are_the_constructors_arguments_with_defaults() -> None:
    assert ThreeWayTask(8, scale=2.0).parameters() == {"size": 8, "scale": 2.0}
    assert ThreeWayTask().parameters() == {"size": 12, "scale": 1.0}
    assert repr(ThreeWayTask(8)) == "ThreeWayTask(size=8, scale=1.0)"
    assert pickle.loads(pickle.dumps(ThreeWayTask(8))).parameters() == {"size": 8, "scale": 1.0}


def test_a_task_without_constructor_takes_no_arguments() -> None:
    class Bare(Task):
        pass

    assert Bare().parameters() == {}
    with pytest.raises(TypeError, match="no arguments"):
        Bare(3)


def test_example_is_the_first_validation_sample_and_latency_input_repeats_it() -> None:
    task = ThreeWayTask()
    first = next(iter(task.loaders("all")["validation"]))[0][:1]
    assert torch.equal(task.example_input(), first)
    assert torch.equal(task.latency_input(), first.expand(64, 2))
