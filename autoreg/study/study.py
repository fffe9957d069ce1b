"""A study: on disk a folder, in Python its trials and its front."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError, NoTrialError, StudyError
from autoreg.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from autoreg.engine.engine import Engine

FORMAT = 1
MEASURED = ("dense", "normalizer", "prepared", "machine")


def write_beliefs(folder: Path, engine: Engine) -> None:
    """Keep what an engine believes of its front and of a warm start as `beliefs.json`; see `docs/formats.md`."""
    chances = engine.probabilities()
    quality = {str(number): value for number, value in engine.incumbents().items()}
    told, prior = len(engine.state.ended_numbers), engine.predictor().get("prior")
    beliefs = {"ended": told, "incumbents": quality, "probabilities": {str(n): p for n, p in chances.items()}}
    write_json(folder / "beliefs.json", beliefs if prior is None else {**beliefs, "prior": prior})


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all.

    Raises:
        StudyError: the disk is full or the folder cannot be written; what was there before still is.
    """
    text = json.dumps(content, indent=1, allow_nan=False)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror}); nothing that was stored is lost") from error


@contextlib.contextmanager
def single_writer(folder: Path) -> Iterator[None]:
    """Hold the right to write a study's folder.

    Raises:
        StudyError: another process writes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # no advisory locks on this system: nothing to hold
        yield
        return
    with open(folder / ".lock", "ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StudyError(f"{folder}: another process is running this study; wait for it or end it") from None
        yield


def open_folder(folder: Path, asked: Mapping[str, Any], *, resume: bool) -> None:
    """Make a study's folder, or go on with the one that is there, as `check_folder` allows."""
    before = check_folder(folder, asked, resume=resume)
    kept = {key: before[key] for key in MEASURED if key in before}  # on what scale the study is read was fixed then
    write_json(folder / "study.json", {**before, **asked, **kept, "format": FORMAT})


def check_folder(folder: Path, asked: Mapping[str, Any], *, resume: bool) -> Mapping[str, Any]:
    """Check that a study can be made in a folder, or that the one that is there was made from the same question.

    Args:
        folder: where the study lives; nothing in it is changed.
        asked: what goes into study.json.
        resume: whether a study that is there is meant to go on.

    Returns:
        What study.json holds; nothing where there is none yet.

    Raises:
        StudyError: other files are there, a study is there and `resume` is off, or it asked something else.
    """
    file = folder / "study.json"
    if not file.exists():
        if folder.exists() and {p.name for p in folder.iterdir()} - {".lock", "optuna.journal", "subset"}:
            raise StudyError(f"{folder}: is not empty and holds no study; name another folder with --out")
        return {}
    if not resume:
        raise StudyError(f"{folder}: holds a study already; add --resume to go on with it, or name another --out")
    before: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for key, what in (
        ("space_digest", "the search space"),
        ("objectives", "the objectives"),
        ("constraints", "the constraints"),
        ("seed", "the seed"),
        ("task", "the task"),
        ("sampler", "the sampler"),
    ):
        if _same(before.get(key)) != _same(asked.get(key)):
            raise StudyError(
                f"{folder}: {what} of this study is not the one it was started with "
                f"(then {_short(before.get(key))}, now {_short(asked.get(key))}); name another --out"
            )
    return before


def _same(value: Any) -> Any:
    """What of an answer counts: a task is known by its fingerprint, wherever its data lies."""
    return value["fingerprint"] if isinstance(value, Mapping) and "fingerprint" in value else value


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class Study:
    """The trials of a search.

    Attributes:
        engine: the engine that holds them.
        folder: where the study lives on disk, None for one that was kept in memory.
    """

    engine: Engine
    folder: Path | None = None

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Study:
        """Read a study on disk, finished or not; nothing in the folder is changed.

        Raises:
            InputError: the folder holds no study.
            StudyError: its log is damaged.
        """
        from autoreg.engine.engine import Engine
        from autoreg.engine.log.events import EventLog, read_events
        from autoreg.engine.pareto.front import Normalizer
        from autoreg.engine.transfer.prior import load_prior
        from autoreg.space import Expression, Space

        path = Path(folder)
        try:
            asked = json.loads((path / "study.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: holds no study (there is no study.json)") from None
        log = EventLog()
        log.events.extend(read_events(path / "events.jsonl"))
        scale = asked.get("normalizer")
        space = Space.from_dict(asked["space"])
        engine = Engine(
            space,
            asked["objectives"],
            quality=asked["quality"],
            constraints=[Expression.parse(text, "constraints") for text in asked["constraints"]],
            reference_metrics={f"dense.{name}": value for name, value in asked.get("dense", {}).items()},
            normalizer=None if scale is None else Normalizer.from_dict(scale),
            seed=asked["seed"],
            sampler=asked["sampler"],
            prior=load_prior(path, space, ()),
            log=log,
        )
        return cls(engine, path)

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: number, state, source, parameters by path, metrics, reason."""
        import pandas as pd

        rows = []
        for row in self.engine.trials():
            config = row["config"]
            flat = {"number": row["number"], "state": row["state"], "source": row["source"]}
            flat |= self.engine.problem.flat(config)
            flat |= row["metrics"]
            rows.append({**flat, "feasible": row.get("feasible"), "reason": row["reason"]})
        return pd.DataFrame(rows)

    @property
    def front(self) -> pd.DataFrame:
        """The same table, rows of the non-dominated trials only, sorted by the first objective."""
        trials = self.trials
        if trials.empty:
            return trials
        first, direction = next(iter(self.engine.problem.objectives.items()))
        front = trials[trials["number"].isin(self.engine.front())]
        return front.sort_values(first, ascending=direction == "min").reset_index(drop=True)

    def best(self, *, by: str, **bounds: float) -> dict[str, Any]:
        """The front member that is best by one objective among those that meet every bound.

        Args:
            by: an objective.
            **bounds: the worst value that is accepted, by objective: `error=0.02`.

        Returns:
            The row of the member as a dict.

        Raises:
            InputError: `by` or a bound names no objective.
            NoTrialError: no member meets the bounds; the message names the best that was reached.

        Example:
            `study.best(error=0.02, by="flops")` is the cheapest network with an error of at most 2 %.
        """
        directions = self.engine.problem.objectives
        for name in (by, *bounds):
            if name not in directions:
                raise InputError(f"best: {name!r} is no objective of this study; allowed are {', '.join(directions)}")
        front = self.front
        if front.empty:
            raise NoTrialError("best: no trial of this study is complete")
        met = front
        for name, bound in bounds.items():
            ascending = directions[name] == "min"
            met = met[met[name] <= bound] if ascending else met[met[name] >= bound]
            if met.empty:
                reached = front[name].min() if ascending else front[name].max()
                sign = "<=" if ascending else ">="
                others = "" if len(bounds) == 1 else " together with the other bounds"
                raise NoTrialError(f"best: no trial reached {name} {sign} {bound:g}{others}; the best is {reached:g}")
        row = met.sort_values(by, ascending=directions[by] == "min").iloc[0]
        return {str(k): v for k, v in row.items() if v == v and v is not None}

    def config(self, number: int) -> dict[str, Any]:
        """The config of a trial.

        Raises:
            NoTrialError: the study has no such trial.
        """
        for row in self.engine.trials():
            if row["number"] == number:
                return dict(row["config"])
        raise NoTrialError(f"trial {number}: this study has trials 0 to {len(self.engine.trials()) - 1}")

    def load(self, number: int) -> Any:
        """The model of a trial of a task study, as it was scored.

        The phases that the store still holds are taken from there, the others are carried out again with the
        same seed.

        Raises:
            NoTrialError: the study has no such trial.
            InputError: the study has an objective of its own, which keeps no model.
        """
        config = self.config(number)
        if self.folder is None:
            raise InputError("load: this study was kept in memory and keeps no models")
        from autoreg.trial.loading import load_model

        return load_model(self.folder, config)
