"""The network in real integers on a CPU, against the trial's own model in floating point."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import Grid, LayerCode
from autoreg.artifacts.torch.integer import agrees, cpu_layer, refusal
from autoreg.artifacts.torch.run_integers import integer_model
from autoreg.artifacts.torch.value_grids import quantized
from autoreg.errors import InputError
from autoreg.methods.functional.affine import quantize
from autoreg.methods.quantization.lsq import Lsq
from autoreg.network.inputs import call
from tests.artifacts.coded_nets import coded, reference_model

HERE = hasattr(torch.ops.onednn, "qlinear_pointwise") and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
needs_kernels = pytest.mark.skipif(not HERE, reason="this torch build has no oneDNN integer kernels")

SETTINGS: list[dict[str, Any]] = [
    {},
    {"weight_bits": 4, "activation_bits": 5},
    {"weight_bits": 2, "activation_bits": 2},
    {"act_symmetric": True},
    {"quantizer": Lsq(), "granularity": "tensor"},
    {"symmetric": False},
    {"placed": False},
    {"activation_bits": 32},
    {"density": {"blocks.0.conv1": 0.3}},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_reference_is_the_trials_model_to_the_bit(settings: dict[str, Any]) -> None:
    made = coded(**settings)
    with torch.no_grad():
        assert torch.equal(reference_model(made.found, made.example)(made.example), made.trained(made.example))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_integer_model_is_the_trials_model_to_float_rounding(settings: dict[str, Any]) -> None:
    made = coded(**settings)
    before = copy.deepcopy(made.found.model.state_dict())
    model, runs = integer_model(made.found, made.example)
    with torch.no_grad():
        expected = made.trained(made.example)
        torch.testing.assert_close(model(made.example), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert runs.keys() == made.found.codes.keys()
    after = made.found.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@needs_kernels
def test_layers_say_how_they_run() -> None:
    made = coded(weight_bits={"stem.0": 8, "blocks.0.conv1": 3, "hidden": 32, "head": 7})
    runs = integer_model(made.found, made.example)[1]
    assert {name: runs[name] for name in ("stem.0", "blocks.0.conv1", "head")} == dict.fromkeys(
        ("stem.0", "blocks.0.conv1", "head"), "int8"
    )
    assert runs["hidden"] == runs["blocks.0.conv2"] == "fp32"  # an input on a grid alone
    assert set(integer_model(coded(symmetric=False).found, made.example)[1].values()) == {"fp32"}
    assert set(integer_model(coded(activation_bits=32).found, made.example)[1].values()) == {"fp32"}


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(9, 5), (3, 9)),
    "linear of three dimensions": (nn.Linear(9, 5, bias=False), (2, 4, 9)),
    "1-d": (nn.Conv1d(3, 5, 3, stride=2, padding=1), (2, 3, 9)),
    "strided": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 7)),
    "dilated": (nn.Conv2d(4, 6, (3, 1), dilation=2, padding=(2, 0), bias=False), (2, 4, 9, 9)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 6, 6)),
    "depthwise": (nn.Conv2d(5, 5, 3, padding=1, groups=5), (2, 5, 6, 6)),
}


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_single_layers(name: str, symmetric: bool) -> None:
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    example = torch.randn(shape)
    made = coded(lambda: nn.Sequential(copy.deepcopy(layer)), example, act_symmetric=symmetric, placed=False)
    model, runs = integer_model(made.found, example)
    if HERE:
        assert runs == {"0": "int8"}
    wide = 3 * example  # also beyond the grid
    with torch.no_grad():
        torch.testing.assert_close(model(wide), made.trained(wide), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "reason"),
    [
        (nn.Conv3d(2, 3, 3), (1, 2, 4, 4, 4), "kind of convolution"),
        (nn.ConvTranspose2d(2, 3, 2), (1, 2, 4, 4), "kind of convolution"),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (1, 2, 4, 4), "padding"),
        (nn.Conv2d(2, 3, 3, padding="same"), (1, 2, 4, 4), "padding"),
    ],
)
def test_what_has_no_kernel_runs_in_fp32(layer: nn.Module, shape: tuple[int, ...], reason: str) -> None:
    example = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    made = coded(lambda: nn.Sequential(layer), example, placed=False)
    assert reason in str(refusal(made.found.model[0], made.found.codes["0"]))  # type: ignore[index]
    model, runs = integer_model(made.found, example)
    assert runs == {"0": "fp32"}
    with torch.no_grad():
        assert torch.equal(model(example), made.trained(example))


def test_saturating_sums_are_found_out() -> None:
    """A kernel that holds sums of two products in 16 bits, as AVX2 does, is not used."""
    made = coded(lambda: nn.Sequential(nn.Linear(8, 4, bias=False)), torch.randn(3, 8), placed=False)
    code, layer = made.found.codes["0"], made.found.model[0]  # type: ignore[index]
    assert code.input is not None
    assert code.weight is not None
    assert code.integers is not None
    zero = int(code.input.zero_point)
    weight = torch.full((4, 8), 127, dtype=torch.int16)
    with torch.no_grad():
        layer.weight.copy_(weight * code.weight.scale.reshape(-1, 1))

    class Kernel(nn.Module):
        def __init__(self, saturate: bool) -> None:
            super().__init__()
            self.saturate = saturate
            self.register_buffer("unused", torch.zeros(1))

        def forward(self, values: Tensor) -> Tensor:
            assert code.input is not None
            assert code.weight is not None
            u = quantized(values, code.input.scale, zero, 255).int()
            pairs = (u[:, None] * weight.int()).reshape(-1, 4, 4, 2).sum(-1)
            pairs = pairs.clamp(-32768, 32767) if self.saturate else pairs
            sums = pairs.sum(-1) - zero * weight.int().sum(1)
            return sums * code.input.scale * code.weight.scale

    assert agrees(layer, Kernel(saturate=False), code.input, (3, 8))
    assert not agrees(layer, Kernel(saturate=True), code.input, (3, 8))


def test_the_input_is_quantized_as_in_training() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(10_000, generator=draw)
    values[:100] = (torch.arange(100) + 0.5) * 0.03125  # ties
    scale, zero = torch.tensor([0.03125]), 100
    expected = quantize(values, scale, torch.tensor([100.0]), 0, 255)
    assert torch.equal(quantized(values, scale, zero, 255).float(), expected)


class Reads(nn.Module):
    """Asks a layer for what is not its output."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(6, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(x.to(self.wide.weight.dtype)) * self.wide.out_features
        out: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return out


def test_layers_that_are_read_or_used_without_a_call() -> None:
    example = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    bits = {"wide": 8, "attention.out_proj": 8}
    torch.manual_seed(0)
    net = coded(Reads, example, weight_bits=bits, activation_bits=32)
    grid = Grid(torch.tensor([0.03]), torch.tensor([128], dtype=torch.int32), 0, 255, 8)
    codes: dict[str, LayerCode] = dict(net.found.codes)
    codes["wide"] = LayerCode(codes["wide"].weight, codes["wide"].integers, codes["wide"].axis, grid)
    found = type(net.found)(net.found.model, codes, {})
    model, runs = integer_model(found, example)
    assert runs["attention.out_proj"] == "fp32"
    with torch.no_grad():
        expected = call(reference_model(found, example), example)
        torch.testing.assert_close(model(example), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(copy.deepcopy(model)(example), model(example))


def test_a_layer_on_an_odd_build_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made = coded(lambda: nn.Sequential(nn.Linear(8, 4)), torch.randn(3, 8), placed=False)
    code, layer = made.found.codes["0"], made.found.model[0]  # type: ignore[index]
    monkeypatch.setattr("autoreg.artifacts.torch.integer._onednn", _missing)
    assert cpu_layer(layer, code, (3, 8)) is None


def _missing(*args: Any) -> Any:
    raise AttributeError("'_OpNamespace' 'onednn' object has no attribute 'qlinear_pointwise'")


def test_an_unknown_runtime_is_refused() -> None:
    made = coded()
    with pytest.raises(InputError, match="cpu, cuda"):
        integer_model(made.found, made.example, runtime="tpu")
