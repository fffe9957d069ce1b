"""Which single layers, at which sizes and kinds, the recipes of a space can leave of a network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after, predict
from autoreg.latency.table.grid import log_spaced
from autoreg.latency.table.layer_key import LayerKey, kind_of
from autoreg.methods.bound import bind
from autoreg.methods.sparsity.structures.structure import Structure
from autoreg.network.geometry import Geometry, channels_of, geometry_of
from autoreg.network.shapes import LayerProfile, Profile
from autoreg.network.surgery.factors import full_rank

MAX_GROUP_LEVELS = 64  # levels of one channel group that are tabled; what lies between is interpolated
RANKS_PER_LAYER = 10  # ranks of one layer

Held = tuple[int, int, bool, str]  # bits of weight and input, symmetric, granularity


def reachable_keys(
    profile: Profile, geometries: Mapping[str, Geometry], drawn: Sequence[tuple[Mapping[str, Any], Levels]]
) -> tuple[set[LayerKey], bool]:
    """Entries of the latency table that recipes of a space need.

    Bits, dropped blocks and structures are those that the drawn recipes show; channels are complete: every number that
    a recipe's amount can leave in a group, in every combination that meets in one layer.

    Args:
        profile: of the dense network.
        geometries: of its layers, at the batch that is timed.
        drawn: random recipes of the space with their levels; some hundred, so that every kind is among them.

    Returns:
        The entries, and whether there are so many sizes that only some of them are among these.
    """
    held: dict[str, set[Held]] = defaultdict(set)
    shapes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    ranked = False
    for _, levels in drawn:
        ranked = ranked or bool(levels.ranks)
        for row in predict(profile, levels).per_layer:
            if not row.dropped:
                shapes[row.name].add(row.shape)
                held[row.name].add((row.bits, row.activation_bits, levels.symmetric, levels.granularity))
    named = [layer.name for layer in profile.layers]
    counts = channel_counts(profile, drawn)
    settings = [*_channel_levels(profile, counts)]
    settings += _rank_levels(profile) if ranked else []
    for levels in [Levels(), *settings]:
        for row in predict(profile, levels).per_layer:
            shapes[row.name].add(row.shape)
    found: set[LayerKey] = set()
    for name, seen in shapes.items():
        geometry = geometry_of(name, geometries)
        if geometry is None:
            continue
        whole = name if name in named else name.rpartition(".")[0]
        kinds = {
            kind_of(geometry, bits, values, symmetric=symmetric, granularity=granularity)
            for bits, values, symmetric, granularity in held[name] | held[whole]
        }
        for shape in seen:
            channels = channels_of(shape, geometry)
            found |= {LayerKey(kind, geometry, *channels) for kind in kinds}
    return found, ranked or any(len(values) > MAX_GROUP_LEVELS for values in counts.values())


def channel_counts(
    profile: Profile, drawn: Iterable[tuple[Mapping[str, Any], Levels]], dropped: Sequence[str] = ()
) -> dict[str, list[int]]:
    """By removable channel group, the numbers of channels that can stay, ascending, all of them included."""
    groups = [group for group in groups_after(profile, dropped) if group.removable]
    counts: dict[str, set[int]] = {group.id: {group.size} for group in groups}
    by_class: dict[type[Structure], list[Structure]] = {}
    for recipe, levels in drawn:
        if tuple(levels.dropped) == tuple(dropped):
            for group, retained in levels.channels.items():
                counts[group].add(retained)
        structure = bind(recipe).structure if levels.channels else None
        if structure is None:
            continue
        by_class.setdefault(type(structure), []).append(structure)
    for kind, structures in by_class.items():
        for group, values in kind.reachable_channels(structures, groups).items():
            counts[group].update(values)
    return {name: sorted(values) for name, values in counts.items()}


def _channel_levels(profile: Profile, counts: Mapping[str, Sequence[int]]) -> Iterable[Levels]:
    """Levels that show every layer with every combination of the groups that meet in it."""
    seen: set[tuple[str, ...]] = set()
    for layer in profile.layers:
        groups = tuple(sorted(_groups_of(layer) & {name for name, values in counts.items() if len(values) > 1}))
        if groups and groups not in seen:
            seen.add(groups)
            axis = MAX_GROUP_LEVELS if len(groups) < 3 else 4
            for sizes in product(*[log_spaced(set(counts[name]), axis) for name in groups]):
                yield Levels(channels=dict(zip(groups, sizes, strict=True)))


def _groups_of(layer: LayerProfile) -> set[str]:
    return {name for name in (layer.out_group, *[group for group, *_ in layer.in_groups]) if name is not None}


def _rank_levels(profile: Profile) -> list[Levels]:
    """Levels that write each layer as two, at ranks that are about evenly spread."""
    return [
        Levels(ranks={layer.name: rank})
        for layer in profile.layers
        if layer.factorable
        for rank in log_spaced(set(range(1, full_rank(layer.weight_shape) + 1)), RANKS_PER_LAYER)
    ]
