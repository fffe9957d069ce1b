"""From a recipe's rules to explicit levels per layer, before anything trains.

An allocation that looks at weights (global, LAMP) or a selector that looks at activations (angular distance) is
answered by one dense reference per task, so that what a recipe costs is known exactly beforehand and is the same
for every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autoreg.costs.formulas import FLOAT_BITS
from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after
from autoreg.errors import InputError
from autoreg.methods import create
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.counts import retained_count
from autoreg.methods.sparsity.structures import group_scores
from autoreg.network.shapes import ChannelGroup, LayerProfile
from autoreg.network.surgery.factors import saves
from autoreg.plan import method_of
from autoreg.space import LayerInfo, layer_values
from autoreg.trial.reference import Reference
from autoreg.trial.setup import Setup


def resolve(config: Mapping[str, Any], setup: Setup, reference: Reference) -> Levels:
    """Resolve a complete recipe to explicit levels.

    Args:
        config: a complete recipe.
        setup: the task and its profile.
        reference: gives scores and distances of the dense network, trained when first asked for.

    Returns:
        What is dropped, how many channels, ranks and weights stay, and the bits, for every layer that stays. A layer
        whose weight another module holds too (a head tied to an embedding) is neither masked nor quantized. The input
        of a layer that is never called (the `out_proj` of torch's attention, which reads its weight) is not quantized.

    Raises:
        InputError: the recipe leaves no block, or names a structure that the network does not have.
    """
    dropped = _dropped(config, setup, reference)
    layers = [layer for layer in setup.profile.layers if layer.block not in dropped]
    name, parameters = method_of(config["sparsity"])
    kept: dict[str, int] = {}
    channels: dict[str, int] = {}
    ranks: dict[str, int] = {}
    if name == "channel":
        channels = _channels(parameters, setup, reference, layers, dropped)
    elif name == "low_rank":
        ranks = _ranks(parameters, setup, reference, layers)
    elif name != "none":
        kept = _kept(name, parameters, layers, reference)
    quantization = config["quantization"]
    names = {
        "weights": {layer.name for layer in layers if not layer.shared},
        "activations": {layer.name for layer in layers if layer.called and not layer.shared},
    }
    bits = {
        part: {
            layer: int(value)
            for layer, value in layer_values(quantization[part]["bits"], setup.layers).items()
            if layer in names[part]
        }
        for part in names
    }
    divided = _bits(quantization["weights"], [layer for layer in layers if not layer.shared], kept, reference)
    return Levels(
        dropped=dropped,
        channels=channels,
        retained=kept,
        weight_bits=bits["weights"] if divided is None else divided,
        activation_bits=bits["activations"],
        granularity=quantization["weights"]["granularity"],
        symmetric=quantization["weights"]["symmetric"],
        ranks=ranks,
    )


def _bits(
    weights: Mapping[str, Any], layers: Sequence[LayerProfile], kept: Mapping[str, int], reference: Reference
) -> dict[str, int] | None:
    """Bits by layer where an allocation divides them, None where every layer has what the recipe says."""
    name, parameters = method_of(weights["allocation"])
    if name == "uniform" or weights["bits"] == FLOAT_BITS:
        return None
    allocation = create("allocation", name, parameters)
    if not hasattr(allocation, "bits"):
        raise InputError(f"quantization.weights.allocation: {name} divides no bits; allowed here: uniform, sensitivity")
    if isinstance(weights["bits"], Mapping):
        raise InputError(f"quantization.weights: {name} divides one number of bits; bits per layer go with uniform")
    sizes = {layer.name: kept.get(layer.name, layer.weights) for layer in layers}
    found: dict[str, int] = allocation.bits(sizes, weights["bits"], reference.curves("bits", weights))
    return found


def _dropped(config: Mapping[str, Any], setup: Setup, reference: Reference) -> tuple[str, ...]:
    name, parameters = method_of(config["layers"]["drop"])
    if name == "none":
        return ()
    blocks = [block.name for block in setup.profile.blocks]
    if not blocks:
        raise InputError(
            f"layers.drop: {name} drops residual blocks, but the task {setup.task.name!r} has none whose input and "
            "output have the same shape; use layers.drop: none"
        )
    dropper = create("drop", name, parameters)
    distances = reference.block_distances() if getattr(dropper, "needs_distances", False) else None
    return tuple(dropper.select(blocks, distances))


def _kept(name: str, parameters: Mapping[str, Any], layers: list[LayerProfile], reference: Reference) -> dict[str, int]:
    structure = create("structure", name, parameters)
    layers = [layer for layer in layers if not layer.shared]
    shapes = [LayerShape(layer.name, tuple(layer.weight_shape), layer.groups) for layer in layers]
    if not hasattr(structure, "amount"):  # an N:M structure fixes its own amount
        return {shape.name: count for shape in shapes if (count := structure.kept(shape.shape)) is not None}
    allocation = structure.allocation
    scores: Mapping[str, Any] | None = None  # or curves
    if allocation.needs_weights:
        scores = reference.scores(method_of(parameters["criterion"]))
    elif getattr(allocation, "needs_curves", False):
        scores = reference.curves(name, parameters)
    named = [LayerInfo(layer.name, layer.type) for layer in layers]
    amounts = allocation.levels(shapes, _amount(structure.amount, named), scores)
    return {layer.name: retained_count(layer.weights, amounts[layer.name]) for layer in layers}


def _ranks(
    parameters: Mapping[str, Any], setup: Setup, reference: Reference, layers: list[LayerProfile]
) -> dict[str, int]:
    """Ranks of the layers that have fewer weights when they are factored; the others stay as they are."""
    shapes = [LayerShape(layer.name, tuple(layer.weight_shape)) for layer in layers if layer.factorable]
    if not shapes:
        raise InputError(
            f"sparsity: low_rank factors linear layers and convolutions, but the task {setup.task.name!r} has none "
            "that is not grouped, transposed, tied or read by other code; use another structure"
        )
    rule = create("structure", "low_rank", parameters).rank
    spectra = reference.spectra([shape.name for shape in shapes]) if rule.needs_weights else None
    found = rule.ranks(shapes, spectra)
    return {layer.name: found[layer.name] for layer in shapes if saves(layer.shape, found[layer.name])}


def _amount(amount: Any, layers: Sequence[LayerInfo]) -> Any:
    return layer_values(amount, layers) if isinstance(amount, Mapping) else amount


def _channels(
    parameters: Mapping[str, Any],
    setup: Setup,
    reference: Reference,
    layers: list[LayerProfile],
    dropped: tuple[str, ...],
) -> dict[str, int]:
    known = groups_after(setup.profile, dropped)
    groups = [group for group in known if group.removable]
    if not groups:
        reasons = sorted({group.reason for group in known if group.reason}) or ["no coupled channels found"]
        raise InputError(
            f"sparsity: channel removes coupled channels, but the task {setup.task.name!r} has none that can go "
            f"({'; '.join(reasons)}); use another structure"
        )
    structure = create("structure", "channel", parameters)
    sizes = {layer.name: layer.weights for layer in layers}
    shapes = [LayerShape(group.id, (group.size, _weights_per_channel(group, sizes))) for group in groups]
    scores: Mapping[str, Any] | None = None  # or curves
    if structure.allocation.needs_weights:
        per_weight = reference.scores(method_of(parameters["criterion"]))
        scores = {group.id: channel_scores(group, per_weight) for group in groups}
    elif getattr(structure.allocation, "needs_curves", False):
        scores = reference.curves("channel", parameters, dropped)
    amounts = structure.allocation.levels(shapes, _amount(structure.amount, groups_as_layers(groups)), scores)
    return {group.id: structure.kept(group.size, amounts[group.id], group.width) for group in groups}


def _weights_per_channel(group: ChannelGroup, sizes: Mapping[str, int]) -> int:
    return max(1, sum(sizes[name] // group.size for name in group.produced if name in sizes))


def groups_as_layers(groups: Sequence[ChannelGroup]) -> list[LayerInfo]:
    """Channel groups under the names that patterns of layers match: the first layer of each."""
    return [LayerInfo(group.id, "channels") for group in groups]


def channel_scores(group: ChannelGroup, scores: Mapping[str, Tensor]) -> Tensor:
    """One score per channel of a coupled group, from the scores of the weights of its layers; shape [size].

    Layers without scores (norms, and layers of dropped blocks) are passed over.
    """
    return group_scores(scores, group.members, group.size, spans=group.spans)
