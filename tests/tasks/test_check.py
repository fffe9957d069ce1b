"""Every rule that a task can break is refused with its own message."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from autoreg.errors import InputError
from autoreg.tasks import BatchLoader, Task, check_task

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 2
ROWS = {"train": range(10), "calibration": range(10, 20), "validation": range(20, 30), "test": range(30, 40)}


def split(rows: Any) -> BatchLoader:
    return BatchLoader(X, Y, batch_size=5, indices=torch.tensor(list(rows)))


class GoodTask(Task):
    def build_model(self) -> nn.Module:
        return nn.Linear(3, 2)

    def loaders(self, fold: str) -> dict[str, Any]:
        return {name: split(rows) for name, rows in ROWS.items()}


def broken(**members: Any) -> Task:
    """A good task with some members replaced; a member that is no function becomes one that returns it."""
    functions = {name: value if callable(value) else (lambda self, *_, v=value: v) for name, value in members.items()}
    task: Task = type("BrokenTask", (GoodTask,), functions)()
    return task


def loaders(**changes: Any) -> dict[str, Any]:
    made = {**GoodTask().loaders("all"), **changes}
    return {name: value for name, value in made.items() if value is not None}


def test_a_good_task_passes_without_notes() -> None:
    assert check_task(GoodTask()) == []


def test_named_test_sets_and_ordinary_loaders_pass() -> None:
    data = TensorDataset(X, Y)
    plain: dict[str, Any] = {name: DataLoader(Subset(data, list(rows)), batch_size=4) for name, rows in ROWS.items()}
    plain["test"] = {"a": plain["test"], "b": DataLoader(TensorDataset(X + 9, Y))}
    assert check_task(broken(loaders=plain)) == []


def test_checking_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    check_task(GoodTask())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"loaders": loaders(calibration=None)}, "no split 'calibration'"),
        ({"loaders": loaders(validatoin=split(range(3)))}, "did you mean 'validation'"),
        ({"loaders": loaders(test=[])}, "split test/all is empty"),
        ({"loaders": loaders(test={"a": []})}, "split test/a is empty"),
        ({"loaders": loaders(test=iter([(X, Y)]))}, "is an iterator"),
        ({"loaders": loaders(train={"a": split(range(10))})}, "'train' is a mapping"),
        ({"loaders": [1]}, "loaders.. gave a list"),
        ({"loaders": loaders(test=split(range(28, 40)))}, "validation/all and test/all share 2 samples"),
        ({"loaders": loaders(test=[(X[:5], Y[:5])])}, "train/all and test/all share 5 samples"),
        ({"build_model": "a model"}, "build_model.. gave a str"),
        ({"build_model": lambda self: nn.Linear(4, 2)}, "model on a training batch raised RuntimeError"),
        ({"example_input": torch.zeros(1, 7)}, "model on example_input.. raised RuntimeError"),
        ({"loss": torch.tensor(float("nan"))}, "expected one finite number"),
        ({"loss": 3.0}, "expected one finite number, as a tensor"),
        ({"loss": torch.tensor(3.0)}, "no gradient"),
        ({"build_model": lambda self: nn.Identity()}, "no gradient"),
        ({"loss": lambda self, output, batch: output.nothing}, None),
        ({"metrics": {"accuracy": 0.5}}, "gave no 'error'"),
        ({"metrics": {"error": float("nan")}}, "error = nan"),
        ({"metrics": {"error": 0.5, "f1": "high"}}, "f1 = 'high'"),
    ],
)
def test_a_broken_rule_is_refused(members: dict[str, Any], message: str | None) -> None:
    if message is None:  # an error in the user's own code keeps its type and its place
        with pytest.raises(AttributeError, match="nothing"):
            check_task(broken(**members))
    else:
        with pytest.raises(InputError, match=message):
            check_task(broken(**members))


def test_folds_must_be_named_once_and_chance_be_positive() -> None:
    with pytest.raises(InputError, match="folds"):
        check_task(type("T", (GoodTask,), {"folds": ("a", "a")})())
    with pytest.raises(InputError, match="chance is 0"):
        check_task(type("T", (GoodTask,), {"chance": 0})())


def test_a_few_equal_samples_and_a_split_too_large_to_compare_are_noted() -> None:
    twin = [(torch.cat([X[30:39], X[:1]]), torch.cat([Y[30:39], Y[:1]]))]
    (note,) = check_task(broken(loaders=loaders(test=twin)))
    assert "train/all and test/all share 1 samples of equal content" in note
    notes = check_task(broken(loaders=loaders(test=twin)), samples=5)
    assert len(notes) == 3
    assert "train/all and test/all were not compared" in notes[0]
