"""Two layers of low rank in place of one: the best ones, where they can stand, and at the predicted cost."""

from __future__ import annotations

import copy
import functools
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after, predict
from autoreg.errors import InputError
from autoreg.network.profile import Profile, profile
from autoreg.network.surgery.apply import apply_structure
from autoreg.network.surgery.factorize import factorable, factorize, spectrum, truncated
from autoreg.network.surgery.factors import factor_names, factored_weights, full_rank, saves
from tests.network.nets import zoo


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(7, 5), (3, 7)),
    "linear without bias, on sequences": (nn.Linear(4, 9, bias=False), (2, 6, 4)),
    "conv1d": (nn.Conv1d(3, 8, 5, stride=2, padding=1, dilation=2), (2, 3, 20)),
    "conv2d": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 9)),
    "conv2d, oblong": (nn.Conv2d(2, 9, (1, 5), stride=(2, 1), padding=(0, 2), dilation=(1, 2)), (1, 2, 8, 12)),
    "conv2d, same": (nn.Conv2d(4, 3, 3, padding="same", dilation=2, bias=False), (1, 4, 7, 7)),
    "conv2d, reflected": (nn.Conv2d(2, 5, 3, padding=1, padding_mode="reflect"), (1, 2, 6, 6)),
    "conv3d": (nn.Conv3d(2, 4, (1, 2, 3), padding=(0, 1, 1)), (1, 2, 4, 5, 6)),
}


def held(layer: nn.Module) -> nn.Sequential:
    """A model that is one layer."""
    layer = copy.deepcopy(layer)
    torch.manual_seed(1)
    layer.reset_parameters()  # type: ignore[operator]
    return nn.Sequential(layer).eval()


def weight_of(model: nn.Module, name: str) -> Tensor:
    weight = model.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight.detach()


@pytest.mark.parametrize("name", LAYERS)
def test_full_rank_computes_what_the_layer_computes(name: str) -> None:
    layer, shape = LAYERS[name]
    model, values = held(layer), torch.randn(shape)
    expected = model(values)
    factorize(model, {"0": full_rank(weight_of(model, "0").shape)})
    assert [*dict(model.named_children())["0"]._modules] == ["0", "1"]
    torch.testing.assert_close(model(values), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_the_error_of_a_truncation_is_the_tail_of_the_singular_values(name: str) -> None:
    """Eckart-Young: the squared Frobenius error is the sum of the squares left out, the spectral error the first."""
    layer, _ = LAYERS[name]
    whole = weight_of(held(layer), "0").double().flatten(1)
    energies = torch.linalg.eigvalsh(whole @ whole.T).flip(0)  # another way to the squared singular values
    torch.testing.assert_close(spectrum(whole), energies[: full_rank(whole.shape)], rtol=0, atol=1e-9)
    for rank in range(1, full_rank(whole.shape)):
        model = held(layer)
        factorize(model, {"0": rank})
        product = weight_of(model, "0.1").flatten(1).double() @ weight_of(model, "0.0").flatten(1).double()
        error = whole - product
        assert torch.linalg.matrix_rank(product, rtol=1e-5) == rank
        assert float(error.square().sum()) == pytest.approx(float(energies[rank:].sum()), abs=1e-5)
        assert float(torch.linalg.matrix_norm(error, 2)) == pytest.approx(float(energies[rank].sqrt()), abs=1e-5)


def test_both_factors_hold_half_of_each_singular_value_and_signs_are_fixed() -> None:
    weight = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    outer, inner = truncated(weight, 4)
    values = spectrum(weight).sqrt()[:4]
    torch.testing.assert_close(outer.T @ outer, torch.diag(values))
    torch.testing.assert_close(inner @ inner.T, torch.diag(values))
    largest = outer.gather(0, outer.abs().argmax(0, keepdim=True))
    assert bool((largest > 0).all())
    again = truncated(-weight, 4)
    torch.testing.assert_close(again[0], outer)
    torch.testing.assert_close(again[1], -inner)


def test_type_mode_and_bias_are_kept_and_no_random_number_is_drawn() -> None:
    model = nn.Sequential(nn.Linear(8, 8, dtype=torch.bfloat16), nn.Conv2d(3, 4, 3)).eval()
    bias = model.get_parameter("0.bias").detach().clone()
    before = torch.get_rng_state()
    factorize(model, {"0": 2, "1": 2})
    assert torch.equal(torch.get_rng_state(), before)
    assert {p.dtype for p in model[0].parameters()} == {torch.bfloat16}
    assert not any(module.training for module in model.modules())
    assert torch.equal(model.get_parameter("0.1.bias"), bias)
    assert model.get_submodule("0.0").bias is None


def test_without_values_the_model_has_the_shapes_into_which_weights_are_loaded() -> None:
    model = zoo()["plain"][0].eval()
    skeleton, values = copy.deepcopy(model), torch.randn(2, 1, 8, 8)
    ranks = {"hidden": 3, "features.1.0": 4}
    factorize(model, ranks)
    factorize(skeleton, ranks, values=False)
    assert bool(torch.isfinite(skeleton(values)).all())
    skeleton.load_state_dict(model.state_dict())
    assert torch.equal(skeleton(values), model(values))


@pytest.mark.parametrize("name", sorted(zoo()))
def test_a_model_of_full_ranks_computes_what_the_model_computes(name: str) -> None:
    model, example = zoo()[name]
    model.eval()
    expected = model(example)
    ranks = {layer: full_rank(weight_of(model, layer).shape) for layer in factorable(model, example)}
    assert ranks
    factorize(model, ranks)
    torch.testing.assert_close(model(example), expected, rtol=1e-4, atol=1e-5)


class Reading(nn.Module):
    """Layers that are used in all the ways that forbid to put others in their place, and two that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.read, self.named, self.unused = (nn.Linear(4, 4) for _ in range(4))
        self.shared = nn.Linear(4, 4)
        self.again = self.shared
        self.tied, self.embed = nn.Linear(4, 11, bias=False), nn.Embedding(11, 4)
        self.tied.weight = self.embed.weight
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.asked = nn.Linear(4, 4)
        self.grouped, self.turned = nn.Conv1d(4, 4, 1, groups=2), nn.ConvTranspose1d(4, 4, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.again(self.shared(self.plain(self.embed(tokens))))
        x = F.linear(x, self.read.weight) + self.named(input=x) * getattr(self.asked, "gain", 1.0)
        x = self.attention(x, x, x)[0] + self.asked(x)
        out: Tensor = self.tied(self.turned(self.grouped(x.mT)).mT)
        return out


def test_layers_that_others_cannot_stand_in_for_are_left_out_and_the_model_is_left_as_it_was() -> None:
    model, tokens = Reading().train(), torch.tensor([[1, 5, 2]])
    modules, before = list(model.modules()), copy.deepcopy(model.state_dict())
    assert factorable(model, tokens) == {"plain", "asked"}  # nobody reads what a layer does not have
    assert list(model.modules()) == modules
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before.values(), strict=True))
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)  # whose fast path reads all its weights
    assert factorable(encoder, torch.randn(2, 3, 8)) == frozenset()
    assert factorable(nn.Linear(2, 2), torch.randn(1, 2)) == frozenset()


def test_a_model_that_breaks_when_it_is_watched_has_nothing_to_factor() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            if not isinstance(self.fc, nn.Linear):
                raise TypeError("not mine")
            out: Tensor = self.fc(x)
            return out

    model = Picky()
    assert factorable(model, torch.randn(1, 2)) == frozenset()
    assert isinstance(model.fc, nn.Linear)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ({"plaim": 1}, "no weighted layer called 'plaim'; did you mean 'plain'"),
        ({"plain": 5}, "rank of layer 'plain' is 5; allowed: 1 to 4"),
        ({"plain": 0}, "allowed: 1 to 4"),
        ({"plain": 1, "grouped": 1}, "'grouped' cannot be factored: its channels are in groups"),
        ({"turned": 1}, "it is a ConvTranspose1d"),
        ({"tied": 1}, "used in more than one place"),
        ({"shared": 1}, "used in more than one place"),
        ({"attention.out_proj": 1}, "it is a NonDynamicallyQuantizableLinear"),
    ],
)
def test_what_cannot_be_factored_is_refused_and_nothing_is_changed(ranks: dict[str, int], message: str) -> None:
    model = Reading()
    before = list(model.modules())
    with pytest.raises(InputError, match=message):
        factorize(model, ranks)
    assert list(model.modules()) == before


@functools.cache
def profiled() -> dict[str, tuple[nn.Module, Any, Profile]]:
    """The zoo with its profiles, made once."""
    return {name: (model, example, profile(model, example)) for name, (model, example) in zoo().items()}


def test_the_profile_says_which_layers_can_be_factored() -> None:
    for model, example, found in profiled().values():
        assert {layer.name for layer in found.layers if layer.factorable} == factorable(model, example)


@settings(max_examples=50, deadline=None)
@given(name=st.sampled_from(sorted(profiled())), seed=st.integers(0, 2**31))
def test_predicted_costs_equal_counted_costs_of_factored_models(name: str, seed: int) -> None:
    """Blocks, channels, ranks, masks on factors and bits at random: every total and every layer agrees."""
    model, example, found = profiled()[name]
    draw = random.Random(seed)
    dropped = tuple(block.name for block in found.blocks if draw.random() < 0.3)
    sizes = {group.id: group.size for group in groups_after(found, dropped) if group.removable}
    removed = {group: sorted(draw.sample(range(n), draw.randrange(n))) for group, n in sizes.items()}
    if draw.random() < 0.8:  # surgery is what takes the time
        removed = {}
    small = copy.deepcopy(model)
    apply_structure(small, example, dropped, removed)
    ranks = {
        layer.name: draw.randint(1, full_rank(weight_of(small, layer.name).shape))
        for layer in found.layers
        if layer.factorable and layer.block not in dropped and draw.random() < 0.6
    }
    factorize(small, ranks, values=False)
    factored = [name for name, module in small.named_modules() if hasattr(module, "in_features")]
    masks = {name: torch.rand(weight_of(small, name).shape) < 0.5 for name in factored if draw.random() < 0.4}
    layers = [layer.name for layer in found.layers]
    levels = Levels(
        dropped=dropped,
        channels={group: sizes[group] - len(indices) for group, indices in removed.items()},
        ranks=ranks,
        retained={layer: int(mask.sum()) for layer, mask in masks.items()},
        weight_bits={layer: draw.choice([2, 3, 4, 8, 32]) for layer in layers if draw.random() < 0.7},
        activation_bits={layer: draw.choice([4, 8, 32]) for layer in layers if draw.random() < 0.7},
        granularity=draw.choice(["tensor", "channel"]),
        symmetric=draw.random() < 0.5,
    )
    predicted = predict(found, levels)
    assert predict(found, levels.spread()) == predicted
    for asked in (levels, levels.spread()):
        counted = count(small, example, masks, asked)
        assert predicted.totals() == counted.totals()
        assert [layer for layer in predicted.per_layer if not layer.dropped] == list(counted.per_layer)


def test_costs_of_a_factored_convolution_by_hand() -> None:
    """16 to 32 channels, 3×3, rank 4, 5×5 positions: 4 · 16 · 9 + 32 · 4 weights, each at 25 positions."""
    model, example = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1)), torch.randn(1, 16, 5, 5)
    levels = Levels(ranks={"0": 4}, weight_bits={"0": 8}, activation_bits={"0": 8})
    first, second = predict(profile(model, example), levels).per_layer
    assert (first.name, first.shape, first.macs) == ("0.0", (4, 16, 3, 3), 576 * 25)
    assert (second.name, second.shape, second.macs) == ("0.1", (32, 4, 1, 1), 128 * 25)
    assert (first.bops, second.bops) == (64 * first.macs, 64 * second.macs)
    assert (first.bytes, second.bytes) == (576 + 4 * 4, 128 + 4 * 32 + 4 * 32)  # scales; scales and biases
    assert factored_weights((32, 16, 3, 3), 4) == 576 + 128


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5))
def test_factors_save_weights_up_to_the_rank_of_equal_weights_and_never_at_full_rank(shape: list[int]) -> None:
    saving = [rank for rank in range(1, full_rank(shape) + 1) if saves(shape, rank)]
    assert saving == list(range(1, len(saving) + 1))
    assert full_rank(shape) not in saving


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (Levels(ranks={"point1": 1}), "no layer is called 'point1'; did you mean 'point1.0'"),
        (Levels(ranks={"fc": 4}), "rank of layer 'fc' is 4; allowed: 1 to 3"),
        (Levels(ranks={"up": 1}), "layer 'up' cannot be factored"),
        (Levels(ranks={"fc": 1}, retained={"fc": 1}), r"say what fc\.0 and fc\.1 retain"),
        (Levels(retained={"fc.0": 1}), "no layer is called 'fc.0'"),
    ],
)
def test_levels_that_cannot_be_are_refused(levels: Levels, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predict(profiled()["separable"][2], levels)


def test_a_rank_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="rank of 'a' is 0"):
        Levels(ranks={"a": 0})


def test_bits_of_a_factored_layer_are_those_of_its_factors_unless_these_have_their_own() -> None:
    levels = Levels(ranks={"a": 3}, weight_bits={"a": 4, "a.1": 2, "b": 8}, activation_bits={"a": 8})
    spread = levels.spread()
    assert spread.weight_bits == {"a.0": 4, "a.1": 2, "b": 8}
    assert spread.activation_bits == {"a.0": 8, "a.1": 8}
    assert spread.spread() == spread
    assert factor_names("a") == ("a.0", "a.1")
