"""The files of a study: the dense network and the members of the final front as they were exported, run and timed.

Reads the rows of final.json and of the trials' records; whatever is missing there is left out. Torch is not imported.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoreg.report.data.table import is_number, numbers
from autoreg.report.data.timed import TimedLayer
from autoreg.report.text.phrase import number
from autoreg.trial_info import Latency, PredictedLatency

if TYPE_CHECKING:
    from autoreg.report.data.load import StudyData

KINDS = ("int8", "int4", "fp32")


@dataclass(frozen=True)
class FileRow:
    """One file, as final.json holds it.

    Attributes:
        name: `dense` or `trial 7`.
        trial: number of the trial, None for the dense network.
        file: the file's name.
        file_bytes: its size on disk, None where not known.
        runs: by layer how it runs: `int8`, `int4` (weights alone) or `fp32`; layers that are not named run in fp32.
        agreement: of its outputs with those that the trial recorded: samples, top1, max_difference, scale.
        metrics: of the file.
        recorded: of the trial.
        latency: of the file, None where it was not timed.
        notes: remarks.
        fault: why there is no file; empty where there is one.
    """

    name: str
    trial: int | None
    file: str = ""
    file_bytes: int | None = None
    runs: Mapping[str, str] = field(default_factory=dict)
    agreement: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    recorded: Mapping[str, float] = field(default_factory=dict)
    latency: Latency | None = None
    notes: tuple[str, ...] = ()
    fault: str = ""

    @property
    def ms(self) -> tuple[float, float, float] | None:
        """Median and the ends of its 95 % interval, None where the file was not timed."""
        return interval(self.latency)


def interval(latency: Latency | PredictedLatency | None) -> tuple[float, float, float] | None:
    """Milliseconds of a latency: median, low, high; None where there is none."""
    return None if latency is None else (latency.ms, latency.low, latency.high)


def milliseconds(value: float) -> str:
    """Three digits, zeros at the end among them: `0.440`, `12.3`, `1,234`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def file_rows(data: StudyData) -> list[FileRow]:
    """The files of a study, the dense one first; empty before the final measurement."""
    found = data.final.get("files")
    rows = [_file_row(row) for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    return sorted(rows, key=lambda row: row.trial is not None)


def _file_row(row: Mapping[str, Any]) -> FileRow:
    trial, size, notes = row.get("trial"), row.get("file_bytes"), row.get("notes")
    return FileRow(
        name=str(row.get("name") or ("dense" if trial is None else f"trial {trial}")),
        trial=trial if isinstance(trial, int) else None,
        file=str(row.get("file") or ""),
        file_bytes=size if isinstance(size, int) else None,
        runs={str(k): str(v) for k, v in mapping(row.get("runs")).items()},
        agreement=mapping(row.get("agreement")),
        metrics=numbers(mapping(row.get("metrics"))),
        recorded=numbers(mapping(row.get("recorded"))),
        latency=Latency.from_dict(row.get("latency")),
        notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
        fault=str(row.get("fault") or ""),
    )


def mapping(value: Any) -> Mapping[str, Any]:
    """A value of a JSON file where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def running_words(layers: Sequence[TimedLayer], runs: Mapping[str, str]) -> str:
    """How the layers of a file run, counted: `9 layers int8, 2 layers fp32`.

    Args:
        layers: those that are left; empty where the record does not say.
        runs: by layer, of those that hold integers or a grid.
    """
    counted = Counter(layer.runs for layer in layers) if layers else Counter(runs.values())
    if not counted:
        return "fp32"
    kinds = [*(kind for kind in KINDS if counted[kind]), *sorted(kind for kind in counted if kind not in KINDS)]
    return ", ".join(f"{counted[kind]} {'layer' if counted[kind] == 1 else 'layers'} {kind}" for kind in kinds)


def agreement_words(agreement: Mapping[str, Any]) -> str:
    """How a file's outputs agree: `same answer in 99.8 % of 500 samples, largest difference 0.08 of 14`."""
    parts = []
    top1, samples = agreement.get("top1"), agreement.get("samples")
    if is_number(top1) and is_number(samples):
        down = math.floor(round(1000 * top1, 6)) / 10  # never 100 % while one differs
        share = f"all {samples:,}" if top1 == 1 else f"{down:.1f}\u00a0% of {samples:,}"
        parts.append(f"same answer in {share} samples")
    difference, scale = agreement.get("max_difference"), agreement.get("scale")
    if is_number(difference):
        of = f" of {float(scale):.2g}" if is_number(scale) else ""
        parts.append(f"largest difference {number(float(f'{difference:.2g}'))}{of}")
    return ", ".join(parts)


def file_fields(data: StudyData) -> dict[int, dict[str, Any]]:
    """Of each member that has a file: its name, its bytes on disk, and its milliseconds with the 95 % interval."""
    found: dict[int, dict[str, Any]] = {}
    for row in file_rows(data):
        if row.trial is not None and not row.fault:
            ms, low, high = row.ms or (None, None, None)
            found[row.trial] = {"name": row.file, "bytes": row.file_bytes, "ms": ms, "low": low, "high": high}
    return found
