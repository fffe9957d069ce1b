"""How many dimensions each layer keeps."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.methods import create
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.ranks.budget import budget_rank
from autoreg.methods.sparsity.ranks.energy import energy_rank
from autoreg.methods.sparsity.ranks.greedy import greedy_ranks
from autoreg.network.surgery.factors import factored_weights, full_rank, saves

SHAPES = st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple)


def test_a_budget_by_hand() -> None:
    """Half of 16·72 = 1152 weights is 576, and one rank costs 16 + 72 = 88 of them: 6 ranks are 528."""
    layers = [LayerShape("conv", (16, 8, 3, 3)), LayerShape("head", (10, 16))]
    rule = create("rank", "budget", {"amount": 0.5})
    assert not rule.needs
    assert rule.ranks(layers) == {"conv": 6, "head": 3}  # 80 weights, 26 a rank
    assert budget_rank((10, 16), 0.99) == 1


def test_rounding_does_not_lose_a_rank() -> None:
    """30 weights of a budget of 30 · 0.7 at 3 · 7: (1 − 0.3) is a little less than 0.7 in binary."""
    for amount in (0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.9):
        assert budget_rank((20, 20), amount) == round(10 * (1 - amount))


@given(SHAPES, st.floats(0.0, 0.99))
def test_a_budget_is_kept_and_one_rank_more_would_break_it(shape: tuple[int, ...], amount: float) -> None:
    rank = budget_rank(shape, amount)
    wanted = (1 - amount) * math.prod(shape)
    assert 1 <= rank <= full_rank(shape)
    assert rank == 1 or factored_weights(shape, rank) <= wanted + 1e-6 * math.prod(shape)
    assert factored_weights(shape, rank + 1) > wanted


def test_energy_by_hand() -> None:
    """Squares 6, 3, 1: the first two hold 90 %."""
    spectrum = torch.tensor([6.0, 3.0, 1.0])
    assert [energy_rank(spectrum, share) for share in (0.01, 0.6, 0.61, 0.9, 0.91, 1.0)] == [1, 1, 2, 2, 3, 3]
    assert energy_rank(torch.zeros(4), 0.9) == 1
    rule = create("rank", "energy", {"share": 0.6})
    layers = [LayerShape("a", (3, 5)), LayerShape("b", (3, 5))]
    assert rule.ranks(layers, {"b": torch.ones(3), "a": spectrum}) == {"a": 1, "b": 2}


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), st.floats(0.01, 1.0))
def test_energy_ranks_hold_the_share_and_one_less_does_not(values: list[float], share: float) -> None:
    values.sort(reverse=True)
    rank = energy_rank(torch.tensor(values, dtype=torch.float64), share)
    total = math.fsum(values)
    assert math.fsum(values[:rank]) >= share * total * (1 - 1e-9)
    assert rank == 1 or math.fsum(values[: rank - 1]) < share * total


def test_greedy_by_hand() -> None:
    """Each of two 6×6 layers saves from rank 2 on (24 of 36 weights). The first loses 1 of 10 for its first 12
    weights, the second 3 of 9; the next 12 cost the first 4 of 9.
    """
    shapes = [(6, 6), (6, 6)]
    spectra = [[5.0, 4.0, 1.0, 0.0, 0.0, 0.0], [3.0, 3.0, 3.0, 0.0, 0.0, 0.0]]
    assert greedy_ranks(shapes, spectra, 0.0) == [6, 6]
    assert greedy_ranks(shapes, spectra, 12 / 72) == [2, 6]
    assert greedy_ranks(shapes, spectra, 13 / 72) == [2, 2]
    assert greedy_ranks(shapes, spectra, 25 / 72) == [1, 2]
    assert greedy_ranks(shapes, spectra, 0.99) == [1, 1]


@settings(deadline=None)
@given(st.lists(SHAPES, min_size=1, max_size=4), st.integers(0, 2**31), st.floats(0.0, 0.9))
def test_greedy_meets_the_budget_of_all_layers_or_has_nothing_more_to_give(
    shapes: list[tuple[int, ...]], seed: int, amount: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    spectra = [
        torch.rand(full_rank(s), generator=generator, dtype=torch.float64).sort(descending=True)[0] for s in shapes
    ]
    ranks = greedy_ranks(shapes, [spectrum.tolist() for spectrum in spectra], amount)
    saved = [saves(shape, rank) for shape, rank in zip(shapes, ranks, strict=True)]
    for shape, rank, less in zip(shapes, ranks, saved, strict=True):
        assert 1 <= rank <= full_rank(shape)
        assert less or rank == full_rank(shape)
    left = sum(
        factored_weights(shape, rank) if less else math.prod(shape)
        for shape, rank, less in zip(shapes, ranks, saved, strict=True)
    )
    wanted = (1 - amount) * sum(math.prod(shape) for shape in shapes)
    assert left <= wanted or all(rank == 1 or not saves(s, 1) for s, rank in zip(shapes, ranks, strict=True))


def test_greedy_finds_the_best_product_of_energies_where_steps_have_one_size() -> None:
    """Square layers of one shape and steep spectra: no other ranks with as few weights hold a larger product."""
    shapes = [(8, 8)] * 3
    spectra = [[2.0 ** (-k * slope) for k in range(8)] for slope in (0.5, 1.0, 2.0)]

    def held(ranks: tuple[int, ...]) -> float:
        shares = [sum(s[:rank]) / sum(s) for s, rank in zip(spectra, ranks, strict=True)]
        return float(math.prod(shares))

    for amount in (0.3, 0.5, 0.7):
        found = greedy_ranks(shapes, spectra, amount)
        cost = sum(factored_weights(s, r) if saves(s, r) else 64 for s, r in zip(shapes, found, strict=True))
        options = [
            ranks
            for ranks in itertools.product((1, 2, 3, 8), repeat=3)
            if sum(factored_weights((8, 8), r) if r < 8 else 64 for r in ranks) <= cost
        ]
        assert held(tuple(found)) == pytest.approx(max(held(ranks) for ranks in options))


@pytest.mark.parametrize("name", ["energy", "greedy"])
def test_rules_that_look_at_weights_need_them(name: str) -> None:
    rule = create("rank", name)
    assert rule.needs
    with pytest.raises(InputError, match=f"rank '{name}' needs the singular values of a reference"):
        rule.ranks([LayerShape("a", (2, 2))])
    with pytest.raises(InputError, match=f"rank '{name}': no singular values for a"):
        rule.ranks([LayerShape("a", (2, 2))], {"b": torch.ones(2)})


def test_the_structure_takes_a_rule_as_a_recipe_writes_it() -> None:
    assert create("structure", "low_rank", {"rank": {"energy": {"share": 0.8}}}).rank.share == 0.8
    assert create("structure", "low_rank").rank.spec.name == "budget"
