"""The keys of a machine's table, from geometries and levels."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.latency.table.layer_key import LayerKey, applied_layers, kind_of
from autoreg.network.geometry import Geometry
from autoreg.network.inputs import batch_size
from autoreg.network.layer_geometries import layer_geometries
from autoreg.network.profile import profile
from tests.network.nets import zoo


@pytest.mark.parametrize("name", ["plain", "residual", "separable", "dense", "mlp", "transformer", "tied"])
def test_work_of_all_layers_is_what_the_profile_counts(name: str) -> None:
    """Multiply-accumulates of the keys, of the whole batch, with and without removed channels."""
    model, example = zoo()[name]
    known, found = profile(model, example), layer_geometries(model, example)
    assert list(found) == [layer.name for layer in known.layers]
    thin = {group.id: max(1, group.size // 2) for group in known.channel_groups if group.removable}
    for levels in (Levels(), Levels(channels=thin)):
        costs = predict(known, levels)
        work = sum(one.key.macs * one.calls for one in applied_layers(found, costs, levels))
        assert work == batch_size(example) * sum(row.macs for row in costs.per_layer)


def test_the_factors_of_a_layer_have_keys_of_their_own() -> None:
    """Two rows, each with the bits said of the whole layer."""
    model, x = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1)), torch.randn(2, 4, 9, 9)
    found = layer_geometries(model, x)
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
