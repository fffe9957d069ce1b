"""Networks as ONNX: what the file computes, and that it does so in integers."""

from __future__ import annotations

import copy
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import Deployable, deployable
from autoreg.artifacts.fold import fold
from autoreg.artifacts.onnx.file import OnnxModule, onnx_bytes
from autoreg.artifacts.onnx.graph import GraphCache, export, with_weights
from autoreg.artifacts.onnx.int8 import quantize_graph
from autoreg.artifacts.onnx.runtime import operator_counts, runs_in_words, saturates
from autoreg.methods.quantization import Quantization, attach_quantizers, calibrate, placement
from autoreg.methods.quantization.lsq import Lsq
from autoreg.methods.weights import weighted_layers
from autoreg.tasks.models import MLP, CharTransformer, ConvNet


def nets() -> dict[str, tuple[nn.Module, Tensor]]:
    """A residual, a fully connected and an attention network, with an input of several samples."""
    torch.manual_seed(0)
    found: dict[str, tuple[nn.Module, Tensor]] = {
        "conv": (ConvNet(10, (8, 16), (2, 2), 2), torch.randn(8, 1, 16, 16)),
        "mlp": (MLP(12, 3, 32, 2), torch.randn(8, 12)),
        "attention": (CharTransformer(20, 16, 32, 1, 4), torch.randint(0, 20, (4, 16))),
    }
    for model, x in found.values():  # statistics and ranges that are not those of a fresh network
        model.train()
        for _ in range(3):
            model(x)
        model.eval()
    return found


def quantized(model: nn.Module, x: Tensor, weights: int, values: int, **settings: Any) -> nn.Module:
    """A copy with quantizers in all layers, as a trial attaches them."""
    model = copy.deepcopy(model)
    names = [name for name, _ in weighted_layers(model)]
    bits = dict.fromkeys(names, weights), dict.fromkeys(names, values)
    found = placement(model, lambda network: network(x), *bits)
    attach_quantizers(model, Quantization(*bits, placement=found, **settings))
    calibrate(model, [x], lambda network, batch: network(batch))
    return model.eval()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", ["conv", "mlp", "attention"])
def test_a_file_computes_what_the_network_computes(name: str, fast: bool) -> None:
    """To float rounding, also for a batch of another size, and whatever mode the network was in."""
    model, x = nets()[name]
    written = onnx_bytes(deployable(model.train()), x, GraphCache(fast=fast))
    assert model.training
    assert written.notes == ()
    for batch in (x, x[:3], x[:1]):
        assert torch.allclose(OnnxModule(written.content)(batch), model.eval()(batch), atol=1e-4)


@pytest.mark.parametrize(
    ("weights", "values", "settings"),
    [
        (8, 8, {}),
        (4, 8, {}),
        (8, 8, {"act_symmetric": True}),
        (8, 5, {}),
        (6, 6, {"act_symmetric": True}),
        (8, 8, {"granularity": "tensor", "symmetric": False}),
        (8, 8, {"granularity": "tensor"}),
        (8, 8, {"quantizer": Lsq()}),
        (3, 8, {"quantizer": Lsq(), "act_symmetric": True}),
    ],
)
@pytest.mark.parametrize("name", ["conv", "mlp", "attention"])
def test_eight_bits_run_in_integers(name: str, weights: int, values: int, settings: dict[str, Any]) -> None:
    """Every layer is fused to an integer kernel; outputs equal the fake-quantized network but for single roundings."""
    model, x = nets()[name]
    trained = quantized(model, x, weights, values, **settings)
    written = onnx_bytes(deployable(trained), x, GraphCache(fast=True))
    layers = {layer for layer, _ in weighted_layers(model)}
    assert written.runs == dict.fromkeys(layers, "int8")
    assert written.notes == ()
    found = operator_counts(written.content)
    assert found["QLinearConv"] + found["QGemm"] == len(layers)
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm", "ConvInteger"} & found.keys()
    with torch.no_grad():
        expected = trained(x)
        dense = model(x)
    output = OnnxModule(written.content)(x)
    assert (output - expected).norm() < 0.6 * (expected - dense).norm() + 1e-3 * expected.norm()


def test_what_cannot_run_in_integers_stays_on_its_grid() -> None:
    """Zero points that differ between outputs have no integer kernel: floating point, the same values."""
    model, x = nets()["conv"]
    trained = quantized(model, x, 8, 8, granularity="channel", symmetric=False)
    written = onnx_bytes(deployable(trained), x, GraphCache(fast=True))
    assert set(written.runs.values()) == {"fp32"}
    assert runs_in_words(written.runs) == "11 layers fp32"
    assert torch.allclose(OnnxModule(written.content)(x), trained(x), atol=0.02)


@pytest.mark.parametrize(
    ("bits", "settings"), [(4, {}), (2, {}), (4, {"symmetric": False}), (3, {"granularity": "tensor"})]
)
def test_weights_alone_of_linear_layers_take_four_bits(bits: int, settings: dict[str, Any]) -> None:
    """Computed in floating point from 4-bit codes: the same numbers, an eighth of the bytes."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 200)), torch.randn(5, 100)
    trained = quantized(model, x, bits, 32, **settings)
    plain, written = (onnx_bytes(deployable(m), x, GraphCache(fast=True)) for m in (model, trained))
    assert set(written.runs.values()) == {"int4"}
    assert operator_counts(written.content)["MatMulNBits"] == 2
    assert torch.allclose(OnnxModule(written.content)(x), trained(x), atol=1e-4)
    assert len(written.content) < 0.25 * len(plain.content)


def test_bytes_instead_of_floats() -> None:
    """The weights of an 8-bit file take a quarter."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256)), torch.randn(5, 256)
    plain, eight = (
        len(onnx_bytes(deployable(m), x, GraphCache(fast=True)).content) for m in (model, quantized(model, x, 8, 8))
    )
    assert eight < 0.3 * plain


class Functional(nn.Module):
    """ReLU and addition outside of any module, a ReLU that is called twice, and a norm whose input others read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.conv1, self.norm1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.norm1(self.conv1(x)))
        x = self.relu(x + self.relu(self.norm2(self.conv2(self.relu(x)))))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def test_operations_outside_of_modules_are_quantized_where_it_is_sound() -> None:
    """Nothing is lost where no module can be hooked."""
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(6, 1, 8, 8)
    for _ in range(3):
        model(x)
    trained = quantized(model.eval(), x, 8, 8)
    written = onnx_bytes(deployable(trained), x, GraphCache(fast=True))
    assert torch.allclose(OnnxModule(written.content)(x), trained(x), atol=0.02)
    assert set(written.runs.values()) == {"int8"}
    assert operator_counts(written.content)["QLinearConv"] == 3


def test_a_norm_is_folded_only_where_nobody_else_reads_its_input() -> None:
    """The network computes the same before and after, also with negative gains; an addition keeps its norm."""
    torch.manual_seed(0)

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm, self.conv = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)
            self.after = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(x)
            out: Tensor = self.after(self.conv(x + self.norm(x)))
            return out

    model, x = Branch(), torch.randn(6, 4)
    with torch.no_grad():
        for norm in (model.norm, model.after):
            norm.weight.copy_(torch.tensor([-1.5, 0.0, 0.3, 2.0]))
            norm.bias.normal_()
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
    model.eval()
    folded = fold(deployable(model), x).model
    assert isinstance(folded.get_submodule("after"), nn.Identity)
    assert isinstance(folded.get_submodule("norm"), nn.BatchNorm1d)
    assert torch.allclose(folded(x), model(x), atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"symmetric": False}, {"granularity": "tensor"}, {"quantizer": Lsq()}])
def test_folding_keeps_the_integers_of_a_weight(settings: dict[str, Any]) -> None:
    """(integers - zero point) * scale is the folded weight, with negative and zero gains too."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)).eval(), torch.randn(3, 2, 5, 5)
    with torch.no_grad():
        model.get_parameter("1.weight").copy_(torch.tensor([-2.0, -0.1, 0.0, 0.5, 1.0, 3.0]))
        model.get_buffer("1.running_var").uniform_(0.5, 2.0)
    found = deployable(quantized(model, x, 4, 32, **settings))
    folded = fold(found, x)
    code = folded.codes["0"]
    assert code.weight is not None
    assert code.integers is not None
    assert int(code.integers.min()) >= code.weight.low
    assert int(code.integers.max()) <= code.weight.high
    shape = (-1, 1, 1, 1)
    value = (code.integers - code.weight.zero_point.reshape(shape)) * code.weight.scale.reshape(shape)
    assert torch.allclose(value.float(), folded.model.get_parameter("0.weight"), atol=1e-6)
    assert torch.allclose(folded.model(x), found.model(x), atol=1e-5)


def test_initializers_are_exchanged_instead_of_exporting_again() -> None:
    """A second network of the same architecture computes its own outputs in the first one's graph."""
    first, x = nets()["attention"]
    torch.manual_seed(5)
    second = CharTransformer(20, 16, 32, 1, 4).eval()
    graph = export(first, x, fast=True)
    content = with_weights(graph, second).proto.SerializeToString()
    assert torch.allclose(OnnxModule(content)(x), second(x), atol=1e-4)
    graphs = GraphCache(fast=True)
    contents = [graphs.filled(model, x).proto.SerializeToString() for model in (first, second)]
    assert len(graphs._known) == 1
    assert torch.allclose(OnnxModule(contents[1])(x), second(x), atol=1e-4)


def test_weights_that_the_exporter_computes_with_are_exported_each_time() -> None:
    """A sum of two parameters becomes one constant: exchanging would keep the first network's."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(4, 3))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.one + self.other)

    graphs, x = GraphCache(fast=True), torch.randn(2, 3)
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = Sum()
        content = graphs.filled(model, x).proto.SerializeToString()
        assert torch.allclose(OnnxModule(content)(x), model(x), atol=1e-5)


def test_inputs_given_by_name() -> None:
    """A mapping is exported under its names."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            out: Tensor = self.linear(first - 2 * second)
            return out

    model, given = Two(), {"first": torch.randn(4, 3), "second": torch.randn(4, 3)}
    written = onnx_bytes(deployable(model), given, GraphCache())
    swapped = {"second": given["second"], "first": given["first"]}
    assert torch.allclose(OnnxModule(written.content)(**swapped), model.eval()(**given), atol=1e-5)


def test_unsigned_weights_give_the_same_numbers() -> None:
    """Where signed products would overflow, weights are written with a zero point of 128."""
    model, x = nets()["conv"]
    found = fold(deployable(quantized(model, x, 8, 8)), x)
    graph = GraphCache(fast=True).filled(found.model, x)
    outputs = []
    for unsigned in (False, True):
        proto, runs = quantize_graph(graph, found, unsigned=unsigned)
        kinds = {entry.data_type for entry in proto.graph.initializer if entry.name.endswith(".weight_integers")}
        assert kinds == {2 if unsigned else 3}  # UINT8, INT8
        assert set(runs.values()) == {"int8"}
        outputs.append(OnnxModule(proto.SerializeToString())(x))
    if not saturates():
        assert torch.equal(*outputs)


def test_masked_zeros_stay_zeros() -> None:
    """In the file, too."""
    from autoreg.methods.sparsity.masks import attach_masks

    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(16, 16)), torch.randn(2, 16)
    mask = torch.rand(16, 16) > 0.7
    attach_masks(model, {"0": mask})
    found: Deployable = deployable(quantized(model, x, 8, 8))
    proto, _ = quantize_graph(GraphCache(fast=True).filled(found.model, x), found, unsigned=False)
    (held,) = [entry for entry in proto.graph.initializer if entry.name.endswith(".weight_integers")]
    integers = numpy.frombuffer(held.raw_data, numpy.int8).reshape(16, 16)
    assert not integers[~mask.numpy()].any()
