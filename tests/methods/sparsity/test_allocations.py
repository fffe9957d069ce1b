"""How the share to remove is divided among layers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.methods import create, method_class, registry
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.allocations.erk import erk_densities
from autoreg.methods.sparsity.allocations.lamp import lamp_scores
from autoreg.methods.sparsity.counts import retained_count
from autoreg.sensitivity import Curve

RULES = sorted(registry().methods["allocation"])
LAYERS = [LayerShape("stem", (4, 1, 3, 3)), LayerShape("conv", (8, 4, 3, 3)), LayerShape("head", (10, 8))]


def test_uniform_removes_the_same_share() -> None:
    assert create("allocation", "uniform").levels(LAYERS, 0.7) == {"stem": 0.7, "conv": 0.7, "head": 0.7}


def test_erk_densities_by_hand() -> None:
    """Σ/Π: stem 11/36, conv 18/288, head 18/80; retained 0.3 · 404 = 121.2 = ε·(11 + 18 + 18): the stem would have
    ε·11 = 28.4 of 36 weights, conv 46.4 of 288, head 46.4 of 80.
    """
    levels = create("allocation", "erk").levels(LAYERS, 0.7)
    scale = 0.3 * 404 / 47
    assert levels == pytest.approx(
        {"stem": 1 - scale * 11 / 36, "conv": 1 - scale * 18 / 288, "head": 1 - scale * 18 / 80}
    )


def test_erk_makes_over_full_layers_dense_and_gives_the_rest_to_the_others() -> None:
    """At density 0.5, ε = 202/47 gives the stem 47 of 36: it is dense, then ε = 166/36 gives the head 83 of 80: dense
    too; 86 weights are left for conv.
    """
    levels = create("allocation", "erk").levels(LAYERS, 0.5)
    assert levels == pytest.approx({"stem": 0.0, "conv": 1 - 86 / 288, "head": 0.0})


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 30), min_size=2, max_size=4).map(tuple), min_size=1, max_size=8),
    st.floats(0.01, 1.0),
)
def test_erk_meets_the_density_with_every_layer_between_empty_and_dense(
    shapes: list[tuple[int, ...]], density: float
) -> None:
    found = erk_densities(shapes, density)
    sizes = [math.prod(shape) for shape in shapes]
    assert all(0.0 < d <= 1.0 + 1e-9 for d in found)
    assert sum(d * n for d, n in zip(found, sizes, strict=True)) == pytest.approx(density * sum(sizes), rel=1e-6)
    free = [d * n / sum(s) for d, n, s in zip(found, sizes, shapes, strict=True) if d < 1.0 - 1e-9]
    assert not free or max(free) == pytest.approx(min(free), rel=1e-6)  # one ε for all that are not dense


def test_lamp_scores_by_hand() -> None:
    """Squares 1, 4, 9: the smallest has 1/14, the next 4/13, the largest 1."""
    scores = lamp_scores(torch.tensor([[1.0, 3.0], [2.0, 0.0]]))
    torch.testing.assert_close(scores, torch.tensor([[1 / 14, 1.0], [4 / 13, 0.0]], dtype=torch.float64))


def test_lamp_scores_do_not_change_when_a_layer_is_scaled_and_those_of_zeros_are_zero() -> None:
    weight = torch.randn(50).abs()
    torch.testing.assert_close(lamp_scores(weight), lamp_scores(1e3 * weight), rtol=1e-5, atol=1e-9)
    assert not lamp_scores(torch.zeros(3)).any()


def test_lamp_and_global_by_hand() -> None:
    """a = 1, 2, 3 and b = 10, 20: global keeps 20, 10 and (always) 3; LAMP scores a 1/14, 4/13, 1 and b 1/5, 1."""
    layers = [LayerShape("a", (3, 1)), LayerShape("b", (2, 1))]
    scores = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([10.0, 20.0])}
    assert create("allocation", "global").levels(layers, 0.4, scores) == pytest.approx({"a": 2 / 3, "b": 0.0})
    assert create("allocation", "lamp").levels(layers, 0.4, scores) == pytest.approx({"a": 1 / 3, "b": 1 / 2})


@pytest.mark.parametrize("name", [n for n in RULES if "scores" in method_class("allocation", n).needs])
def test_global_rules_keep_exactly_the_budget_and_something_in_every_layer(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = {layer.name: torch.rand(layer.shape, generator=generator) * 10**i for i, layer in enumerate(LAYERS)}
    total = sum(layer.numel for layer in LAYERS)
    for amount in (0.0, 0.3, 0.77, 0.95):
        levels = create("allocation", name).levels(LAYERS, amount, scores)
        retained = {layer.name: retained_count(layer.numel, levels[layer.name]) for layer in LAYERS}
        assert sum(retained.values()) == retained_count(total, amount)
        assert min(retained.values()) >= 1
    nearly_all = create("allocation", name).levels(LAYERS, 0.999, scores)
    assert all(retained_count(layer.numel, nearly_all[layer.name]) == 1 for layer in LAYERS)


def test_global_breaks_ties_by_place() -> None:
    layers = [LayerShape("a", (4, 1)), LayerShape("b", (4, 1))]
    scores = {"a": torch.ones(4), "b": torch.ones(4)}
    levels = create("allocation", "global").levels(layers, 0.5, scores)
    assert levels == {"a": 0.25, "b": 0.75}  # each keeps its best, the rest of the ties go to what comes first


def test_channel_groups_are_ranked_by_channel_not_by_weight() -> None:
    """Groups of 4 and 2 channels with 100 and 7 weights a channel: 3 of 6 channels go."""
    layers = [LayerShape("a", (4, 100)), LayerShape("b", (2, 7))]
    scores = {"a": torch.tensor([1.0, 2.0, 3.0, 9.0]), "b": torch.tensor([4.0, 5.0])}
    assert create("allocation", "global").levels(layers, 0.5, scores) == {"a": 0.75, "b": 0.0}


def test_each_layer_takes_what_it_is_given() -> None:
    rule = create("allocation", "each_layer")
    amounts = {"stem": 0.0, "conv": 0.9, "head": 0.25}
    assert rule.levels(LAYERS, amounts) == amounts
    assert rule.levels(LAYERS, 0.5) == {"stem": 0.5, "conv": 0.5, "head": 0.5}
    with pytest.raises(InputError, match="no amount for conv, head"):
        rule.levels(LAYERS, {"stem": 0.1})
    with pytest.raises(InputError, match=r"amount = 1\.0"):
        rule.levels(LAYERS, {**amounts, "head": 1.0})


def test_sensitivity_by_hand() -> None:
    """Of 8 weights 5 stay: at their levels 4 + 1 lose 0 + 3, 2 + 3 lose 4 + 1; 4 + 1 it is. Of 6, the sixth goes to b,
    where the line from 1 to 3 falls by one a weight; then, at 7, its third.
    """
    layers = [LayerShape("a", (4, 1)), LayerShape("b", (4, 1))]
    curves = {
        "a": Curve((4, 2, 1), (0.0, 4.0, 9.0), (0.0, 4.0, 9.0)),
        "b": Curve((4, 3, 1), (0.0, 1.0, 3.0), (0.0, 1.0, 3.0)),
    }
    rule = create("allocation", "sensitivity")
    for retained, (a, b) in {8: (4, 4), 7: (4, 3), 6: (4, 2), 5: (4, 1), 3: (2, 1), 2: (1, 1)}.items():
        assert rule.levels(layers, 1 - retained / 8, curves) == {"a": 1 - a / 4, "b": 1 - b / 4}
    assert rule.levels(layers, 0.99, curves) == {"a": 0.75, "b": 0.75}  # never less than one in each


def test_sensitivity_divides_bits_by_hand() -> None:
    """At 3 bits on average of 10 and 30 weights, 120 in all: 6·10 + 2·30 loses 0 + 2, 3·10 + 3·30 loses 4 + 1."""
    levels = (6, 3, 2)
    curves = {
        "a": Curve(levels, (0.0, 4.0, 9.0), (0.0, 4.0, 9.0)),
        "b": Curve(levels, (0.0, 1.0, 2.0), (0.0, 1.0, 2.0)),
    }
    rule = create("allocation", "sensitivity")
    assert rule.bits({"a": 10, "b": 30}, 3, curves) == {"a": 6, "b": 2}
    assert rule.bits({"a": 10, "b": 30}, 2, curves) == {"a": 2, "b": 2}
    assert rule.bits({}, 3, curves) == {}
    with pytest.raises(InputError, match="needs the curves"):
        rule.bits({"a": 10}, 3)


def test_sensitivity_needs_curves_of_every_layer() -> None:
    rule = create("allocation", "sensitivity")
    with pytest.raises(InputError, match="needs the curves of a task's dense network"):
        rule.levels(LAYERS, 0.5)
    with pytest.raises(InputError, match="no curves for conv, head"):
        rule.levels(LAYERS, 0.5, {"stem": Curve((36, 1), (0.0, 1.0), (0.0, 1.0))})


@pytest.mark.parametrize("name", [name for name in RULES if name != "each_layer"])
def test_rules_refuse_amounts_per_layer_and_name_the_one_that_takes_them(name: str) -> None:
    scores = {layer.name: torch.rand(layer.shape) for layer in LAYERS}
    with pytest.raises(InputError, match="use allocation: each_layer"):
        create("allocation", name).levels(LAYERS, {"stem": 0.5}, scores)


@pytest.mark.parametrize("name", [n for n in RULES if "scores" in method_class("allocation", n).needs])
def test_rules_that_need_scores_say_so(name: str) -> None:
    rule = create("allocation", name)
    assert rule.needs
    with pytest.raises(InputError, match="needs the scores of a reference"):
        rule.levels(LAYERS, 0.5)
    with pytest.raises(InputError, match="no scores for conv, head"):
        rule.levels(LAYERS, 0.5, {"stem": torch.rand(36)})
