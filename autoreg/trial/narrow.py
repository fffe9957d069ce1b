"""The section `network` of a recipe: from its rules to the network that the recipe is carried out on."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after
from autoreg.errors import InputError
from autoreg.methods.bound import BoundNetwork, BoundRecipe, bind
from autoreg.methods.discovery import spec_of
from autoreg.network.shapes import Profile
from autoreg.space import LayerInfo, layer_values
from autoreg.trial.narrow_setup import BuiltSetup, CutSetup, NarrowSetup
from autoreg.trial.reference import Reference
from autoreg.trial.setup import Setup


def reference_for(recipe: Mapping[str, Any] | BoundRecipe, reference: Reference) -> Reference:
    """The dense reference on the network that a recipe has from the start.

    Args:
        recipe: a complete recipe, bound to its methods or not yet.
        reference: of the whole network.

    Returns:
        `reference` itself where the recipe leaves the network as it is; else one cut out of it, with a setup of its
        own. The same network gives the same object.

    Raises:
        InputError: the network does not have the blocks or channels that the recipe asks for.
    """
    bound = bind(recipe)
    if bound.network is None:
        return reference
    setup = narrow_setup(bound.network, reference, trained=bound.starts_trained)
    return reference if setup is None else reference.narrowed(setup, bound.network.inherit)


def network_record(recipe: BoundRecipe, setup: Setup) -> dict[str, Any] | None:
    """What of the section `network` the phases of a recipe hang on; None where the network is the whole one."""
    if recipe.network is None or not setup.network_record:
        return None
    inherited = {"inherit": recipe.config["network"]["inherit"]} if recipe.starts_trained else {}
    return {**setup.network_record, **inherited}


def narrow_setup(network: BoundNetwork, reference: Reference, *, trained: bool) -> NarrowSetup | None:
    """The task with the network that a recipe names, made once; None where that is the whole one.

    Raises:
        InputError: the network does not have the blocks or channels that the recipe asks for.
    """
    asked = f"{network.key} {trained}"
    if asked not in reference.narrow_setups:
        reference.narrow_setups[asked] = _made(network, reference, trained=trained)
    return reference.narrow_setups[asked]


def _made(network: BoundNetwork, reference: Reference, *, trained: bool) -> NarrowSetup | None:
    setup = reference.setup
    if builds_itself(setup.task):
        width, blocks = _builder_arguments(network)
        if width == 1 and blocks is None:
            return None
        return setup.narrowed(repr((width, blocks)), lambda: BuiltSetup(setup, width, blocks))
    levels = network_levels(network, reference, trained=trained)
    if not levels.dropped and not levels.channels:
        return None
    key = repr((levels.dropped, sorted(levels.channels.items())))
    return setup.narrowed(key, lambda: CutSetup(setup, levels))


def network_levels(network: BoundNetwork, reference: Reference, *, trained: bool) -> Levels:
    """The blocks that go and the channels that stay, explicitly.

    Args:
        network: the section of a recipe.
        reference: of the whole network.
        trained: whether the recipe starts from trained weights; blocks are then scored on these.

    Raises:
        InputError: the network has too few blocks, or no channels that can go.
    """
    setup = reference.setup
    names = [block.name for block in setup.profile.blocks]
    scores = reference.block_scores(network.blocks, trained=trained) if network.blocks.needs and names else None
    return levels_of(network, setup.profile, setup.layers, scores, place=f"the task {setup.task.name!r}")


def levels_of(
    network: BoundNetwork,
    profile: Profile,
    layers: Sequence[LayerInfo],
    scores: Mapping[str, float] | None,
    *,
    place: str,
) -> Levels:
    """The blocks that go and the channels that stay of a network.

    Args:
        network: the section of a recipe.
        profile: of the whole network.
        layers: its weighted layers, which patterns are over.
        scores: of its blocks, where the recipe's choice needs them.
        place: whose network it is, for messages.

    Raises:
        InputError: the network has too few blocks, or no channels that can go.
    """
    names = [block.name for block in profile.blocks]
    stay = set(network.blocks.select(names, scores))
    dropped = tuple(name for name in names if name not in stay)
    widths = layer_values(network.width, layers)
    groups = groups_after(profile, dropped)
    removable = [group for group in groups if group.removable]
    if not removable and min(widths.values(), default=1.0) < 1:
        reasons = sorted({group.reason for group in groups if group.reason}) or ["no coupled channels found"]
        raise InputError(
            f"network.width: {min(widths.values()):g} removes channels, but {place} has none that "
            f"can go ({'; '.join(reasons)}); allowed here: 1"
        )
    left = {group.id: part_of(group.size, float(widths[group.id])) for group in removable}
    return Levels(dropped=dropped, channels={g.id: left[g.id] for g in removable if left[g.id] < g.size})


def part_of(channels: int, width: float) -> int:
    """Channels of a group at a width in (0, 1]: to the nearest, of two the larger, at least 1.

    >>> [part_of(16, width) for width in (1.0, 0.5, 0.28125, 0.01)]
    [16, 8, 5, 1]
    """
    return max(1, math.floor(channels * width + 0.5))


def builds_itself(task: Any) -> bool:
    """Whether a task's `build_model` takes `width` and `blocks`: it then builds narrow networks itself."""
    return {"width", "blocks"} <= inspect.signature(task.build_model).parameters.keys()


def _builder_arguments(network: BoundNetwork) -> tuple[float, int | None]:
    if isinstance(network.width, Mapping):
        raise InputError("network.width: the task builds its network itself, at one width; allowed: a single number")
    if network.blocks.needs:
        name = spec_of(network.blocks).name
        raise InputError(
            f"network.blocks: {name} chooses among the blocks of the whole network, but the task builds its network "
            "itself, with a number of blocks; allowed: all, first"
        )
    return float(network.width), network.blocks.keep
