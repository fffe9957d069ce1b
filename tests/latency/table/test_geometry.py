"""How layers are applied: geometries, and the keys of a table made from them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.latency.table.geometry import Geometry, geometry
from autoreg.latency.table.layer_key import LayerKey, applied_layers, geometry_of, kind_of
from autoreg.network.profile import profile
from autoreg.network.trace import batch_size
from tests.network.nets import zoo

CONVS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv1d(3, 4, 5, stride=2, padding=1), (2, 3, 17)),
    (nn.Conv2d(4, 8, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2), (3, 4, 9, 8)),
    (nn.Conv2d(3, 5, 4, padding="same"), (1, 3, 7, 6)),
    (nn.Conv2d(3, 5, 3, padding="valid"), (1, 3, 7, 6)),
    (nn.Conv3d(2, 3, 3, padding=1), (2, 2, 5, 4, 3)),
    (nn.Conv2d(6, 6, 3, padding=1, groups=6), (2, 6, 4, 4)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4, 5, 3)),
    (nn.ConvTranspose1d(3, 2, 4, stride=3, dilation=2), (1, 3, 6)),
]


EVEN = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # what is tested, slow in torch


@EVEN
@pytest.mark.parametrize(("layer", "shape"), CONVS)
def test_output_shape_and_work_are_those_of_torch(layer: Any, shape: tuple[int, ...]) -> None:
    """Of every kind of convolution: spatial shape of the output, and multiply-accumulates."""
    model, x = nn.Sequential(layer), torch.randn(shape)
    found = geometry(model, x)["0"]
    out = model(x)
    assert found.output == tuple(out.shape[2:])
    assert found.rows == shape[0]
    assert found.depthwise == (layer.groups == 6)
    key = LayerKey("fp32", found, layer.in_channels, layer.out_channels)
    spots = x.numel() // x.shape[1] if found.op == "conv_transpose" else out.numel() // out.shape[1]
    assert key.macs == layer.weight.numel() * spots


@EVEN
def test_padding_stands_before_then_after() -> None:
    """Even kernels pad one more behind; dimensions in order."""
    found = geometry(nn.Sequential(nn.Conv2d(1, 1, (4, 2), padding="same")), torch.randn(1, 1, 5, 5))["0"]
    assert found.padding == (1, 0, 2, 1)


@pytest.mark.parametrize("name", ["plain", "residual", "separable", "dense", "mlp", "transformer", "tied"])
def test_work_of_all_layers_is_what_the_profile_counts(name: str) -> None:
    """Multiply-accumulates of the keys, of the whole batch, with and without removed channels."""
    model, example = zoo()[name]
    known, found = profile(model, example), geometry(model, example)
    assert list(found) == [layer.name for layer in known.layers]
    thin = {group.id: max(1, group.size // 2) for group in known.channel_groups if group.removable}
    for levels in (Levels(), Levels(channels=thin)):
        costs = predict(known, levels)
        work = sum(one.key.macs * one.calls for one in applied_layers(found, costs, levels))
        assert work == batch_size(example) * sum(row.macs for row in costs.per_layer)


def test_shared_layers_are_called_twice() -> None:
    """And attention's output projection is seen though nobody calls it."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.fc(self.fc(input=x))
            out: Tensor = self.attention(x, x, x, need_weights=False)[0]
            return out

    found = geometry(Twice().train(), torch.randn(3, 5, 8))
    assert found["fc"] == Geometry("linear", 15, spatial=(1,), calls=2)
    assert found["attention.out_proj"] == Geometry("linear", 15, spatial=(1,))


def test_factors_of_a_layer_have_its_geometry_and_that_of_one_point() -> None:
    """The first factor is the layer without a bias, the second a 1×1 over its output."""
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    model, x = nn.Sequential(conv), torch.randn(2, 4, 9, 9)
    found = geometry(model, x)
    pair = nn.Sequential(nn.Conv2d(4, 3, 3, stride=2, padding=1, bias=False), nn.Conv2d(3, 6, 1))
    whole = geometry(nn.Sequential(pair), x)
    assert geometry_of("0.0", found) == whole["0.0"]
    assert geometry_of("0.1", found) == whole["0.1"]
    assert geometry_of("0.2", found) is None
    levels = Levels(ranks={"0": 3}, weight_bits={"0": 8}, activation_bits={"0": 8})
    rows = applied_layers(found, predict(profile(model, x), levels), levels)
    assert [(one.key.kind, one.key.inputs, one.key.outputs) for one in rows] == [("int8", 4, 3), ("int8", 3, 6)]


@pytest.mark.parametrize(
    ("op", "bits", "values", "symmetric", "granularity", "kind"),
    [
        ("conv", 8, 8, True, "channel", "int8"),
        ("conv", 2, 8, True, "channel", "int8"),
        ("conv", 4, 32, True, "channel", "fp32"),
        ("conv", 32, 8, True, "channel", "fp32"),
        ("conv", 8, 8, False, "channel", "fp32"),
        ("conv", 8, 8, False, "tensor", "int8"),
        ("conv_transpose", 8, 8, True, "tensor", "fp32"),
        ("linear", 4, 32, False, "channel", "int4"),
        ("linear", 8, 32, True, "channel", "fp32"),
        ("linear", 4, 8, True, "channel", "int8"),
    ],
)
def test_kinds(op: Any, bits: int, values: int, symmetric: bool, granularity: str, kind: str) -> None:
    """How the exported file carries a layer out."""
    assert kind_of(Geometry(op, 1), bits, values, symmetric=symmetric, granularity=granularity) == kind


def test_keys_are_plain_data_and_write_what_is_alike_in_one_way() -> None:
    """Through JSON and back; calls and irrelevant biases do not tell keys apart."""
    deep = Geometry("conv", 2, (4, 4), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), groups=8, depthwise=True, bias=False)
    keys = [LayerKey("fp32", deep, 6, 6), LayerKey("int4", Geometry("linear", 7, spatial=(1,), bias=False), 5, 3)]
    for key in keys:
        assert LayerKey.from_dict(json.loads(json.dumps(key.to_dict()))) == key
    assert keys[0].geometry.groups == 6
    assert keys[0].family == LayerKey("fp32", deep, 4, 4).family
    linear = Geometry("linear", 7)
    assert LayerKey("int8", Geometry("linear", 7, (1,), bias=False, calls=3), 5, 3) == LayerKey("int8", linear, 5, 3)
    assert LayerKey("fp32", Geometry("linear", 7, (1,)), 5, 3) != LayerKey("fp32", linear, 5, 3)
