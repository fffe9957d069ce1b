"""Subsets: greedy steps and gains against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autoreg.tasks import subset
from autoreg.tasks.subset import (
    GREEDY_EPSILON,
    REDUNDANCY_WEIGHT,
    Bank,
    class_sizes,
    easy_set,
    easy_sets,
    represent,
    spread_gains,
)


def unit(count: int, width: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, width))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def similarity(rows: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * rows @ rows.T)


def graph_cut(near: np.ndarray, chosen: tuple[int, ...]) -> float:
    inside = list(chosen)
    return float(near[:, inside].sum() - REDUNDANCY_WEIGHT * near[np.ix_(inside, inside)].sum())


@pytest.mark.parametrize("size", [1, 3, 6])
def test_stochastic_greedy_keeps_its_bound_against_all_sets(size: int) -> None:
    rows = unit(14, 3)
    near = similarity(rows)
    best = max(graph_cut(near, chosen) for chosen in itertools.combinations(range(14), size))
    reached = [graph_cut(near, tuple(easy_set(rows, size, np.random.default_rng(seed)))) for seed in range(30)]
    assert max(reached) <= best + 1e-9
    assert np.mean(reached) >= (1 - 1 / math.e - GREEDY_EPSILON) * best


def test_greedy_over_all_candidates_takes_the_largest_gain_every_time() -> None:
    """At size 1 to 3 of 14 rows every row is a candidate, so that the plain greedy choice is the answer."""
    rows = unit(14, 3, seed=1)
    near = similarity(rows)
    chosen: tuple[int, ...] = ()
    for _ in range(3):
        free = [i for i in range(14) if i not in chosen]
        chosen = (*chosen, max(free, key=lambda i: graph_cut(near, (*chosen, i))))
    assert tuple(easy_set(rows, 3, np.random.default_rng(0))) == chosen


def test_every_row_can_be_taken() -> None:
    assert sorted(easy_set(unit(9, 2), 9, np.random.default_rng(0))) == list(range(9))


def test_gains_are_distances_to_what_was_taken_before() -> None:
    rows = unit(12, 3)
    far = (1 - rows @ rows.T) / 2
    gains = spread_gains(rows)
    order = [int(np.argmin(rows @ rows.mean(axis=0)))]
    expected: dict[int, float] = {}
    while len(order) < 12:  # the set that grows by the row that leaves the smallest distance within it largest
        free = [i for i in range(12) if i not in order]
        order.append(max(free, key=lambda i: min(far[j, k] for j, k in itertools.combinations([*order, i], 2))))
        expected[order[-1]] = min(far[j, k] for j, k in itertools.combinations(order, 2))
    expected[order[0]] = expected[order[1]]
    assert gains == pytest.approx([expected[i] for i in range(12)])
    assert spread_gains(rows[:1]).tolist() == [0.0]


def test_a_copy_of_a_row_gains_nothing() -> None:
    rows = np.repeat(unit(5, 3), 2, axis=0)
    assert sorted(spread_gains(rows))[:5] == pytest.approx([0.0] * 5, abs=1e-12)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.33, 0.5, 1.0])
def test_classes_keep_their_share(share: float) -> None:
    counts = np.array([50, 3, 400, 47])
    sizes = class_sizes(counts, share)
    assert sizes.sum() == max(4, round(share * 500))
    assert (sizes >= 1).all()
    assert (sizes <= counts).all()
    exact = counts * share
    if exact.min() >= 1:  # else a class is there that has no row to give
        assert (np.abs(sizes - exact) < 1).all()
    classes = np.repeat(np.arange(4), counts)
    bank = Bank(classes, np.zeros(500))
    drawn = bank.varied_set(share, np.random.default_rng(0))
    assert np.bincount(classes[drawn], minlength=4).tolist() == sizes.tolist()
    assert len(set(drawn.tolist())) == sizes.sum()


def test_varied_sets_are_drawn_in_proportion_to_their_weights() -> None:
    gains = np.array([0.0, 1.0, 0.5, 0.2])
    bank = Bank(np.zeros(4, dtype=np.int64), gains)
    rng = np.random.default_rng(0)
    counts = np.bincount([int(bank.varied_set(0.25, rng)[0]) for _ in range(8000)], minlength=4)
    weights = 1 + gains + gains**2 / 2
    assert counts / 8000 == pytest.approx(weights / weights.sum(), abs=0.02)


def test_products_of_represented_rows_are_cosines_of_standardized_inputs() -> None:
    inputs = np.random.default_rng(0).standard_normal((40, 7)) * np.arange(1, 8) + 3
    inputs = np.column_stack([inputs, np.full(40, 2.0)])  # a column that says nothing
    found = represent(lambda: np.array_split(inputs, 3))
    plain = inputs[:, :7] - inputs[:, :7].mean(axis=0)
    plain /= plain.std(axis=0)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    assert found @ found.T == pytest.approx(plain @ plain.T, abs=1e-5)


def test_wide_inputs_keep_their_cosines_about(monkeypatch: pytest.MonkeyPatch) -> None:
    x = load_digits().data[:300]
    whole = represent(lambda: [x])
    monkeypatch.setattr(subset, "PRINCIPAL_COMPONENTS", 30)
    few = represent(lambda: [x])
    assert few.shape == (300, 30)
    wide = np.random.default_rng(0).standard_normal((50, 3)) @ np.random.default_rng(1).standard_normal((3, 5000))
    hashed = represent(lambda: np.array_split(wide, 4))
    centred = wide - wide.mean(axis=0)
    centred /= centred.std(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)

    def agree(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef((a @ a.T).ravel(), (b @ b.T).ravel())[0, 1])

    assert agree(whole, few) > 0.95
    assert agree(hashed, centred) > 0.9


def test_sets_of_digits_are_the_same_every_time_and_easy_ones_lie_in_the_midst_of_their_class() -> None:
    data = load_digits()
    rows, classes = represent(lambda: [data.data]), data.target.astype(np.int64)
    first, again = (easy_sets(rows, classes, 0.1) for _ in range(2))
    assert first.shape == (subset.EASY_SETS, 180)
    assert np.array_equal(first, again)
    assert len({tuple(one) for one in first.tolist()}) == subset.EASY_SETS
    bank, other = (Bank.of(rows, classes) for _ in range(2))
    assert np.array_equal(bank.gains, other.gains)
    middle = np.stack([rows[classes == c].mean(axis=0) for c in range(10)])
    near = np.einsum("nd,nd->n", rows, middle[classes])
    rng = np.random.default_rng(0)
    varied = np.mean([near[bank.varied_set(0.1, rng)].mean() for _ in range(100)])
    assert near[first].mean() > near.mean() > varied


def test_large_classes_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(50, 4)
    monkeypatch.setattr(subset, "ORDERING_BLOCK", 20)
    bank = Bank.of(rows, np.zeros(50, dtype=np.int64))
    whole = spread_gains(rows)
    assert (bank.gains > 0).all()
    assert bank.gains.mean() > whole.mean()  # fewer rows lie about each
