"""Small networks that were masked and quantized as a trial does it, with what they were made from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import Deployable, deployable
from autoreg.artifacts.torch.value_grids import attach_grids, find_value_grids
from autoreg.methods.quantization import Quantization, attach_quantizers, calibrate, placement
from autoreg.methods.sparsity.masks import attach_masks
from autoreg.methods.weights import weighted_layers
from autoreg.network.inputs import call
from autoreg.network.weights import weight_of


class Block(nn.Module):
    """A residual block whose convolutions share channels with the stream."""

    def __init__(self, width: int, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return out


class Net(nn.Module):
    """Stem, blocks (the second depthwise), mean, two linear layers; a persistent constant scales the input."""

    size: Tensor

    def __init__(self, width: int = 8, blocks: int = 2, classes: int = 5) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor(2.0))
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(width, width if index % 2 else 1) for index in range(blocks)))
        self.hidden = nn.Linear(width, 2 * width)
        self.act = nn.ReLU()
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x * self.size)).mean((2, 3))
        out: Tensor = self.head(self.act(self.hidden(x)))
        return out


class TiedLM(nn.Module):
    """An embedding whose weight is the head's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(torch.relu(self.mix(self.embed(ids)))))
        return out


@dataclass(frozen=True)
class Coded:
    """A network as a trial trains it, what is deployed of it, and how to build it anew."""

    trained: nn.Module
    found: Deployable
    build: Callable[[], nn.Module]
    example: Any


def with_statistics(model: nn.Module) -> nn.Module:
    """Batch norms with statistics as of training, in evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


def coded(
    build: Callable[[], nn.Module] = Net,
    example: Any = None,
    *,
    weight_bits: int | dict[str, int] = 8,
    activation_bits: int = 8,
    density: dict[str, float] | None = None,
    placed: bool = True,
    seed: int = 0,
    **settings: Any,
) -> Coded:
    """Build, mask, quantize and calibrate a network.

    `weight_bits` and `activation_bits` are for all layers (32: none) or by layer, `density` by layer; `placed` puts
    quantizers where trials put them, else each layer quantizes its own input.
    """
    torch.manual_seed(seed)
    example = torch.randn(4, 3, 8, 8) if example is None else example
    model = with_statistics(build())
    names = [name for name, _ in weighted_layers(model)]
    layers = dict(weighted_layers(model))
    attach_masks(
        model, {name: torch.rand(weight_of(layers[name]).shape) < share for name, share in (density or {}).items()}
    )
    weights = weight_bits if isinstance(weight_bits, dict) else dict.fromkeys(names, weight_bits)
    inputs = dict.fromkeys(names, activation_bits)
    if placed and activation_bits < 32:
        settings |= {"placement": placement(model, lambda net: call(net, example), weights, inputs)}
    attach_quantizers(model, Quantization(weights, inputs, **settings))
    batches = [example] if not example.is_floating_point() else [example, example + 0.3 * torch.randn(example.shape)]
    calibrate(model, batches, call)
    return Coded(model.eval(), deployable(model), build, example)


def fresh(model: nn.Module) -> nn.Module:
    """A copy with other numbers in it, so that what a loader forgets is seen."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(3)
    return model


def reference_model(found: Deployable, example_input: Any) -> nn.Module:
    """A copy of the network with its values on their grids, all in floating point.

    Args:
        found: its batch norms not folded; left as it was.
        example_input: what the model is called with.
    """
    places = find_value_grids(found, example_input)
    model = copy.deepcopy(found.model).eval()
    attach_grids(model, places.inputs, places.outputs)
    return model
