"""A study as Python sees it: its trials and its front."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog, read_events
from autoreg.engine.pareto.front import Normalizer
from autoreg.engine.problem import Problem
from autoreg.engine.settings import Strategy
from autoreg.engine.transfer.prior import load_prior
from autoreg.errors import InputError, NoTrialError
from autoreg.lazy import lazy_module
from autoreg.report.data.front import FrontRow, front_rows
from autoreg.report.data.load import StudyData
from autoreg.space import Expression, Space

if TYPE_CHECKING:
    import pandas as pd

    from autoreg.trial import loading as trial_loading
else:
    pd = lazy_module("pandas")
    trial_loading = lazy_module("autoreg.trial.loading")  # imports torch, which not every objective needs


@dataclass(frozen=True)
class Study:
    """The trials of a search.

    Attributes:
        engine: the engine that holds them.
        folder: where the study lives on disk, None for one in memory.
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
        path = Path(folder)
        try:
            config = json.loads((path / "study.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: holds no study (there is no study.json)") from None
        log = EventLog()
        log.events.extend(read_events(path / "events.jsonl"))
        scale = config.get("normalizer")
        space = Space.from_dict(config["space"])
        problem = Problem(
            space,
            config["objectives"],
            config["quality"],
            constraints=tuple(Expression.parse(text, "constraints") for text in config["constraints"]),
            reference={f"dense.{name}": value for name, value in config.get("dense", {}).items()},
            prior=load_prior(path, space, ()),
        )
        engine = Engine(
            problem,
            normalizer=None if scale is None else Normalizer.from_dict(scale),
            seed=config["seed"],
            strategy=Strategy(sampler=config["sampler"]),
            log=log,
        )
        return cls(engine, path)

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: number, state, source, parameters by path, metrics, reason."""
        rows = []
        for record in self.engine.trials():
            row: dict[str, Any] = {"number": record.number, "state": record.state, "source": record.source}
            row |= self.engine.problem.flat(record.config)
            row |= record.metrics
            rows.append({**row, "feasible": record.feasible, "reason": record.reason})
        return pd.DataFrame(rows)

    @property
    def front(self) -> pd.DataFrame:
        """The front, sorted by the first objective: the rows that the page and the command line show too.

        Columns are those of `trials` and `name`: `trial 7`, or that of a baseline that is on the front, whose number is
        missing where it is no trial. After a final evaluation metrics are means over fresh seeds, and the front is what
        these left of members and baselines. Before that the quality is its posterior mean over seeds, and the front
        that of posterior means; what was observed is in `trials`.
        """
        rows = [self._row(row) for row in self._front_rows()]
        if not rows:
            return self.trials.iloc[:0]
        first, direction = next(iter(self.engine.problem.objectives.items()))
        front = pd.DataFrame(rows).astype({"number": "Int64"})
        return front.sort_values(first, ascending=direction == "min", kind="stable").reset_index(drop=True)

    def _front_rows(self) -> list[FrontRow]:
        if self.folder is not None:
            return front_rows(StudyData.load(self.folder))
        records, quality = self.engine.trials(), self.engine.problem.quality
        return [
            FrontRow(
                name=f"trial {number}",
                trial=number,
                source=records[number].source,
                metrics={**records[number].metrics, quality: mean},
                search=records[number].metrics,
                recipe=records[number].config,
            )
            for number, mean in self.engine.incumbents().items()
        ]

    def _row(self, row: FrontRow) -> dict[str, Any]:
        found: dict[str, Any] = {"number": row.trial, "state": "COMPLETE", "source": row.source}
        found |= self.engine.problem.flat(dict(row.recipe)) | dict(row.metrics)
        return {**found, "feasible": True, "reason": None, "name": row.name}

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
        return {str(k): v for k, v in row.items() if isinstance(v, list | dict) or not pd.isna(v)}

    def config(self, which: int | str) -> dict[str, Any]:
        """The config of a trial, by its number, or of a baseline of the final evaluation, by its name.

        Raises:
            NoTrialError: the study has no such trial or baseline.
        """
        if isinstance(which, str):
            return self._baseline(which)
        records = self.engine.trials()
        for record in records:
            if record.number == which:
                return dict(record.config)
        raise NoTrialError(f"trial {which}: this study has trials 0 to {len(records) - 1}")

    def _baseline(self, name: str) -> dict[str, Any]:
        baselines = () if self.folder is None else StudyData.load(self.folder).final.baselines
        known = {one.name: one.config for one in baselines if one.config is not None}
        if name not in known:
            raise NoTrialError(f"baseline {name!r}: this study has evaluated {', '.join(known) or 'no baselines'}")
        return dict(known[name])

    def load(self, which: int | str) -> Any:
        """The model of a trial of a task study, as it was scored, or of a baseline of its final evaluation.

        The phases that the store still holds are taken from there, the others run again with the same
        seed, which is that of the search.

        Args:
            which: number of a trial, or name of a baseline.

        Raises:
            NoTrialError: the study has no such trial or baseline.
            InputError: the study has an objective of its own, which stores no model.
        """
        config = self.config(which)
        if self.folder is None:
            raise InputError("load: this study is in memory and stores no models")
        return trial_loading.load_model(self.folder, config)
