"""What final.json holds: members and baselines, re-evaluated with fresh seeds, and the exported models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.files import is_number
from autoreg.report.data.exported_model import ExportedModel
from autoreg.report.data.json_values import as_number, json_object, json_objects, numbers
from autoreg.report.data.seed_spread import SeedSpread, spread_json, spreads_by_set
from autoreg.trial_info import LayerRecord


# many attributes: one for each field of a row of `members`
@dataclass(frozen=True)
class Member:
    """One member of the front of the search, re-evaluated with fresh seeds.

    Attributes:
        trial: its number.
        config: its recipe; empty where not known.
        search: metrics that the search saw, with the seed that selected it.
        posterior: the posterior mean of its quality by which it was chosen; None where not known.
        validation: over fresh seeds, None where it was not re-evaluated.
        test: likewise on test data, None where it was not scored there.
        test_sets: by test set, where a task has several.
        layers: of its network with the first fresh seed.
        hv_contribution: the hypervolume that only this member contributes.
        front_probability: share of draws of one fresh seed a member in which it is on the front.
        replicated: whether every fresh seed completed.
        on_final_front: whether it is on the front after fresh seeds; None where not known.
        dominated_by: the member or baseline that keeps it off that front; empty where there is none.
    """

    trial: int
    config: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, float] = field(default_factory=dict)
    posterior: float | None = None
    validation: SeedSpread | None = None
    test: SeedSpread | None = None
    test_sets: Mapping[str, SeedSpread] = field(default_factory=dict)
    layers: tuple[LayerRecord, ...] = ()
    hv_contribution: float | None = None
    front_probability: float | None = None
    replicated: bool = False
    on_final_front: bool | None = None
    dominated_by: str = ""

    @property
    def name(self) -> str:
        """`trial 7`."""
        return f"trial {self.trial}"

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Member | None:
        """Read a row of `members`; None where it names no trial."""
        trial, on_front = row.get("trial"), row.get("on_final_front")
        if not isinstance(trial, int) or isinstance(trial, bool):
            return None
        return cls(
            trial=trial,
            config=json_object(row.get("config")),
            search=numbers(row.get("search")),
            posterior=as_number(row.get("posterior")),
            validation=SeedSpread.from_json(row.get("validation")),
            test=SeedSpread.from_json(row.get("test")),
            test_sets=spreads_by_set(row.get("test_sets")),
            layers=_layers(row.get("layers")),
            hv_contribution=as_number(row.get("hv_contribution")),
            front_probability=as_number(row.get("front_probability")),
            replicated=bool(row.get("replicated")),
            on_final_front=on_front if isinstance(on_front, bool) else None,
            dominated_by=str(row.get("dominated_by") or ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back; test data only of a member of the final front."""
        row: dict[str, Any] = {"trial": self.trial, "config": dict(self.config), "search": dict(self.search)}
        if self.posterior is not None:
            row["posterior"] = self.posterior
        row |= {"validation": spread_json(self.validation), "layers": [layer.to_dict() for layer in self.layers]}
        row |= {"hv_contribution": self.hv_contribution, "replicated": self.replicated}
        row |= {"front_probability": self.front_probability, "on_final_front": self.on_final_front}
        if self.dominated_by:
            row["dominated_by"] = self.dominated_by
        return {**row, **_test_json(self.test, self.test_sets)} if self.on_final_front else row


def _layers(rows: Any) -> tuple[LayerRecord, ...]:
    found = (LayerRecord.from_dict(row) for row in json_objects(rows))
    return tuple(layer for layer in found if layer is not None)


def _test_json(test: SeedSpread | None, sets: Mapping[str, SeedSpread]) -> dict[str, Any]:
    return {"test": spread_json(test), "test_sets": {name: one.to_json() for name, one in sets.items()}}


@dataclass(frozen=True)
class Baseline:
    """A reference recipe, evaluated with the same fresh seeds.

    Attributes:
        name: `dense` or `int8`, for instance.
        config: its recipe, None where not known.
        trial: the trial of the search that has this recipe, None where there is none.
        metrics: means over the seeds; empty where it failed.
        validation: over the seeds.
        test: likewise on test data.
        test_sets: by test set.
        layers: of its network with the first seed.
        on_final_front: whether it is on the front after fresh seeds; None where not known.
        reason: why it failed; empty where it did not.
    """

    name: str
    config: Mapping[str, Any] | None = None
    trial: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    validation: SeedSpread | None = None
    test: SeedSpread | None = None
    test_sets: Mapping[str, SeedSpread] = field(default_factory=dict)
    layers: tuple[LayerRecord, ...] = ()
    on_final_front: bool | None = None
    reason: str = ""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Baseline:
        """Read a row of `baselines`."""
        config, trial, on_front = row.get("config"), row.get("trial"), row.get("on_final_front")
        return cls(
            name=str(row.get("name")),
            config=config if isinstance(config, Mapping) else None,
            trial=trial if isinstance(trial, int) and not isinstance(trial, bool) else None,
            metrics=numbers(row.get("metrics")),
            validation=SeedSpread.from_json(row.get("validation")),
            test=SeedSpread.from_json(row.get("test")),
            test_sets=spreads_by_set(row.get("test_sets")),
            layers=_layers(row.get("layers")),
            on_final_front=on_front if isinstance(on_front, bool) else None,
            reason=str(row.get("reason") or ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back."""
        config = None if self.config is None else dict(self.config)
        row: dict[str, Any] = {"name": self.name, "config": config, "metrics": dict(self.metrics)}
        row |= {name: value for name in ("trial", "on_final_front") if (value := getattr(self, name)) is not None}
        if self.validation is None:
            return {**row, "test": None, "reason": self.reason}
        row |= {"validation": self.validation.to_json(), "layers": [layer.to_dict() for layer in self.layers]}
        return {**row, **_test_json(self.test, self.test_sets)}


@dataclass(frozen=True)
class UseOfTestData:
    """One use of test data.

    Attributes:
        time: when, as the file says.
        purpose: what for, empty where not known.
        trials: how many trials the search had by then, None where not known.
        baselines: the set of baselines that were asked for; empty where not known.
        final_seeds: how many fresh seeds; None where not known.
    """

    time: str = ""
    purpose: str = ""
    trials: int | None = None
    baselines: str = ""
    final_seeds: int | None = None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> UseOfTestData:
        """Read a row of `test_uses`."""
        trials, seeds = (int(n) if is_number(n := row.get(name)) else None for name in ("trials", "final_seeds"))
        time, purpose, baselines = (str(row.get(name) or "") for name in ("time", "purpose", "baselines"))
        return cls(time, purpose, trials, baselines, seeds)

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back."""
        row = {"trials": self.trials, "baselines": self.baselines, "final_seeds": self.final_seeds, "time": self.time}
        return {**row, "purpose": self.purpose} if self.purpose else row


@dataclass(frozen=True)
class RandomSearch:
    """What random search found at the cost of the search.

    Attributes:
        trials: complete ones.
        epochs_run: passes over the training data.
        seconds: wall time, None where not known.
        hypervolume: None where its scale is not known.
        history: hypervolume after each trial.
        front: configs and metrics of its front.
    """

    trials: int = 0
    epochs_run: float = 0.0
    seconds: float | None = None
    hypervolume: float | None = None
    history: tuple[float, ...] = ()
    front: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> RandomSearch | None:
        """Read `random`; None where it was not run."""
        row = json_object(value)
        if not row:
            return None
        history = row.get("history")
        return cls(
            trials=int(as_number(row.get("trials")) or 0),
            epochs_run=as_number(row.get("epochs_run")) or 0.0,
            seconds=as_number(row.get("seconds")),
            hypervolume=as_number(row.get("hypervolume")),
            history=tuple(float(v) for v in history if is_number(v)) if isinstance(history, list) else (),
            front=tuple(json_objects(row.get("front"))),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back."""
        row: dict[str, Any] = {"trials": self.trials, "epochs_run": self.epochs_run}
        if self.seconds is not None:
            row["seconds"] = self.seconds
        return {**row, "hypervolume": self.hypervolume, "history": list(self.history), "front": list(self.front)}


@dataclass(frozen=True)
class FinalResults:
    """final.json; everything is empty before the final evaluation.

    Attributes:
        members: of the front of the search, re-evaluated.
        baselines: evaluated with the same seeds.
        exported: exported models, the dense one first.
        random: None where random search was not run.
        test_uses: each use of test data.
        seeds: the fresh seeds.
        front_size: how many members the front of the search had; None where not known.
        complete: whether the evaluation went to its end.
        seconds: what it took so far; None where not known.
    """

    members: tuple[Member, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    exported: tuple[ExportedModel, ...] = ()
    random: RandomSearch | None = None
    test_uses: tuple[UseOfTestData, ...] = ()
    seeds: tuple[int, ...] = ()
    front_size: int | None = None
    complete: bool = False
    seconds: float | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FinalResults:
        """Read the content of final.json; rows that are no objects are left out."""
        members = (Member.from_json(row) for row in json_objects(content.get("members")))
        exported = (ExportedModel.from_json(row) for row in json_objects(content.get("files")))
        seeds, size = content.get("seeds"), content.get("front_size")
        return cls(
            members=tuple(member for member in members if member is not None),
            baselines=tuple(Baseline.from_json(row) for row in json_objects(content.get("baselines"))),
            exported=tuple(sorted(exported, key=lambda model: not model.is_dense)),
            random=RandomSearch.from_json(content.get("random")),
            test_uses=tuple(UseOfTestData.from_json(row) for row in json_objects(content.get("test_uses"))),
            seeds=tuple(int(seed) for seed in seeds if is_number(seed)) if isinstance(seeds, list) else (),
            front_size=int(size) if is_number(size) else None,
            complete=bool(content.get("complete")),
            seconds=as_number(content.get("seconds")),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back."""
        return {
            "members": [member.to_json() for member in self.members],
            "baselines": [baseline.to_json() for baseline in self.baselines],
            "files": [model.to_json() for model in self.exported],
            "random": None if self.random is None else self.random.to_json(),
            "test_uses": [use.to_json() for use in self.test_uses],
            "seeds": list(self.seeds),
            "front_size": self.front_size,
            "complete": self.complete,
            "seconds": self.seconds,
        }
