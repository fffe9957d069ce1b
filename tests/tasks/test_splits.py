"""Stratified, disjoint splits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoreg.errors import InputError
from autoreg.tasks import named_sets, split_loaders
from autoreg.tasks.loader import BatchLoader
from autoreg.tasks.splits import cut, sample_count, stratified_order


def test_every_stretch_of_a_stratified_order_holds_the_classes_in_their_shares() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = stratified_order(labels, 0)
    assert sorted(order) == list(range(100))
    for start in (0, 20, 50, 80):
        counts = np.bincount(labels[order[start : start + 20]], minlength=3)
        assert np.abs(counts - [12, 6, 2]).max() <= 1


def test_stratified_order_depends_on_its_seed_alone() -> None:
    labels = np.arange(50) % 5
    assert np.array_equal(stratified_order(labels, 1), stratified_order(labels, 1))
    assert not np.array_equal(stratified_order(labels, 1), stratified_order(labels, 2))


def test_cut_gives_consecutive_stretches_and_refuses_too_much() -> None:
    assert [part.tolist() for part in cut(np.arange(6), [2, 3])] == [[0, 1], [2, 3, 4]]
    with pytest.raises(InputError, match="of 6 samples"):
        cut(np.arange(6), [4, 3])
    with pytest.raises(InputError, match="at least 1"):
        cut(np.arange(6), [4, 0])


def test_split_loaders_divide_all_samples_by_their_shares() -> None:
    x, y = np.arange(100.0)[:, None], np.arange(100) % 2
    loaders = split_loaders(x, y, fractions=(0.5, 0.1, 0.2, 0.2), batch_size=16)
    rows = {split: set(loader.rows.indices.tolist()) for split, loader in loaders.items()}
    assert [len(rows[s]) for s in ("train", "calibration", "validation", "test")] == [50, 10, 20, 20]
    assert set.union(*rows.values()) == set(range(100))
    batch = next(iter(loaders["train"]))
    assert batch[0].dtype == torch.float32
    assert torch.equal(batch[0][:, 0].long() % 2, batch[1])


def test_samples_of_a_split_are_counted_and_none_is_read() -> None:
    class Unread(torch.utils.data.Dataset[int]):
        def __len__(self) -> int:
            return 7

        def __getitem__(self, index: int) -> int:
            raise AssertionError("a sample is read")

    loaders = split_loaders(np.zeros((100, 2)), np.arange(100) % 2, batch_size=16)
    assert sample_count(loaders["validation"]) == 20
    some = BatchLoader(torch.zeros(30, 2), batch_size=4, shuffle=True, samples=9)
    assert sample_count({"a": some, "b": torch.utils.data.DataLoader(Unread(), batch_size=2)}) == 9 + 7
    assert sample_count([(torch.zeros(4, 2), torch.zeros(4)), (torch.zeros(3, 2), torch.zeros(3))]) == 7
    assert sample_count({"a": some, "b": iter(())}) is None


def test_standardizing_uses_the_training_rows_alone() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(5, 3, size=200), np.full(200, 4.0)])
    loaders = split_loaders(x, np.arange(200) % 2, standardize=True)
    train = torch.cat([batch[0] for batch in loaders["train"]])
    assert torch.allclose(train.mean(dim=0), torch.zeros(2), atol=1e-5)
    assert train[:, 0].std(correction=0) == pytest.approx(1.0, abs=1e-5)
    assert train[:, 1].abs().max() == 0  # a constant column is not divided by its deviation
    validation = torch.cat([batch[0] for batch in loaders["validation"]])
    assert abs(float(validation[:, 0].mean())) > 1e-4


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2, 0.2), (0.5, 0.0, 0.2, 0.2), (0.5, 0.5)])
def test_shares_that_do_not_fit_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="sum to at most 1"):
        split_loaders(np.zeros((20, 1)), np.arange(20) % 2, fractions=fractions)


def test_a_split_is_one_loader_or_several_by_name() -> None:
    assert named_sets({"a": [1], 2: [3]}) == {"a": [1], "2": [3]}
    assert named_sets([1, 2], "test") == {"test": [1, 2]}
