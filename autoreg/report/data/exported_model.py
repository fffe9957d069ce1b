"""Rows of `files` in final.json: the exported models of the front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.engine.log.baseline_names import DENSE
from autoreg.report.data.json_values import as_number, json_object, numbers
from autoreg.trial_info import Latency

_AGREEMENT = ("samples", "top1", "max_difference", "relative_rms", "scale")


@dataclass(frozen=True)
class OutputAgreement:
    """How the outputs of an exported model agree with those of the trial.

    Attributes:
        samples: how many were compared.
        top1: share of them with the same largest output, in [0, 1].
        max_difference: largest absolute difference of an output.
        scale: largest absolute output.
        relative_rms: root mean square of the differences over that of the outputs.
    """

    samples: int | None = None
    top1: float | None = None
    max_difference: float | None = None
    scale: float | None = None
    relative_rms: float | None = None

    @classmethod
    def from_json(cls, value: Any) -> OutputAgreement:
        """Read `agreement`; what is missing is None."""
        row = json_object(value)
        samples = as_number(row.get("samples"))
        rest = (as_number(row.get(name)) for name in ("top1", "max_difference", "scale", "relative_rms"))
        return cls(None if samples is None else int(samples), *rest)

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back."""
        return {name: getattr(self, name) for name in _AGREEMENT}


@dataclass(frozen=True)
class ExportedModel:
    """One exported model.

    Attributes:
        name: `dense`, another baseline's name, or `trial 7`.
        trial: number of the trial, None for a baseline.
        file: the file's name.
        format: of the file, `onnx` for instance; empty where not known.
        file_bytes: its size on disk, None where not known.
        precision: by layer how it is computed: `int8`, `int4` (weights only) or `fp32`; other layers are in fp32.
        agreement: of its outputs with those of the trial.
        metrics: of the exported model.
        recorded: of the trial.
        latency: None where it was not timed.
        notes: remarks of the export.
        error: why there is no file; empty where there is one.
    """

    name: str
    trial: int | None
    file: str = ""
    format: str = ""
    file_bytes: int | None = None
    precision: Mapping[str, str] = field(default_factory=dict)
    agreement: OutputAgreement = OutputAgreement()
    metrics: Mapping[str, float] = field(default_factory=dict)
    recorded: Mapping[str, float] = field(default_factory=dict)
    latency: Latency | None = None
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_dense(self) -> bool:
        """Whether it is the dense network."""
        return self.name == DENSE

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ExportedModel:
        """Read a row of `files`."""
        trial, size, notes = row.get("trial"), row.get("file_bytes"), row.get("notes")
        return cls(
            name=str(row.get("name") or (DENSE if trial is None else f"trial {trial}")),
            trial=trial if isinstance(trial, int) else None,
            file=str(row.get("file") or ""),
            format=str(row.get("format") or ""),
            file_bytes=size if isinstance(size, int) else None,
            precision={str(k): str(v) for k, v in json_object(row.get("runs")).items()},
            agreement=OutputAgreement.from_json(row.get("agreement")),
            metrics=numbers(row.get("metrics")),
            recorded=numbers(row.get("recorded")),
            latency=Latency.from_dict(row.get("latency")),
            notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
            error=str(row.get("fault") or ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back."""
        row: dict[str, Any] = {"name": self.name, "trial": self.trial}
        if self.file:
            row |= {"file": self.file, "format": self.format, "file_bytes": self.file_bytes}
            row |= {"runs": dict(self.precision), "agreement": self.agreement.to_json()}
            row |= {"metrics": dict(self.metrics), "recorded": dict(self.recorded)}
            row |= {"latency": None if self.latency is None else self.latency.to_dict(), "notes": list(self.notes)}
        return {**row, "fault": self.error} if self.error else row
