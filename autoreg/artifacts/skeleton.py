"""The artifact of a recipe before anything is trained: what its latency is timed on."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoreg.artifacts.deployable import deployable
from autoreg.artifacts.fold import fold
from autoreg.artifacts.onnx.graph import GraphCache
from autoreg.artifacts.onnx.int8 import quantize_graph
from autoreg.artifacts.onnx.runtime import saturates
from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after
from autoreg.latency.artifact_latency import signature
from autoreg.methods.quantization import Placement, Quantization, attach_calibrated, placement
from autoreg.methods.weights import weighted_layers
from autoreg.network.inputs import call
from autoreg.network.shapes import Profile
from autoreg.network.surgery.apply import apply_structure
from autoreg.network.surgery.factorize import factorize
from autoreg.network.trace import evaluating

_GRAPHS = GraphCache(fast=True)


def build_skeleton(model: nn.Module, example_input: Any, profile: Profile, levels: Levels) -> nn.Module:
    """Compress an untrained network, in place, as far as its shapes go; which channels leave does not matter here.

    Args:
        model: the dense network.
        example_input: one sample.
        profile: of the dense network.
        levels: what is dropped, removed and factored.
    """
    full = {group.id: group.size for group in groups_after(profile, levels.dropped)}
    removed = {name: list(range(full[name] - left)) for name, left in levels.channels.items() if left < full[name]}
    apply_structure(model, example_input, levels.dropped, removed)
    factorize(model, levels.ranks, values=False)
    return model.eval()


def layer_kinds(model: nn.Module, levels: Levels) -> dict[str, str]:
    """By layer, how its weight and its input are held, as far as a runtime distinguishes them.

    Returns:
        `fp32`, `int4` (weights alone, of linear layers), or `int8`; with `<8` where the input has fewer bits and
        `u` where the weight has zero points.
    """
    bits = levels.spread()
    found: dict[str, str] = {}
    for name, module in weighted_layers(model):
        weight, value = bits.weight_bits.get(name, 32), bits.activation_bits.get(name, 32)
        if value < 32 and weight < 32:
            found[name] = "int8" + ("" if value == 8 else "<8") + ("" if levels.symmetric else "u")
        elif value < 32:
            found[name] = "fp32<8"
        else:
            found[name] = "int4" if weight <= 4 and isinstance(module, nn.Linear) else "fp32"
    return found


def latency_key(model: nn.Module, example_input: Any, levels: Levels, *, act_symmetric: bool) -> str:
    """Digest of all that the latency of an artifact depends on beside the machine."""
    held = layer_kinds(model, levels)
    values = [held, act_symmetric, levels.granularity if any("u" in kind for kind in held.values()) else ""]
    text = json.dumps([signature(model, example_input), values, saturates(), _writers()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _writers() -> str:
    """Digest of the code that writes artifacts: what it wrote differently before was timed differently."""
    room = Path(__file__).parent
    files = [
        *(room / f"{name}.py" for name in ("deployable", "fold", "skeleton")),
        *sorted((room / "onnx").glob("*.py")),
    ]
    digest = hashlib.sha256()
    others = ("methods/quantization/placement.py", "network/consumers.py", "latency/onnx_runtime.py")
    for file in [*files, *(room.parent / name for name in others)]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def write_skeleton(
    model: nn.Module, example_input: Any, levels: Levels, *, act_symmetric: bool = False, batch: int | None = None
) -> bytes:
    """Export a compressed skeleton as ONNX, quantized at the bits of `levels`.

    Args:
        model: from `build_skeleton`; it is changed.
        example_input: what it is called with.
        levels: bits by layer of the dense network.
        act_symmetric: whether inputs are quantized with zero point 0.
        batch: samples in a call of a network whose batch cannot be free; by default those of the example.

    Raises:
        ExportError: the network cannot be written as ONNX.
    """
    present = {name for name, _ in weighted_layers(model)}
    spread = levels.spread()
    weight_bits, activation_bits = (
        {name: bits for name, bits in part.items() if bits < 32 and name in present}
        for part in (spread.weight_bits, spread.activation_bits)
    )
    run: Callable[[nn.Module], Any] = lambda network: call(network, example_input)  # noqa: E731
    found = placement(model, run, weight_bits, activation_bits) if activation_bits else Placement()
    settings = Quantization(
        weight_bits,
        activation_bits,
        granularity=levels.granularity,
        symmetric=levels.symmetric,
        act_symmetric=act_symmetric,
        placement=found,
    )
    with evaluating(model), torch.no_grad():
        attach_calibrated(model, settings, [None], lambda network, _: run(network))
    plain = fold(deployable(model), example_input)
    proto, _ = quantize_graph(_GRAPHS.filled(plain.model, example_input, batch=batch), plain)
    content: bytes = proto.SerializeToString()
    return content
