"""Batches, their sizes and their order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from autoreg.errors import InputError
from autoreg.tasks import BatchLoader, seed_loaders

X = torch.arange(10)


def order(loader: BatchLoader) -> list[int]:
    return torch.cat([batch[0] for batch in loader]).tolist()


def test_every_sample_comes_once_an_epoch_in_batches_of_nearly_equal_size() -> None:
    loader = BatchLoader(X, X + 1, batch_size=4, shuffle=True)
    batches = list(loader)
    assert sorted(order(loader)) == list(range(10))
    assert [len(x) for x, _ in batches] == [4, 3, 3]
    assert len(loader) == 3
    assert all(torch.equal(y, x + 1) for x, y in batches)


def test_no_batch_is_a_single_sample_where_two_would_fit() -> None:
    assert [len(x) for (x,) in BatchLoader(torch.arange(9), batch_size=4)] == [3, 3, 3]


def test_order_without_shuffling_is_that_of_the_indices() -> None:
    assert order(BatchLoader(X, batch_size=3, indices=torch.tensor([7, 2, 5, 0]))) == [7, 2, 5, 0]


def test_order_is_a_function_of_the_seed_and_changes_from_epoch_to_epoch() -> None:
    one, two = (BatchLoader(X, batch_size=4, shuffle=True) for _ in range(2))
    one.set_seed(11)
    two.set_seed(11)
    first, second = order(one), order(one)
    assert [order(two), order(two)] == [first, second]
    assert first != second
    two.set_seed(12)
    assert order(two) != first


def test_torchs_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = order(BatchLoader(X, batch_size=4, shuffle=True))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert order(BatchLoader(X, batch_size=4, shuffle=True)) == first


def test_an_epoch_may_draw_fewer_or_more_samples_than_there_are() -> None:
    loader = BatchLoader(X, batch_size=4, shuffle=True, samples=25)
    assert len(order(loader)) == 25
    assert set(order(loader)) <= set(range(10))
    assert len(loader) == 7
    assert order(BatchLoader(X, batch_size=4, samples=12)) == [*range(10), 0, 1]


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"batch_size": 2, "samples": 0}])
def test_sizes_below_one_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        BatchLoader(X, **arguments)


def test_tensors_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match=r"lengths \[9, 10\]"):
        BatchLoader(X, X[:9], batch_size=2)


def test_seed_loaders_reaches_named_loaders_and_those_with_a_generator() -> None:
    def make() -> dict[str, Any]:
        plain = DataLoader(TensorDataset(X), batch_size=10, shuffle=True, generator=torch.Generator())
        return {"train": BatchLoader(X, batch_size=10, shuffle=True), "test": {"a": plain}, "other": [(X,)]}

    def orders(loaders: dict[str, Any]) -> list[list[int]]:
        return [next(iter(loaders["train"]))[0].tolist(), next(iter(loaders["test"]["a"]))[0].tolist()]

    one, two = make(), make()
    seed_loaders(one, 3)
    seed_loaders(two, 3)
    assert orders(one) == orders(two)
    seed_loaders(two, 4)
    changed = orders(two)
    seed_loaders(one, 3)
    again = orders(one)
    assert again[0] != changed[0]
    assert again[1] != changed[1]
