"""A study's networks beside its dense one: costs, layers and time as shares, from the records of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoreg.report.data.files import FileRow, interval
from autoreg.report.data.table import numbers
from autoreg.report.data.timed import Timed, TimedLayer, comparison
from autoreg.report.text.time_reasons import reasons

if TYPE_CHECKING:
    from autoreg.engine.log.records import Record
    from autoreg.report.data.front import FrontRow
    from autoreg.report.data.load import StudyData
    from autoreg.trial_info import LayerRecord

Structure = tuple[tuple[str, tuple[int, ...], bool], ...]  # name and shape of every layer, and whether it is gone


def layers_of(
    rows: Sequence[LayerRecord], dense: Sequence[LayerRecord], runs: Mapping[str, str] | None
) -> tuple[TimedLayer, ...]:
    """The layers that are left and multiply.

    Args:
        rows: a trial's record of its layers.
        dense: that of the dense network.
        runs: how they run in a file; None: as their bits let expect.
    """
    full = {row.name: row.shape for row in dense}
    found = []
    for row in rows:
        if row.dropped or row.macs <= 0:
            continue
        expected = _expected(row.weight_bits, row.activation_bits, row.type == "Linear")
        channels, before = row.shape[:2], full.get(row.name, ())
        found.append(
            TimedLayer(
                name=row.name,
                macs=row.macs,
                channels=channels,
                cut=tuple(n for n, whole in zip(channels, before, strict=False) if n < whole),
                weight_bits=row.weight_bits,
                activation_bits=row.activation_bits,
                runs=expected if runs is None else runs.get(row.name, "fp32"),
                factor=row.factor_of is not None,
            )
        )
    return tuple(found)


def _expected(weight_bits: int, activation_bits: int, linear: bool) -> str:
    if weight_bits <= 8 and activation_bits <= 8:
        return "int8"
    return "int4" if linear and weight_bits <= 4 and activation_bits == 32 else "fp32"


@dataclass(frozen=True)
class Comparer:
    """What every network of a study is compared with.

    Attributes:
        data: the study.
        dense: record of the dense recipe, None where no trial is.
        in_fp32: trial and milliseconds of networks in floating point, by structure.
    """

    data: StudyData
    dense: Record | None
    in_fp32: Mapping[Structure, tuple[int, float]]

    @classmethod
    def of(cls, data: StudyData) -> Comparer:
        """Survey a study's records."""
        known: dict[Structure, tuple[int, float]] = {}
        for record in data.state.records:
            rows = [row for row in record.info.layers if not row.dropped]
            bits = {bits for row in rows for bits in (row.weight_bits, row.activation_bits)}
            ms = interval(record.info.latency)
            if bits == {32} and ms is not None:
                known.setdefault(_structure(record), (record.number, ms[0]))
        dense = next((record for record in data.state.complete() if record.source == "dense"), None)
        return cls(data, dense, known)

    def file(self, row: FileRow, dense: FileRow | None) -> Timed | None:
        """A member's file beside the dense one; None where either was not timed, or the trial is not on record."""
        record = self.record(row.trial)
        if record is None or dense is None or row.ms is None or dense.ms is None:
            return None
        return self._timed(record, row.ms, dense.ms, row.runs, row.latency.runtime if row.latency else "")

    def trial(self, number: int) -> Timed | None:
        """A trial's exported skeleton beside that of the dense recipe; None where either was not timed.

        How its layers run is taken to be as their bits let expect.
        """
        record = self.record(number)
        if record is None or self.dense is None:
            return None
        mine, whole = (interval(r.info.latency) for r in (record, self.dense))
        if mine is None or whole is None:
            return None
        return self._timed(record, mine, whole, None, record.info.latency.runtime if record.info.latency else "")

    def layers(self, number: int | None, runs: Mapping[str, str] | None) -> tuple[TimedLayer, ...]:
        """The layers that a trial leaves (None: those of the dense recipe)."""
        record = self.dense if number is None else self.record(number)
        whole = self.dense.info.layers if self.dense else []
        return layers_of(record.info.layers, whole, runs) if record is not None else ()

    def record(self, number: int | None) -> Record | None:
        """The record of a trial, None where there is none."""
        records = self.data.state.records
        return records[number] if number is not None and 0 <= number < len(records) else None

    def _timed(
        self,
        record: Record,
        ms: tuple[float, float, float],
        dense_ms: tuple[float, float, float],
        runs: Mapping[str, str] | None,
        runtime: str,
    ) -> Timed:
        values = costs_of(record)
        layers = self.layers(record.number, runs)
        flops = values.get("flops", 0.0)

        def share(name: str) -> float | None:
            whole = self.data.dense.get(name)
            return values[name] / whole if name in values and whole else None

        return Timed(
            time=ms[0] / dense_ms[0],
            low=ms[1] / dense_ms[2],
            high=ms[2] / dense_ms[1],
            ms=ms[0],
            flops=share("flops"),
            effective=share("effective_flops"),
            layers=layers,
            dropped=sum(row.dropped for row in record.info.layers),
            functional=max(0.0, 1 - 2 * sum(layer.macs for layer in layers) / flops) if flops and layers else 0.0,
            zeros=_zeros(record.config),
            twin=self._twin(record),
            dense_kernels="cuda" not in runtime.lower(),
        )

    def _twin(self, record: Record) -> tuple[int, float] | None:
        """The trial that timed the same network in floating point, and this trial's time over that one's."""
        mine, other = interval(record.info.latency), self.in_fp32.get(_structure(record))
        if mine is None or other is None or other[0] == record.number:
            return None
        return other[0], mine[0] / other[1]


def costs_of(record: Record) -> dict[str, float]:
    """What a trial costs, as counted, else as predicted."""
    return numbers(record.costs) | numbers(record.metrics)


def _zeros(config: Mapping[str, Any]) -> str:
    sparsity = config.get("sparsity")
    names = list(sparsity) if isinstance(sparsity, Mapping) else []
    ratio = next((str(name) for name in names if ":" in str(name)), "")
    return ratio or ("unstructured" if "weight" in names else "")


def _structure(record: Record) -> Structure:
    return tuple((layer.name, layer.shape, layer.dropped) for layer in record.info.layers)


def time_notes(data: StudyData, rows: Sequence[FrontRow]) -> list[str]:
    """What the trials' times say of the members of a front whose costs and time differ, one text a member."""
    comparer = Comparer.of(data)
    notes = []
    for row in rows:
        net = comparer.trial(row.trial)
        if net is not None and (why := reasons(net)):
            notes.append(f"Trial {row.trial} ({row.phrase}): {' '.join([comparison(net), *why])}")
    return notes
