"""How layers are applied: their geometries, from one watched pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.network.geometry import Geometry, geometry_of
from autoreg.network.layer_geometries import layer_geometries

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
    found = layer_geometries(model, x)["0"]
    out = model(x)
    assert found.output == tuple(out.shape[2:])
    assert found.rows == shape[0]
    assert found.depthwise == (layer.groups == 6)
    spots = x.numel() // x.shape[1] if found.op == "conv_transpose" else out.numel() // out.shape[1]
    assert (found.in_positions if found.op == "conv_transpose" else found.out_positions) == spots


@EVEN
def test_padding_stands_before_then_after() -> None:
    """Even kernels pad one more behind; dimensions in order."""
    found = layer_geometries(nn.Sequential(nn.Conv2d(1, 1, (4, 2), padding="same")), torch.randn(1, 1, 5, 5))["0"]
    assert found.padding == (1, 0, 2, 1)


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

    found = layer_geometries(Twice().train(), torch.randn(3, 5, 8))
    assert found["fc"] == Geometry("linear", 15, spatial=(1,), calls=2)
    assert found["attention.out_proj"] == Geometry("linear", 15, spatial=(1,))


def test_factors_of_a_layer_have_its_geometry_and_that_of_one_point() -> None:
    """The first factor is the layer without a bias, the second a 1×1 over its output."""
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    model, x = nn.Sequential(conv), torch.randn(2, 4, 9, 9)
    found = layer_geometries(model, x)
    pair = nn.Sequential(nn.Conv2d(4, 3, 3, stride=2, padding=1, bias=False), nn.Conv2d(3, 6, 1))
    whole = layer_geometries(nn.Sequential(pair), x)
    assert geometry_of("0.0", found) == whole["0.0"]
    assert geometry_of("0.1", found) == whole["0.1"]
    assert geometry_of("0.2", found) is None
