"""Training on a share of the data: which rows, for how much, and of which tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from autoreg.errors import InputError
from autoreg.tasks import Task
from autoreg.tasks.loader import BatchLoader
from autoreg.tasks.subset import EASY_SETS
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.store import Store
from autoreg.trial.subset import Subsets
from autoreg.trial.task_ref import TaskRef
from autoreg.trial.training_phase import epoch_loader
from tests.trial.conftest import TinyTask, evaluate

SHARE = {"training": {"share": 0.25}}


def data(count: int = 60, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.integers(0, classes, count))
    return torch.from_numpy(rng.standard_normal((count, 5))).float(), y


def rows_of(loader: Any) -> list[tuple[float, ...]]:
    return [tuple(row) for batch in loader for row in batch[0].tolist()]


def test_a_share_runs_in_part_and_changes_the_result(objective: TaskObjective) -> None:
    whole, reference = evaluate(objective, {})
    few, trial = evaluate(objective, SHARE)
    assert reference.info.epochs_requested is not None
    assert trial.info.epochs_run == trial.info.epochs_requested == 0.25 * reference.info.epochs_requested
    assert len(trial.info.train_losses) == len(reference.info.train_losses)
    assert few["loss"] != whole["loss"]
    assert few["flops"] == whole["flops"]
    again, free = evaluate(objective, {"training": {"share": 1.0}})
    assert again == whole
    assert free.info.epochs_run == 0


def test_a_training_begins_with_easy_sets_and_draws_others_every_epoch(objective: TaskObjective) -> None:
    config = objective.setup.complete({"training": {"share": 0.25, "epochs": 9}})
    chain = objective.chain(config, seed=0, fold="all")
    train, tune = chain.phases[:2]
    subsets = objective.setup.subsets("all")
    easy = subsets.easy(0.25)
    assert easy is not None
    all_rows = chain.context.loaders["train"].rows.indices
    sets = [set(epoch_loader(chain.context, train, epoch).rows.indices.tolist()) for epoch in range(9)]
    assert all(len(one) == 25 for one in sets)
    for epoch in (0, 1):  # a sixth of nine epochs, rounded up
        assert sets[epoch] == set(all_rows[torch.from_numpy(easy[epoch])].tolist())
    assert len({tuple(sorted(one)) for one in sets[2:]}) == 7
    again = objective.chain(config, seed=0, fold="all")
    assert set(epoch_loader(again.context, train, 5).rows.indices.tolist()) == sets[5]
    other = objective.chain(config, seed=1, fold="all")
    assert set(epoch_loader(other.context, train, 5).rows.indices.tolist()) != sets[5]
    assert tune.name == "sparsify"
    assert set(epoch_loader(chain.context, tune, 0).rows.indices.tolist()) not in (sets[0], sets[1])


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
    same = later.easy(0.2)
    assert same is not None
    assert easy is not None
    assert np.array_equal(same, easy)
    assert "_rows" not in vars(later)  # nothing was computed
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


class _Own(DataLoader[Any]):
    pass


class _OwnBatches(BatchLoader):
    pass


def test_what_is_no_plain_loader_of_rows_is_refused() -> None:
    x, y = data()
    rows = TensorDataset(x, y)
    for loader in (
        [(x, y)],
        DataLoader(_Stream(), batch_size=None),
        DataLoader(_Stream(), batch_size=4),
        DataLoader(rows, batch_size=None),
        DataLoader(rows, batch_size=4, sampler=WeightedRandomSampler([1.0] * 60, 60)),
        DataLoader(rows, batch_size=4, sampler=RandomSampler(rows, num_samples=30)),
        DataLoader(rows, batch_size=4, sampler=RandomSampler(rows, replacement=True)),
        DataLoader(rows, batch_size=4, sampler=SequentialSampler(range(30))),
        DataLoader(rows, batch_sampler=BatchSampler(RandomSampler(rows), 4, drop_last=False)),
        _Own(rows, batch_size=4),
        _OwnBatches(x, y, batch_size=4),
    ):
        with pytest.raises(InputError, match="no subset can be taken"):
            Subsets(TinyTask(), loader, "", None)


def _begin(worker: int) -> None:
    torch.set_num_threads(1)


def test_how_a_torch_loader_works_is_kept() -> None:
    whole: DataLoader[Any] = DataLoader(
        TensorDataset(*data()),
        batch_size=8,
        shuffle=True,
        num_workers=1,
        worker_init_fn=_begin,
        prefetch_factor=3,
        multiprocessing_context="fork",
        timeout=60,
        in_order=False,
    )
    subsets = Subsets(TinyTask(), whole, "", None)
    few = subsets.loader(0.5, 0)
    for name in ("num_workers", "worker_init_fn", "prefetch_factor", "multiprocessing_context", "timeout", "in_order"):
        assert getattr(few, name) == getattr(whole, name)
    plain = Subsets(TinyTask(), DataLoader(TensorDataset(*data()), batch_size=8), "", None)
    assert sorted(rows_of(few)) == sorted(rows_of(plain.loader(0.5, 0)))  # rows are read in order all the same


def _padded(rows: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    texts = [x[: 1 + int(y)] for x, y in rows]
    return torch.nn.utils.rnn.pad_sequence(texts, batch_first=True), torch.stack([y for _, y in rows])


def test_rows_that_are_padded_batch_by_batch_are_drawn_evenly_within_their_classes(tmp_path: Path) -> None:
    x, y = data(61)
    y = y.sort().values  # batches of short texts, then of longer ones
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True, collate_fn=_padded)
    for _ in range(2):  # the second takes it from the store
        subsets = Subsets(TinyTask(), loader, "key", Store(tmp_path))
        assert subsets.easy(0.5) is None
        assert not subsets.bank.gains.any()
    found = subsets.loader(0.5, seed=1, easy=0)
    counts, few = np.bincount(y), np.bincount(torch.cat([targets for _, targets in found]))
    assert few.sum() == 30
    assert (np.abs(few - counts / 2) < 1).all()


class Listed(TinyTask):
    """The tiny task with batches in a list."""

    def loaders(self, fold: str) -> dict[str, Any]:
        found = super().loaders(fold)
        return {**found, "train": list(found["train"])}


def test_a_trial_that_asks_for_a_share_of_such_a_task_says_why_not(tmp_path: Path) -> None:
    task: Task = Listed()
    objective = TaskObjective(TaskRef(task, {}), TrialOptions(str(tmp_path)), latency=False)
    with pytest.raises(InputError, match=r"training\.share: task 'listed'"):
        evaluate(objective, SHARE)
