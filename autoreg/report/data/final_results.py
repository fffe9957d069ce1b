"""What final.json holds: the front and the baselines, re-evaluated with fresh seeds, and the exported models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.files import is_number
from autoreg.report.data.json_values import as_number, json_object, json_objects, numbers
from autoreg.trial_info import Latency


@dataclass(frozen=True)
class SeedSpread:
    """Metrics over several seeds.

    Attributes:
        mean: of each metric.
        std: of each metric, n - 1 in the denominator; metrics of a single seed have none.
        values: by seed; empty where only mean and deviation are known.
    """

    mean: Mapping[str, float]
    std: Mapping[str, float] = field(default_factory=dict)
    values: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> SeedSpread | None:
        """Read `{"mean": ..., "std": ..., "values": ...}`; None where there is no mean."""
        row = json_object(value)
        mean = numbers(row.get("mean"))
        values = tuple(numbers(seed) for seed in json_objects(row.get("values")))
        return cls(mean, numbers(row.get("std")), values) if mean else None

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back; the deviation of a single seed is None."""
        found: dict[str, Any] = {"mean": dict(self.mean), "std": {name: self.std.get(name) for name in self.mean}}
        return {**found, "values": [dict(seed) for seed in self.values]} if self.values else found


@dataclass(frozen=True)
class Member:
    """One member of the front, re-evaluated with fresh seeds.

    Attributes:
        trial: its number.
        validation: over fresh seeds, None where it was not re-evaluated.
        test: likewise on test data, None where it was not scored there.
        test_sets: by test set, where a task has several.
        hv_contribution: the hypervolume that only this member contributes.
        front_probability: share of draws of one fresh seed a member in which it is on the front.
        replicated: whether every fresh seed completed.
        on_final_front: whether it is on the front of the means over fresh seeds; None where not known.
    """

    trial: int
    validation: SeedSpread | None = None
    test: SeedSpread | None = None
    test_sets: Mapping[str, SeedSpread] = field(default_factory=dict)
    hv_contribution: float | None = None
    front_probability: float | None = None
    replicated: bool = False
    on_final_front: bool | None = None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Member | None:
        """Read a row of `members`; None where it names no trial."""
        trial, on_front = row.get("trial"), row.get("on_final_front")
        if not isinstance(trial, int) or isinstance(trial, bool):
            return None
        return cls(
            trial=trial,
            validation=SeedSpread.from_json(row.get("validation")),
            test=SeedSpread.from_json(row.get("test")),
            test_sets=_test_sets(row),
            hv_contribution=as_number(row.get("hv_contribution")),
            front_probability=as_number(row.get("front_probability")),
            replicated=bool(row.get("replicated")),
            on_final_front=on_front if isinstance(on_front, bool) else None,
        )


def _test_sets(row: Mapping[str, Any]) -> dict[str, SeedSpread]:
    found = {str(name): SeedSpread.from_json(value) for name, value in json_object(row.get("test_sets")).items()}
    return {name: spread for name, spread in found.items() if spread is not None}


@dataclass(frozen=True)
class Baseline:
    """A reference recipe, evaluated with the same fresh seeds.

    Attributes:
        name: `dense` or `int8`, for instance.
        config: its recipe, None where not known.
        metrics: means over the seeds; empty where it failed.
        validation: over the seeds.
        test: likewise on test data.
        test_sets: by test set.
        reason: why it failed; empty where it did not.
    """

    name: str
    config: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    validation: SeedSpread | None = None
    test: SeedSpread | None = None
    test_sets: Mapping[str, SeedSpread] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Baseline:
        """Read a row of `baselines`."""
        config = row.get("config")
        return cls(
            name=str(row.get("name")),
            config=config if isinstance(config, Mapping) else None,
            metrics=numbers(row.get("metrics")),
            validation=SeedSpread.from_json(row.get("validation")),
            test=SeedSpread.from_json(row.get("test")),
            test_sets=_test_sets(row),
            reason=str(row.get("reason") or ""),
        )


@dataclass(frozen=True)
class OutputAgreement:
    """How the outputs of an exported model agree with those of the trial.

    Attributes:
        samples: how many were compared.
        top1: share of them with the same largest output, in [0, 1].
        max_difference: largest absolute difference of an output.
        scale: largest absolute output.
    """

    samples: int | None = None
    top1: float | None = None
    max_difference: float | None = None
    scale: float | None = None

    @classmethod
    def from_json(cls, value: Any) -> OutputAgreement:
        """Read `agreement`; what is missing is None."""
        row = json_object(value)
        samples = as_number(row.get("samples"))
        rest = (as_number(row.get(name)) for name in ("top1", "max_difference", "scale"))
        return cls(None if samples is None else int(samples), *rest)


@dataclass(frozen=True)
class ExportedModel:
    """One exported model.

    Attributes:
        name: `dense` or `trial 7`.
        trial: number of the trial, None for the dense network.
        file: the file's name.
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
    file_bytes: int | None = None
    precision: Mapping[str, str] = field(default_factory=dict)
    agreement: OutputAgreement = OutputAgreement()
    metrics: Mapping[str, float] = field(default_factory=dict)
    recorded: Mapping[str, float] = field(default_factory=dict)
    latency: Latency | None = None
    notes: tuple[str, ...] = ()
    error: str = ""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ExportedModel:
        """Read a row of `files`."""
        trial, size, notes = row.get("trial"), row.get("file_bytes"), row.get("notes")
        return cls(
            name=str(row.get("name") or ("dense" if trial is None else f"trial {trial}")),
            trial=trial if isinstance(trial, int) else None,
            file=str(row.get("file") or ""),
            file_bytes=size if isinstance(size, int) else None,
            precision={str(k): str(v) for k, v in json_object(row.get("runs")).items()},
            agreement=OutputAgreement.from_json(row.get("agreement")),
            metrics=numbers(row.get("metrics")),
            recorded=numbers(row.get("recorded")),
            latency=Latency.from_dict(row.get("latency")),
            notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
            error=str(row.get("fault") or ""),
        )


@dataclass(frozen=True)
class UseOfTestData:
    """One use of test data.

    Attributes:
        time: when, as the file says.
        purpose: what for, empty where not known.
        trials: how many trials the search had by then, None where not known.
    """

    time: str = ""
    purpose: str = ""
    trials: int | None = None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> UseOfTestData:
        """Read a row of `test_uses`."""
        trials = row.get("trials")
        return cls(
            str(row.get("time") or ""), str(row.get("purpose") or ""), int(trials) if is_number(trials) else None
        )


@dataclass(frozen=True)
class FinalResults:
    """final.json; everything is empty before the final evaluation.

    Attributes:
        members: of the front, re-evaluated.
        baselines: evaluated with the same seeds.
        exported: exported models, the dense one first.
        test_uses: each use of test data.
        random_history: hypervolume of random search after each trial; empty where it was not run.
    """

    members: tuple[Member, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    exported: tuple[ExportedModel, ...] = ()
    test_uses: tuple[UseOfTestData, ...] = ()
    random_history: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FinalResults:
        """Read the content of final.json; rows that are no objects are left out."""
        members = (Member.from_json(row) for row in json_objects(content.get("members")))
        exported = (ExportedModel.from_json(row) for row in json_objects(content.get("files")))
        history = json_object(content.get("random")).get("history")
        return cls(
            members=tuple(member for member in members if member is not None),
            baselines=tuple(Baseline.from_json(row) for row in json_objects(content.get("baselines"))),
            exported=tuple(sorted(exported, key=lambda model: model.trial is not None)),
            test_uses=tuple(UseOfTestData.from_json(row) for row in json_objects(content.get("test_uses"))),
            random_history=tuple(float(v) for v in history if is_number(v)) if isinstance(history, list) else (),
        )
