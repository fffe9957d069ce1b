"""Grids in an ONNX file: biases beside few bits, values with several readers, layers called twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import deployable
from autoreg.artifacts.onnx.file import OnnxModule, onnx_bytes
from autoreg.artifacts.onnx.graph import GraphCache
from autoreg.artifacts.onnx.runtime import operator_counts
from autoreg.methods.quantization import Quantization, attach_quantizers, calibrate, placement
from autoreg.methods.weights import weighted_layers
from tests.artifacts.onnx.test_file import quantized


def distance(trained: nn.Module, x: Tensor) -> tuple[float, dict[str, str]]:
    """Root mean square of what a file's outputs differ, over the spread of the network's own, and how layers run."""
    with torch.no_grad():
        expected = trained(x)
    written = onnx_bytes(deployable(trained), x, GraphCache(fast=True))
    output = OnnxModule(written.content)(x)
    return float((output - expected).norm() / (expected - expected.mean()).norm()), dict(written.runs)


class Stack(nn.Module):
    """Convolution, norm, ReLU, twice, and a linear layer behind the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.na = nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16)
        self.b, self.nb = nn.Conv2d(16, 16, 3, bias=False), nn.BatchNorm2d(16)
        self.relu, self.head = nn.ReLU(), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.nb(self.b(self.relu(self.na(self.a(x))))))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def stack() -> tuple[Stack, Tensor]:
    """The network with statistics and gains that are not those of a fresh one."""
    torch.manual_seed(1)
    model, x = Stack(), torch.randn(64, 3, 8, 8)
    for _ in range(5):
        model(x)
    with torch.no_grad():
        for norm in (model.na, model.nb):
            norm.bias.normal_()
            norm.weight.uniform_(0.3, 1.5)
    return model.eval(), x


@pytest.mark.parametrize(("weights", "values"), [(2, 4), (4, 4), (3, 5), (4, 8), (8, 4)])
def test_a_bias_keeps_its_precision_beside_few_bits(weights: int, values: int) -> None:
    """The unit of an integer bias is the product of two scales: with few bits it would be coarse."""
    model, x = stack()
    found, runs = distance(quantized(model, x, weights, values), x)
    assert set(runs.values()) == {"int8"}
    assert found < 0.03


@pytest.mark.parametrize("gain", [0.0, 1e-12, 1e-4])
def test_a_bias_survives_where_weights_are_nothing(gain: float) -> None:
    """Outputs whose weights are all zero or whose norm multiplies by next to nothing still have their bias."""
    model, x = stack()
    with torch.no_grad():
        model.na.weight[:4] = gain
        model.nb.weight[4:8] = gain
        model.b.weight[8:12] = 0.0
        model.get_buffer("nb.running_var")[8:12] = 0.0
    found, runs = distance(quantized(model, x, 8, 8), x)
    assert set(runs.values()) == {"int8"}
    assert found < 0.02


@pytest.mark.parametrize(("weights", "values", "settings"), [(32, 8, {}), (32, 4, {}), (8, 8, {"symmetric": False})])
def test_the_runtime_rounds_no_weight_that_stays_in_floating_point(
    weights: int, values: int, settings: dict[str, Any]
) -> None:
    """ONNX Runtime quantizes float weights between quantized values by itself, unless the pattern is hidden."""
    model, x = stack()
    trained = quantized(model, x, weights, values, **settings)
    found, runs = distance(trained, x)
    assert {runs["a"], runs["b"]} == {"fp32"}
    assert found < 0.003
    written = onnx_bytes(deployable(trained), x, GraphCache(fast=True))
    assert not {"QLinearConv", "ConvInteger"} & operator_counts(written.content).keys()


def test_zero_points_of_few_bits_fit_in_a_byte() -> None:
    """Offsets from zero points that differ between outputs are integers too: up to 7 bits run as int8."""
    model, x = stack()
    found, runs = distance(quantized(model, x, 6, 8, symmetric=False), x)
    assert set(runs.values()) == {"int8"}
    assert found < 0.02


def test_two_readers_of_a_tensor_have_grids_of_their_own() -> None:
    """An input behind a function is quantized by each layer that reads it, with its own bits."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
            self.head = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            out: Tensor = self.head((self.a(x) + self.b(x)).mean((2, 3)))
            return out

    torch.manual_seed(0)
    model, x = Two().eval(), torch.randn(32, 1, 8, 8)
    names = [name for name, _ in weighted_layers(model)]
    bits = dict.fromkeys(names, 8), {**dict.fromkeys(names, 8), "b": 3}
    where = placement(model, lambda network: network(x), *bits)
    attach_quantizers(model, Quantization(*bits, placement=where))
    calibrate(model, [x], lambda network, batch: network(batch))
    assert distance(model.eval(), x)[0] < 0.02


def test_a_layer_that_is_called_twice_and_a_network_that_ends_in_a_convolution() -> None:
    """Nodes have names of their own; outputs of the graph keep theirs."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.b(torch.relu(self.a(torch.relu(self.a(x))))))

    torch.manual_seed(0)
    model, x = Twice().eval(), torch.randn(8, 4, 6, 6)
    for settings in ({}, {"act_symmetric": True}):
        found, runs = distance(quantized(model, x, 8, 8, **settings), x)
        assert runs["b"] == "int8"
        assert found < 0.02
    linear = nn.Sequential(shared := nn.Linear(6, 6), nn.ReLU(), shared)
    rows = torch.randn(16, 6)
    assert distance(quantized(linear.eval(), rows, 8, 8), rows)[0] < 0.02


def test_transposed_convolutions_keep_their_grids_in_floating_point() -> None:
    """Their kernel has no integers; inputs and outputs are rounded all the same."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(3, 8, 2, stride=2), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    x = torch.randn(8, 3, 5, 5)
    found, runs = distance(quantized(model, x, 8, 3), x)
    assert runs["0"] == "fp32"
    assert found < 0.05
