"""Training on a share of the data: which rows, for how much, and of which tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

from autoreg.errors import InputError
from autoreg.tasks import Task
from autoreg.tasks.loader import BatchLoader
from autoreg.tasks.subset import EASY_SETS
from autoreg.trial.objective import TaskObjective, TaskRef
from autoreg.trial.setup import Options
from autoreg.trial.store import Store
from autoreg.trial.subset import Subsets

from .conftest import TinyTask, evaluate

SHARE = {"training": {"share": 0.25}}


def data(count: int = 60, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.integers(0, classes, count))
    return torch.from_numpy(rng.standard_normal((count, 5))).float(), y


def rows_of(loader: Any) -> list[tuple[float, ...]]:
    return [tuple(row) for batch in loader for row in batch[0].tolist()]


def test_a_share_is_paid_in_part_and_changes_the_result(objective: TaskObjective) -> None:
    whole, told = evaluate(objective, {})
    few, trial = evaluate(objective, SHARE)
    assert trial.info["epochs_paid"] == trial.info["epochs_asked"] == 0.25 * told.info["epochs_asked"]
    assert len(trial.info["curve"]) == len(told.info["curve"])
    assert few["loss"] != whole["loss"]
    assert few["flops"] == whole["flops"]
    again, free = evaluate(objective, {"training": {"share": 1.0}})
    assert again == whole
    assert free.info["epochs_paid"] == 0


def test_a_training_begins_with_easy_sets_and_draws_others_every_epoch(objective: TaskObjective) -> None:
    config = objective.setup.complete({"training": {"share": 0.25, "epochs": 9}})
    chain = objective.chain(config, seed=0, fold="all")
    train, tune = chain.phases[:2]
    subsets = objective.setup.subsets("all")
    easy = subsets.easy(0.25)
    assert easy is not None
    all_rows = chain.loaders["train"].rows.indices
    sets = [set(chain._loader(train, epoch).rows.indices.tolist()) for epoch in range(9)]
    assert all(len(one) == 25 for one in sets)
    for epoch in (0, 1):  # a sixth of nine epochs, rounded up
        assert sets[epoch] == set(all_rows[torch.from_numpy(easy[epoch])].tolist())
    assert len({tuple(sorted(one)) for one in sets[2:]}) == 7
    again = objective.chain(config, seed=0, fold="all")
    assert set(again._loader(train, 5).rows.indices.tolist()) == sets[5]
    other = objective.chain(config, seed=1, fold="all")
    assert set(other._loader(train, 5).rows.indices.tolist()) != sets[5]
    assert tune.name == "sparsify"
    assert set(chain._loader(tune, 0).rows.indices.tolist()) not in (sets[0], sets[1])


def test_classes_keep_their_share_and_no_row_of_another_split_is_seen(objective: TaskObjective) -> None:
    loader = objective.setup.loaders("all")["train"]
    found = objective.setup.subsets("all").loader(0.3, seed=1)
    assert set(found.rows.indices.tolist()) <= set(loader.rows.indices.tolist())
    counts, few = (np.bincount(one.rows.tensors[1][one.rows.indices], minlength=10) for one in (loader, found))
    assert (np.abs(few - 0.3 * counts) < 1).all()


def test_the_bank_is_taken_from_the_store(tmp_path: Path) -> None:
    x, y = data()
    store, loader = Store(tmp_path), BatchLoader(x, y, batch_size=10, shuffle=True)
    first = Subsets(TinyTask(), loader, "key", store)
    gains, easy = first.bank.gains, first.easy(0.2)
    later = Subsets(TinyTask(), loader, "key", store)
    assert np.array_equal(later.bank.gains, gains)
    assert np.array_equal(later.easy(0.2), easy)
    assert "_rows" not in vars(later)  # nothing was computed
    assert easy is not None
    assert easy.shape == (EASY_SETS, 12)


def test_a_torch_loader_gives_the_same_rows_as_ours() -> None:
    x, y = data()
    ours = Subsets(TinyTask(), BatchLoader(x, y, batch_size=8, shuffle=True), "", None)
    plain = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, drop_last=True, generator=torch.Generator())
    theirs = Subsets(TinyTask(), plain, "", None)
    for easy in (None, 1):
        one, other = (s.loader(0.5, 3, easy) for s in (ours, theirs))
        assert len(rows_of(one)) == 30
        assert set(rows_of(other)) < set(rows_of(one))
        assert len(rows_of(other)) == 24  # whole batches only
    assert ours.steps(0.5) == 4
    assert theirs.steps(0.5) == 3
    assert theirs.steps(0.1) == 1  # fewer rows than a batch make one all the same


@pytest.mark.parametrize("targets", [torch.randn(60), torch.arange(60), torch.zeros(60, 4, dtype=torch.long)])
def test_without_class_labels_rows_are_drawn_evenly(targets: torch.Tensor) -> None:
    x, _ = data()
    subsets = Subsets(TinyTask(), BatchLoader(x, targets, batch_size=8, shuffle=True), "", None)
    assert subsets.classes is None
    assert subsets.easy(0.1) is None
    drawn = np.concatenate([subsets.loader(0.1, seed, easy=0).rows.indices for seed in range(400)])
    counts = np.bincount(drawn, minlength=60)
    assert counts.sum() == 400 * 6
    assert counts.min() > 15  # 40 on average


def test_an_epoch_of_few_draws_has_a_share_of_the_draws() -> None:
    x, y = data()
    loader = BatchLoader(x, y, batch_size=10, shuffle=True, samples=40)
    assert len(rows_of(Subsets(TinyTask(), loader, "", None).loader(0.5, 0))) == 20


class _Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([data()])


def test_what_has_no_rows_is_refused() -> None:
    x, y = data()
    sampler = WeightedRandomSampler([1.0] * 60, 60)
    for loader in (
        [(x, y)],
        DataLoader(_Stream(), batch_size=None),
        DataLoader(TensorDataset(x, y), batch_size=4, sampler=sampler),
    ):
        with pytest.raises(InputError, match="no subset can be taken"):
            Subsets(TinyTask(), loader, "", None)


class Listed(TinyTask):
    """The tiny task with batches in a list."""

    def loaders(self, fold: str) -> dict[str, Any]:
        found = super().loaders(fold)
        return {**found, "train": list(found["train"])}


def test_a_trial_that_asks_for_a_share_of_such_a_task_says_why_not(tmp_path: Path) -> None:
    task: Task = Listed()
    objective = TaskObjective(TaskRef(task, {}), Options(str(tmp_path)), latency=False)
    with pytest.raises(InputError, match=r"training\.share: task 'listed'"):
        evaluate(objective, SHARE)
