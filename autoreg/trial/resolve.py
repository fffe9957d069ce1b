"""From a recipe's rules to explicit levels per layer, before anything trains.

An allocation that looks at weights (global, LAMP) or a selector that looks at activations (angular distance) is
answered by one dense reference per task, so that what a recipe costs is known exactly beforehand and is the same
for every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autoreg.costs.formulas import FLOAT_BITS
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.methods.bound import BoundQuantization, BoundRecipe, bind, lowest_bits
from autoreg.methods.discovery import method_class, methods_with, spec_of
from autoreg.methods.quantization.weight_bits import WeightBits
from autoreg.network.shapes import LayerProfile
from autoreg.space import layer_values
from autoreg.trial.narrow import reference_for
from autoreg.trial.reference import Reference
from autoreg.trial.setup import Setup


def resolve_network(recipe: Mapping[str, Any] | BoundRecipe, reference: Reference) -> tuple[Setup, Levels]:
    """Resolve a complete recipe on the network that it has from the start.

    Args:
        recipe: a complete recipe, bound to its methods or not yet.
        reference: of the whole network.

    Returns:
        The task with the recipe's network, and the levels of that network.

    Raises:
        InputError: the network does not have what the recipe asks for.
    """
    recipe = bind(recipe)
    own = reference_for(recipe, reference)
    return own.setup, resolve(recipe, own.setup, own)


def resolve(recipe: Mapping[str, Any] | BoundRecipe, setup: Setup, reference: Reference) -> Levels:
    """Resolve a complete recipe to explicit levels.

    Args:
        recipe: a complete recipe, bound to its methods or not yet.
        setup: the task and its profile, with the network that the recipe has from the start.
        reference: of that network; gives scores and distances of the dense network, trained when first asked for.

    Returns:
        What is dropped, how many channels, ranks and weights stay, and the bits, for every layer that stays. A layer
        whose weight another module holds too (a head tied to an embedding) is neither masked nor quantized. The input
        of a layer that is never called (the `out_proj` of torch's attention, which reads its weight) is not quantized.

    Raises:
        InputError: the recipe leaves no block, names a structure that the network does not have, or a teacher that
            cannot teach on this task.
    """
    recipe = bind(recipe)
    check_teacher(setup, recipe.teacher)
    dropped = _dropped(recipe.drop, setup, reference)
    network = setup.without_blocks(dropped)
    levels = Levels() if recipe.structure is None else recipe.structure.resolve(network, reference)
    stored = [layer for layer in network.layers if not layer.shared]
    weight_bits = _weight_bits(recipe.quantization, stored, setup, levels.retained, reference)
    inputs = {layer.name for layer in stored if layer.called}
    return replace(
        levels,
        dropped=dropped,
        weight_bits=weight_bits,
        activation_bits=_bits_of(recipe.quantization.activation_bits, setup, inputs),
        granularity=recipe.quantization.granularity,
        symmetric=recipe.quantization.symmetric,
    )


def check_teacher(setup: Setup, teacher: Any) -> None:
    """Refuse a teacher that cannot teach on a task, before anything trains.

    Args:
        setup: the task.
        teacher: a method of the kind `teacher`, or None.

    Raises:
        InputError: the method does not take what the task's network gives, or asks for several trainings of a network
            that the task brings trained.
    """
    if teacher is None:
        return
    name, form, task = spec_of(teacher).name, setup.output_form, setup.task.name
    if form not in teacher.outputs:
        able = [n for n in methods_with("teacher", "outputs") if form in method_class("teacher", n).outputs]
        raise InputError(
            f"teacher: {name} learns outputs that are {' or '.join(teacher.outputs)}; those of task {task!r} are {form}"
            f"; allowed: {', '.join(['none', *able])}"
        )
    several = hasattr(teacher, "again") or (getattr(teacher, "of", "") == "ensemble" and teacher.members > 1)
    if setup.given_weights is not None and several:
        raise InputError(
            f"teacher: {name} of several trainings: task {task!r} brings its network trained, of which there is one; "
            "allowed: a method that learns from one training, with of: dense"
        )


def _bits_of(bits: Any, setup: Setup, names: set[str]) -> dict[str, int]:
    return {layer: int(value) for layer, value in layer_values(bits, setup.layers).items() if layer in names}


def _weight_bits(
    quantization: BoundQuantization,
    layers: Sequence[LayerProfile],
    setup: Setup,
    retained: Mapping[str, int],
    reference: Reference,
) -> dict[str, int]:
    """Bits of the weights that are stored, as the allocation divides them."""
    by_layer = _bits_of(quantization.weight_bits, setup, {layer.name for layer in layers})
    if lowest_bits(quantization.weight_bits) == FLOAT_BITS:
        return by_layer
    allocation = quantization.allocation
    if not hasattr(allocation, "bits"):
        name, allowed = spec_of(allocation).name, ", ".join(methods_with("allocation", "bits"))
        raise InputError(f"quantization.weights.allocation: {name} divides no bits; allowed here: {allowed}")
    bits = by_layer if isinstance(quantization.weight_bits, Mapping) else quantization.weight_bits
    sizes = {layer.name: retained.get(layer.name, layer.weights) for layer in layers}
    curves = None
    if "curves" in allocation.needs and not isinstance(bits, Mapping):
        curves = reference.curves(WeightBits(quantization.granularity, quantization.symmetric))
    found: dict[str, int] = allocation.bits(sizes, bits, curves)
    return found


def _dropped(selector: Any, setup: Setup, reference: Reference) -> tuple[str, ...]:
    if selector is None:
        return ()
    blocks = [block.name for block in setup.profile.blocks]
    if not blocks:
        raise InputError(
            f"layers.drop: {spec_of(selector).name} drops residual blocks, but the task {setup.task.name!r} has none "
            "whose input and output have the same shape; use layers.drop: none"
        )
    distances = reference.block_distances() if "distances" in selector.needs else None
    return tuple(selector.select(blocks, distances))
