"""How well latency was foretold: the study's own predictions against what it measured, and the table's own check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autoreg.report.data.files import mapping
from autoreg.report.data.table import is_number
from autoreg.report.data.timed import percent

if TYPE_CHECKING:
    from autoreg.report.data.load import StudyData


@dataclass(frozen=True)
class Foretold:
    """One measured latency and what the table foretold of it, in milliseconds.

    Attributes:
        trial: the first that has it.
        predicted: from the table.
        low: lower end of the interval that 9 of 10 are meant to lie in.
        high: its upper end.
        measured: median of timed runs.
        noisy: the machine was disturbed meanwhile.
        integers: some layer has weights and inputs of at most 8 bits.
    """

    trial: int
    predicted: float
    low: float
    high: float
    measured: float
    noisy: bool = False
    integers: bool = False

    @property
    def error(self) -> float:
        """|predicted - measured| / measured."""
        return abs(self.predicted - self.measured) / self.measured


def foretold(data: StudyData) -> list[Foretold]:
    """Predictions of the study's distinct measured latencies: trials that share a measurement count once."""
    found: dict[tuple[object, ...], Foretold] = {}
    for record in data.state.records:
        latency, predicted = record.info.latency, record.info.latency_predicted
        if latency is None or predicted is None:
            continue
        integers = any(
            layer.weight_bits <= 8 and layer.activation_bits <= 8 for layer in record.info.layers if not layer.dropped
        )
        ends = predicted.ms, predicted.low, predicted.high
        one = Foretold(record.number, *ends, latency.ms, latency.noisy, integers)
        found.setdefault((latency.ms, latency.low, latency.high, latency.runs, latency.reference_ms), one)
    return list(found.values())


def error_quantiles(pairs: Sequence[Foretold]) -> tuple[float, float]:
    """Median and 90th percentile of the relative errors of at least one prediction, interpolated between neighbours."""
    errors = [pair.error for pair in pairs]
    return float(np.quantile(errors, 0.5)), float(np.quantile(errors, 0.9))


def foretold_sentences(data: StudyData) -> list[str]:
    """The errors of predicted latency, in this study and where the table was built; empty when nothing was foretold."""
    pairs, sentences = foretold(data), []
    if pairs:
        median, ninth = error_quantiles(pairs)
        inside = sum(pair.low <= pair.measured <= pair.high for pair in pairs)
        noisy = sum(pair.noisy for pair in pairs)
        count = f"{len(pairs)} different networks" if len(pairs) > 1 else "one network"
        sentences.append(
            f"Before a network was timed, its latency was foretold from this machine's table. Over {count} of this "
            f"study |predicted - measured| / measured is {percent(median)} at the median and {percent(ninth)} at the "
            f"90th percentile; {inside} of {len(pairs)} lay within the predicted interval, which is made for 9 of 10."
        )
        if noisy:
            sentences.append(f"{noisy} of them {'was' if noisy == 1 else 'were'} timed on a disturbed machine.")
    table = mapping(data.study.get("latency_table"))
    ends = [table.get(name) for name in ("error_median", "error_p90")]
    if all(is_number(end) for end in ends):
        recipes, entries = table.get("recipes"), table.get("entries")
        held_out = f"{recipes} held-out recipes" if is_number(recipes) else "held-out recipes"
        size = f" of {entries:,} layer times" if is_number(entries) else ""
        median, ninth = (float(end) for end in ends if is_number(end))
        sentences.append(
            f"When the table{size} was built, the error on {held_out} was {percent(median)} at the median and "
            f"{percent(ninth)} at the 90th percentile."
        )
    return sentences
