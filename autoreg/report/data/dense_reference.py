"""The dense network of a study, and comparisons of its trials and exported models with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreg.engine.log.records import Record
from autoreg.methods.discovery import find_class
from autoreg.report.data.exported_model import ExportedModel
from autoreg.report.data.load import StudyData
from autoreg.report.data.network_comparison import FULL_PRECISION_BITS, ComputedLayer, NetworkComparison
from autoreg.report.data.trial_values import costs_of
from autoreg.trial_info import Latency, LayerRecord, TrialInfo

Architecture = tuple[tuple[str, tuple[int, ...], bool], ...]
"""Name and shape of every layer, and whether it was dropped."""


def computed_layers(
    layers: Sequence[LayerRecord], dense: Sequence[LayerRecord], precision: Mapping[str, str] | None
) -> tuple[ComputedLayer, ...]:
    """The layers that were not dropped and multiply.

    Args:
        layers: of a trial.
        dense: those of the dense network.
        precision: by layer, in an exported model; None: as their bits imply.
    """
    full = {layer.name: layer.shape for layer in dense}
    return tuple(
        ComputedLayer(
            name=layer.name,
            macs=layer.macs,
            channels=layer.shape[:2],
            reduced=tuple(n for n, whole in zip(layer.shape[:2], full.get(layer.name, ()), strict=False) if n < whole),
            weight_bits=layer.weight_bits,
            activation_bits=layer.activation_bits,
            precision=_implied_precision(layer) if precision is None else precision.get(layer.name, "fp32"),
            low_rank=layer.factor_of is not None,
        )
        for layer in layers
        if not layer.dropped and layer.macs > 0
    )


def _implied_precision(layer: LayerRecord) -> str:
    if layer.weight_bits <= 8 and layer.activation_bits <= 8:
        return "int8"
    weights_only = layer.weight_bits <= 4 and layer.activation_bits == FULL_PRECISION_BITS
    return "int4" if layer.type == "Linear" and weights_only else "fp32"


@dataclass(frozen=True)
class DenseComparison:
    """What every network of a study is compared with.

    Attributes:
        data: the study.
        dense: record of the dense recipe, None where no trial has it.
        fp32_latencies: trial and milliseconds of networks in fp32, by architecture.
    """

    data: StudyData
    dense: Record | None
    fp32_latencies: Mapping[Architecture, tuple[int, float]]

    @classmethod
    def of(cls, data: StudyData) -> DenseComparison:
        """Collect the dense recipe and the networks in fp32 from a study's records."""
        known: dict[Architecture, tuple[int, float]] = {}
        for record in data.state.records:
            rows = [layer for layer in record.info.layers if not layer.dropped]
            bits = {bits for layer in rows for bits in (layer.weight_bits, layer.activation_bits)}
            latency = record.info.latency
            if bits == {FULL_PRECISION_BITS} and latency is not None:
                known.setdefault(_architecture(record), (record.number, latency.ms))
        return cls(data, data.dense_record, known)

    def compare_exported(self, model: ExportedModel, dense: ExportedModel | None) -> NetworkComparison | None:
        """A member's exported model beside the dense one; None where one was not timed, or its trial is unknown."""
        record = self.record_of(model)
        if record is None or dense is None or model.latency is None or dense.latency is None:
            return None
        return self._compare(record, model.latency, dense.latency, model.precision)

    def compare_trial(self, number: int | None) -> NetworkComparison | None:
        """A trial's untrained export beside that of the dense recipe; None where one was not timed.

        Its layers are taken to be computed in the precision that their bits imply.
        """
        record = self.record(number)
        if record is None or self.dense is None:
            return None
        mine, dense = record.info.latency, self.dense.info.latency
        return None if mine is None or dense is None else self._compare(record, mine, dense, None)

    def layers(self, record: Record, precision: Mapping[str, str] | None) -> tuple[ComputedLayer, ...]:
        """The layers of a trial that multiply."""
        return computed_layers(record.info.layers, self.dense.info.layers if self.dense else (), precision)

    def record_of(self, model: ExportedModel) -> Record | None:
        """The record of an exported model's recipe: of its trial, else of the baseline that has its name."""
        if model.trial is not None:
            return self.record(model.trial)
        if model.is_dense and self.dense is not None:
            return self.dense
        found = next((one for one in self.data.final.baselines if one.name == model.name), None)
        if found is None:
            return None
        info = TrialInfo(layers=list(found.layers))
        return Record(-1, dict(found.config or {}), found.name, 0, {}, metrics=dict(found.metrics), info=info)

    def record(self, number: int | None) -> Record | None:
        """The record of a trial, None where there is none."""
        records = self.data.state.records
        return records[number] if number is not None and 0 <= number < len(records) else None

    def _compare(
        self, record: Record, mine: Latency, dense: Latency, precision: Mapping[str, str] | None
    ) -> NetworkComparison:
        costs = costs_of(record)
        layers = self.layers(record, precision)
        flops = costs.get("flops", 0.0)

        def ratio(name: str) -> float | None:
            whole = self.data.dense.get(name)
            return costs[name] / whole if name in costs and whole else None

        return NetworkComparison(
            time=mine.ms / dense.ms,
            low=mine.low / dense.high,
            high=mine.high / dense.low,
            ms=mine.ms,
            flops=ratio("flops"),
            effective_flops=ratio("effective_flops"),
            layers=layers,
            dropped=sum(layer.dropped for layer in record.info.layers),
            unweighted=max(0.0, 1 - 2 * sum(layer.macs for layer in layers) / flops) if flops and layers else 0.0,
            zeros=_kind_of_zeros(record.config),
            fp32_counterpart=self._fp32_counterpart(record),
            dense_kernels="cuda" not in mine.runtime.lower(),
        )

    def _fp32_counterpart(self, record: Record) -> tuple[int, float] | None:
        mine, other = record.info.latency, self.fp32_latencies.get(_architecture(record))
        if mine is None or other is None or other[0] == record.number:
            return None
        return other[0], mine.ms / other[1]


def _kind_of_zeros(config: Mapping[str, Any]) -> str:
    sparsity = config.get("sparsity")
    found = find_class("structure", next(iter(sparsity))) if isinstance(sparsity, Mapping) and sparsity else None
    return "" if found is None else str(found.zeros)


def _architecture(record: Record) -> Architecture:
    return tuple((layer.name, layer.shape, layer.dropped) for layer in record.info.layers)
