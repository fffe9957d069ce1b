"""From a recipe's rules to explicit levels per layer, before anything trains.

An allocation that looks at weights (global, LAMP) or a selector that looks at activations (angular distance) is
answered by one dense reference per task, so that what a recipe costs is known exactly beforehand and is the same
for every seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from autoreg.costs.levels import Levels
from autoreg.costs.profile import ChannelGroup, LayerProfile
from autoreg.errors import InputError
from autoreg.methods import create
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.counts import kept_channels, kept_count
from autoreg.methods.sparsity.structures import group_scores
from autoreg.plan import method_of
from autoreg.space import layer_values
from autoreg.trial.reference import Reference
from autoreg.trial.setup import Setup


def resolve(config: Mapping[str, Any], setup: Setup, reference: Reference) -> Levels:
    """Resolve a complete recipe to explicit levels.

    Args:
        config: a complete recipe.
        setup: the task and its profile.
        reference: gives scores and distances of the dense network, trained when first asked for.

    Returns:
        What is dropped, how many channels and weights stay, and the bits, for every layer that stays.

    Raises:
        InputError: the recipe leaves no block, or names a structure that the network does not have.
    """
    dropped = _dropped(config, setup, reference)
    layers = [layer for layer in setup.profile.layers if layer.block not in dropped]
    name, parameters = method_of(config["sparsity"])
    kept: dict[str, int] = {}
    channels: dict[str, int] = {}
    if name == "channel":
        channels = _channels(parameters, setup, reference, layers)
    elif name != "none":
        kept = _kept(name, parameters, layers, reference)
    quantization = config["quantization"]
    names = {layer.name for layer in layers}
    bits = {
        part: {
            layer: int(value)
            for layer, value in layer_values(quantization[part]["bits"], setup.layers).items()
            if layer in names
        }
        for part in ("weights", "activations")
    }
    return Levels(
        dropped=dropped,
        channels=channels,
        kept=kept,
        weight_bits=bits["weights"],
        activation_bits=bits["activations"],
        granularity=quantization["weights"]["granularity"],
        symmetric=quantization["weights"]["symmetric"],
    )


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


def _kept(
    name: str, parameters: Mapping[str, Any], layers: list[LayerProfile], reference: Reference
) -> dict[str, int]:
    structure = create("structure", name, parameters)
    shapes = [LayerShape(layer.name, tuple(layer.weight_shape), layer.groups) for layer in layers]
    if not hasattr(structure, "amount"):  # an N:M structure fixes its own amount
        return {shape.name: count for shape in shapes if (count := structure.kept(shape.shape)) is not None}
    allocation = structure.allocation
    scores = reference.scores(method_of(parameters["criterion"])) if allocation.needs_weights else None
    amounts = allocation.levels(shapes, _amount(structure.amount, layers), scores)
    return {layer.name: kept_count(_numel(layer), amounts[layer.name]) for layer in layers}


def _amount(amount: Any, layers: list[LayerProfile]) -> Any:
    if isinstance(amount, Mapping):
        from autoreg.space import LayerInfo

        return layer_values(amount, [LayerInfo(layer.name, layer.type) for layer in layers])
    return amount


def _numel(layer: LayerProfile) -> int:
    count = 1
    for size in layer.weight_shape:
        count *= size
    return count


def removable_groups(setup: Setup, layers: list[LayerProfile]) -> list[ChannelGroup]:
    """The channel groups that can be removed from what is left of the network."""
    names = {layer.name for layer in layers}
    return [g for g in setup.profile.channel_groups if g.removable and any(layer in names for layer, _ in g.members)]


def _channels(
    parameters: Mapping[str, Any], setup: Setup, reference: Reference, layers: list[LayerProfile]
) -> dict[str, int]:
    groups = removable_groups(setup, layers)
    if not groups:
        reasons = sorted({g.reason for g in setup.profile.channel_groups if g.reason}) or ["no coupled channels found"]
        raise InputError(
            f"sparsity: channel removes coupled channels, but the task {setup.task.name!r} has none that can go "
            f"({'; '.join(reasons)}); use another structure"
        )
    structure = create("structure", "channel", parameters)
    sizes = {layer.name: _numel(layer) for layer in setup.profile.layers}
    names = {layer.name for layer in layers}
    shapes = []
    for group in groups:
        weights = sum(sizes[layer] // group.size for layer, dim in group.members if dim == 0 and layer in names)
        shapes.append(LayerShape(group.id, (group.size, max(1, weights)), 1))
    scores = None
    if structure.allocation.needs_weights:
        per_weight = reference.scores(method_of(parameters["criterion"]))
        scores = {group.id: channel_scores(group, per_weight) for group in groups}
    amounts = structure.allocation.levels(shapes, structure.amount, scores)
    return {g.id: kept_channels(g.size, amounts[g.id], structure.round_to) for g in groups}


def channel_scores(group: ChannelGroup, scores: Mapping[str, Tensor]) -> Tensor:
    """One score per channel of a coupled group, from the scores of the weights of its layers; shape [size]."""
    members = [(layer, dim) for layer, dim in group.members if layer in scores]
    return group_scores(scores, members, group.size)
