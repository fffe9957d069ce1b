"""Fresh weights of a network that was cut have the scale of one that was built narrow."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from autoreg.network.surgery.apply import remove_channels
from autoreg.network.surgery.initialize import initialize, own_initialization, rescaled

EXAMPLE = torch.zeros(1, 3, 4, 4)


def network(width: int = 64) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * 16, 10),
    )


def narrowed(whole: nn.Module, seed: int = 1) -> nn.Module:
    """A quarter of both groups of channels, drawn anew."""
    model = copy.deepcopy(whole)
    torch.manual_seed(0)
    own = own_initialization(whole)
    remove_channels(model, EXAMPLE, {"0": list(range(16, 64)), "3": list(range(16, 64))})
    torch.manual_seed(seed)
    initialize(model, whole, own)
    return model


def test_layers_as_torch_makes_them_are_drawn_as_torch_makes_narrow_ones() -> None:
    torch.manual_seed(3)
    whole = network()
    assert own_initialization(whole) == {"0", "1", "3", "6"}
    found = narrowed(whole)
    for name, inputs in (("0", 27), ("3", 16 * 9), ("6", 16 * 16)):
        weight = found.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        bound = 1 / math.sqrt(inputs)  # uniform between these
        assert 0.95 * bound < float(weight.detach().abs().max()) <= bound
    again, other = narrowed(whole).state_dict(), narrowed(whole, seed=2).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in found.state_dict().items())
    assert not torch.equal(found.state_dict()["3.weight"], other["3.weight"])


def test_what_a_model_sets_otherwise_stays_a_slice_at_the_scale_of_its_rule() -> None:
    torch.manual_seed(3)
    whole = network()
    layers = [module for module in whole if isinstance(module, nn.Conv2d | nn.Linear)]
    nn.init.kaiming_normal_(layers[1].weight, nonlinearity="relu")
    nn.init.normal_(layers[2].weight, std=0.3)
    for layer in layers:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    nn.init.zeros_(whole[1].weight)  # type: ignore[arg-type]
    assert own_initialization(whole) == set()
    found = narrowed(whole).state_dict()
    before = whole.state_dict()
    assert torch.allclose(found["3.weight"], 2 * before["3.weight"][:16, :16])  # by a quarter of the inputs
    assert torch.equal(found["6.weight"], before["6.weight"][:, : 16 * 16])
    assert torch.equal(found["0.weight"], before["0.weight"][:16])
    assert not found["1.weight"].any()
    assert not found["3.bias"].any()


def test_a_weight_that_two_modules_hold_is_not_drawn_twice() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    assert own_initialization(model) == {"2"}


@pytest.mark.parametrize(
    ("variance", "factor"),
    [(2 / 64, 2.0), (1 / 256, math.sqrt(256 / 128)), (2 / 320, math.sqrt(320 / 144)), (0.5, 1.0)],
)
def test_factors_follow_the_usual_rules(variance: float, factor: float) -> None:
    """He by inputs, LeCun by outputs, Glorot, and a spread of no rule; from 256 x 64 to 128 x 16."""
    wide = torch.randn(256, 64, generator=torch.Generator().manual_seed(0)) * math.sqrt(variance)
    assert rescaled(wide, torch.Size([128, 16])) == pytest.approx(factor)
