"""Plain figures of a trial: totals of its costs, means over folds, and a record of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoreg.costs.formulas import FLOAT_BITS
from autoreg.costs.levels import Levels
from autoreg.costs.predict import Costs
from autoreg.network.shapes import Profile
from autoreg.network.surgery.factors import factor_names
from autoreg.trial_info import LayerRecord


def cost_metrics(costs: Costs) -> dict[str, float]:
    """The totals of a recipe's costs, as metrics."""
    names = ("flops", "effective_flops", "bops", "weights", "params", "bytes")
    return {name: float(getattr(costs, name)) for name in names}


def mean_metrics(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric."""
    return {name: sum(metrics[name] for metrics in found) / len(found) for name in found[0]}


def layer_records(costs: Costs, levels: Levels) -> list[LayerRecord]:
    """What the report shows of each layer: structure, density, bits, and whether it is still there.

    Two layers of low rank say in whose place they stand, as `factor_of`.
    """
    factors = {factor: name for name in levels.ranks for factor in factor_names(name)}
    return [
        LayerRecord(
            name=layer.name,
            type=layer.type,
            shape=tuple(layer.shape),
            macs=layer.macs,
            density=layer.retained / layer.weight_count if layer.weight_count else 0.0,
            weight_bits=layer.bits,
            activation_bits=layer.activation_bits,
            dropped=layer.dropped,
            factor_of=factors.get(layer.name),
        )
        for layer in costs.per_layer
    ]


def with_dropped(records: Sequence[LayerRecord], whole: Profile) -> list[LayerRecord]:
    """Records of a network's layers with those that it never had, marked as dropped, in the order of the whole one.

    Args:
        records: of the network as it is trained.
        whole: profile of the network that the task builds.
    """
    present = {record.factor_of or record.name for record in records}
    places = {layer.name: place for place, layer in enumerate(whole.layers)}
    gone = [
        LayerRecord(layer.name, layer.type, (), 0, 0.0, FLOAT_BITS, FLOAT_BITS, dropped=True)
        for layer in whole.layers
        if layer.name not in present
    ]
    if not gone or not present <= places.keys():
        return list(records)
    return sorted([*records, *gone], key=lambda record: places[record.factor_of or record.name])


def sum_by_key(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The sum of each value, over the mappings that have it."""
    total: dict[str, float] = {}
    for part in found:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total
