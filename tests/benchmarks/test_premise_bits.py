"""Arms that choose bits per layer, on a network that is trained in no time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from autoreg.sensitivity import program
from benchmarks.bit_arms import BITS, PARTS, Greedy, Purse, Spent, Ward, evopress, measure_curves, ours, switched


class Reader(nn.Module):
    """Five layers over embedded characters."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(9, 8)
        widths = (8, 16, 8, 16, 8)
        pairs = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(widths)]
        self.body = nn.Sequential(*pairs, nn.Linear(8, 9))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.body(self.token(ids))
        return found


@pytest.fixture
def ward() -> Ward:
    torch.manual_seed(0)
    return Ward(Reader(), torch.randint(9, (2 * PARTS, 4)))


def test_costs_are_packed_bytes_with_scales(ward: Ward) -> None:
    """Four times 128 and 72 weights at 4 bits, 57 scales of 4 bytes."""
    assert ward.budget(4) == 4 * 64 + 36 + 4 * 57
    assert ward.cost((0, 0, 0, 0, 0)) == 4 * 32 + 18 + 4 * 57


def test_a_look_is_paid_by_the_part_and_leaves_the_network_as_it_was(ward: Ward) -> None:
    before = {name: value.clone() for name, value in ward.model.state_dict().items()}
    purse = Purse(ward, 1.5)
    low = (0, 0, 0, 0, 0)
    whole = purse.look(low)
    purse.look((0, None, None, None, None), [3])
    assert purse.paid == pytest.approx(1 + 1 / PARTS)
    assert whole[1] > 0
    assert purse.best[-1][2:] == (low, whole[1])
    with pytest.raises(Spent):
        purse.look((1, 1, 1, 1, 1))
    assert all(torch.equal(value, before[name]) for name, value in ward.model.state_dict().items())
    with torch.no_grad():
        seen = Purse(ward).look((len(BITS) - 1,) * 5)[1]
    assert seen < 0.01 * whole[1]


def test_switches_keep_the_budget_and_change_something(ward: Ward) -> None:
    rng = np.random.default_rng(0)
    levels, budget = ward.uniform(4), ward.budget(4)
    seen = set()
    for _ in range(200):
        levels = switched(ward.costs, levels, budget, rng)
        assert ward.cost(levels) <= budget
        seen.add(levels)
    assert len(seen) > 5


def test_greedy_at_even_factors_is_near_the_program_and_factors_raise_their_layer() -> None:
    rng = np.random.default_rng(0)
    costs = [[b * n for b in BITS] for n in (100, 300, 100, 400, 200, 100)]
    worth = [[float(s * 4.0**-b) for b in BITS] for s in np.exp(rng.normal(size=6))]
    budget = sum(row[2] for row in costs)
    greedy = Greedy(worth, costs, budget)
    even = greedy.levels(np.ones(6))
    best = program(worth, costs, budget)
    assert sum(row[k] for row, k in zip(costs, even, strict=True)) <= budget
    assert sum(row[k] for row, k in zip(worth, even, strict=True)) <= 1.5 * best.distortion
    for layer in range(6):
        factors = np.ones(6)
        factors[layer] = 1e6
        assert greedy.levels(factors)[layer] > even[layer]


def test_every_arm_ends_within_its_budget_and_no_worse_than_it_began(ward: Ward) -> None:
    curves = measure_curves(ward)
    assert curves.passes == pytest.approx(5 * len(BITS) * 2 / PARTS)
    start = program(curves.kl, ward.costs, ward.budget(3)).levels
    first = Purse(ward).look(start)[1]
    steady = Purse(ward).look(ward.uniform(3))[1]
    theirs, mine = Purse(ward, 20.0), Purse(ward, 14.0)
    evopress(theirs, 3, np.random.default_rng(0))
    ours(mine, 3, 0, curves)
    for purse, most, least in ((theirs, 20.0, steady), (mine, 14.0, first)):
        assert purse.paid <= most + 1e-6
        assert ward.cost(purse.best[-1][2]) <= ward.budget(3)
        assert purse.best[-1][3] <= least
        assert purse.reached(most) == purse.best[-1][2]
