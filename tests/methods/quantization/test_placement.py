"""Where values between layers are quantized."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from autoreg.methods import weighted_layers
from autoreg.methods.quantization import Placement, Quantization, attach_calibrated, placement

Read = Callable[["Net", Tensor], Tensor]


class Net(nn.Module):
    """A convolution, its norm and its ReLU, then a second convolution; `between` says what lies between them."""

    def __init__(self, between: Read, *, inplace: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace)
        self.last = nn.Conv2d(2, 2, 1)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.between(self, self.conv(x)))
        return out


def placed(between: Read, *, inplace: bool = False, output_only: bool = False) -> Placement:
    """Where quantizers stand; with `output_only` the second convolution's input is none of theirs."""
    model = Net(between, inplace=inplace)
    weights = dict.fromkeys([name for name, _ in weighted_layers(model)], 8)
    values = {**weights, "last": 32} if output_only else weights
    return placement(model, lambda network: network(torch.randn(3, 1, 6, 6)), weights, values)


def added(net: Net, x: Tensor) -> Tensor:
    """The norm's output, changed in place outside of any module."""
    out: Tensor = net.norm(x)
    out += 1
    return out


def functional_relu(net: Net, x: Tensor) -> Tensor:
    """The same by a functional ReLU in place."""
    return torch.relu_(net.norm(x))


@pytest.mark.parametrize("between", [added, functional_relu])
def test_what_is_changed_in_place_is_no_longer_the_modules_output(between: Read) -> None:
    """The second convolution quantizes its own input: the sum, not what the norm returned."""
    found = placed(between)
    assert found.producers == {}
    assert found.quantized_outputs["conv"] == "norm"


@pytest.mark.parametrize("inplace", [False, True])
def test_a_relu_module_is_a_producer_in_place_or_not(inplace: bool) -> None:
    between: Read = lambda net, x: net.relu(net.norm(x))  # noqa: E731
    assert placed(between, inplace=inplace).producers == {"last": "relu"}
    assert placed(between, inplace=inplace, output_only=True).quantized_outputs == {"conv": "relu"}


def test_a_quantized_output_lies_before_a_value_that_others_read() -> None:
    """Additions outside of any module read the norm's, or the convolution's, output too."""
    after_norm: Read = lambda net, x: (y := net.norm(x)) + net.relu(y)  # noqa: E731
    before_norm: Read = lambda net, x: net.relu(net.norm(x)) + x  # noqa: E731
    changed: Read = lambda net, x: net.relu(net.norm(x.add_(1)))  # noqa: E731
    assert placed(after_norm).quantized_outputs["conv"] == "norm"
    assert placed(before_norm).quantized_outputs["conv"] == "conv"
    assert placed(changed, output_only=True).quantized_outputs == {"conv": "conv"}


def test_a_sum_in_place_is_quantized_where_a_module_returns_it() -> None:
    """A block that adds in place before it returns makes its sum."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.norm(x)
            out += x
            return out

    model = nn.Sequential(nn.Conv2d(1, 2, 3), Block(), nn.Conv2d(2, 2, 1))
    bits = {"0": 8, "2": 8}
    found = placement(model, lambda network: network(torch.randn(2, 1, 6, 6)), bits, bits)
    assert found.producers == {"2": "1"}
    assert found.quantized_outputs == {"0": "0", "2": "2"}


def test_values_that_are_never_seen_stay_in_floating_point() -> None:
    """A layer, a producer and a quantized output that no batch calls: the rest is calibrated and attached again."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Conv1d(2, 2, 1), nn.Conv1d(2, 2, 1)
            self.norm, self.after = nn.BatchNorm1d(2), nn.Conv1d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.used(x)
            if x.shape[0] > 1:
                x = self.norm(self.idle(x))
            out: Tensor = self.after(x)
            return out

    model = Branches().eval()
    bits = dict.fromkeys(["used", "idle", "after"], 8)
    settings = Quantization(bits, bits, placement=Placement({"after": "norm"}, {"idle": "idle"}))
    calibrated, lost = attach_calibrated(model, settings, [torch.randn(1, 2, 4)], lambda network, x: network(x))
    assert lost == ["idle", "after"]
    assert calibrated == Quantization(bits, {"used": 8})
    assert bool(model(torch.randn(3, 2, 4)).isfinite().all())
    again = Branches()
    same = Quantization.from_dict(json.loads(json.dumps(calibrated.to_dict())))
    assert attach_calibrated(again, same, [torch.randn(1, 2, 4)], lambda network, x: network(x)) == (calibrated, [])
    assert again.state_dict().keys() == model.state_dict().keys()
