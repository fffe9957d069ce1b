"""Predicted costs are the counted ones, to the integer."""

from __future__ import annotations

import copy
import functools
import random
import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after, predict
from autoreg.errors import InputError
from autoreg.network.profile import Profile, profile
from autoreg.network.surgery.apply import apply_structure, channel_groups, drop_blocks
from tests.network.nets import MLP, PlainCNN, ResNet, zoo


@functools.cache
def profiled() -> dict[str, tuple[nn.Module, Any, Profile]]:
    """The zoo with its profiles, made once."""
    return {name: (model, example, profile(model, example)) for name, (model, example) in zoo().items()}


def random_surgery(found: Profile, draw: random.Random) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Random blocks to drop and random channels to remove from what is left."""
    dropped = tuple(block.name for block in found.blocks if draw.random() < 0.4)
    removed = {
        group.id: sorted(draw.sample(range(group.size), draw.randrange(group.size)))
        for group in groups_after(found, dropped)
        if group.removable and draw.random() < 0.7
    }
    return dropped, removed


def random_masks(model: nn.Module, draw: random.Random) -> dict[str, Tensor]:
    """Random masks of random densities on some layers."""
    generator = torch.Generator().manual_seed(draw.randrange(2**31))
    return {
        name: torch.rand(module.weight.shape, generator=generator) < draw.random()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and draw.random() < 0.6
    }


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(profiled())), seed=st.integers(0, 2**31))
def test_predicted_costs_equal_counted_costs(name: str, seed: int) -> None:
    """Blocks dropped, channels removed, masks and bits at random: every total and every layer agrees."""
    model, example, found = profiled()[name]
    draw = random.Random(seed)
    dropped, removed = random_surgery(found, draw)
    small = copy.deepcopy(model)
    apply_structure(small, example, dropped, removed)
    masks = random_masks(small, draw)
    sizes = {group.id: group.size for group in groups_after(found, dropped)}
    layers = [layer.name for layer in found.layers]
    levels = Levels(
        dropped=dropped,
        channels={group: sizes[group] - len(indices) for group, indices in removed.items()},
        retained={layer: int(mask.sum()) for layer, mask in masks.items()},
        weight_bits={layer: draw.choice([2, 3, 4, 8, 32]) for layer in layers if draw.random() < 0.7},
        activation_bits={layer: draw.choice([4, 8, 32]) for layer in layers if draw.random() < 0.7},
        granularity=draw.choice(["tensor", "channel"]),
        symmetric=draw.random() < 0.5,
    )
    predicted, counted = predict(found, levels), count(small, example, masks, levels)
    assert predicted.totals() == counted.totals()
    assert [layer for layer in predicted.per_layer if not layer.dropped] == list(counted.per_layer)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(["mlp", "plain", "residual", "transformer"]), seed=st.integers(0, 2**31))
def test_groups_after_dropping_are_those_of_the_smaller_model(name: str, seed: int) -> None:
    """What is called removable from the profile alone is removable, with the same members, after the drop."""
    model, example, found = profiled()[name]
    dropped, _ = random_surgery(found, random.Random(seed))
    small = copy.deepcopy(model)
    drop_blocks(small, dropped)
    actual = {group.id: group for group in channel_groups(small, example)}
    expected = groups_after(found, dropped)
    assert {group.id for group in expected} == set(actual)
    for group in expected:
        if group.removable:
            assert actual[group.id].removable
            assert set(zip(group.members, group.spans, strict=True)) == set(
                zip(actual[group.id].members, actual[group.id].spans, strict=True)
            )


@pytest.mark.parametrize(
    ("n", "macs", "weights", "params"), [(3, 40_813_184, 270_896, 272_474), (9, 125_747_840, 851_504, 855_770)]
)
def test_published_constants_of_cifar_resnets(n: int, macs: int, weights: int, params: int) -> None:
    """ResNet-20 and ResNet-56 with 1×1 downsampling, predicted and counted."""
    model, example = ResNet(n), torch.randn(1, 3, 32, 32)
    for costs in (predict(profile(model, example)), count(model, example)):
        assert (costs.flops, costs.weights, costs.params) == (2 * macs, weights, params)
        assert costs.effective_flops == costs.flops
        assert costs.bops == 32 * 32 * macs
        statistics = params - weights - 10  # as many as norm parameters; the 10 are biases
        assert costs.bytes == 4 * (params + statistics)


def test_prediction_is_fast() -> None:
    """A ResNet-20 with channels, masks and bits has its costs predicted in under a millisecond."""
    found = profile(ResNet(3), torch.randn(1, 3, 8, 8))
    names = [layer.name for layer in found.layers]
    levels = Levels(
        channels={group.id: group.size // 2 for group in found.channel_groups if group.removable},
        weight_bits=dict.fromkeys(names, 4),
        activation_bits=dict.fromkeys(names, 8),
    )
    times = []
    for _ in range(30):
        start = time.perf_counter()
        predict(found, levels)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


def test_costs_are_per_sample_whatever_the_batch() -> None:
    """A batch of four costs as much per sample as a batch of one."""
    model = PlainCNN()
    assert count(model, torch.randn(1, 1, 8, 8)) == count(model, torch.randn(4, 1, 8, 8))


def test_masks_that_do_not_fit_are_refused() -> None:
    """By name and by shape."""
    with pytest.raises(InputError, match="a mask is named 'nowhere'"):
        count(MLP(), torch.randn(2, 7), {"nowhere": torch.ones(1)})
    with pytest.raises(InputError, match=r"mask of 'fc' has shape \(2, 8\), its weight \(2, 9\)"):
        count(MLP(), torch.randn(2, 7), {"fc": torch.ones(2, 8)})


def test_what_is_attached_to_a_weight_is_not_counted() -> None:
    """A parametrization, with parameters of its own, changes no cost."""

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.by = nn.Parameter(torch.ones(1))

        def forward(self, weight: Tensor) -> Tensor:
            return weight * self.by

    model, example = MLP(), torch.randn(2, 7)
    plain = count(model, example)
    nn.utils.parametrize.register_parametrization(model.fc, "weight", Scale())
    assert count(model, example) == plain
