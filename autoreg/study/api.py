"""The Python face: `autoreg.search` for an objective of one's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog
from autoreg.engine.log.optuna_view import OptunaView
from autoreg.engine.log.trial import Trial
from autoreg.engine.problem import Problem
from autoreg.engine.settings import Strategy
from autoreg.engine.transfer.prior import load_prior, save_prior
from autoreg.errors import InputError
from autoreg.execution import run
from autoreg.space import Budget, Expression, Space
from autoreg.study.folder import open_folder, single_writer, write_posterior
from autoreg.study.follower import Follower, open_view
from autoreg.study.study import Study

Objective = Callable[[dict[str, Any], Trial], Mapping[str, float]]


def search(  # many arguments, long: the whole face of the package in Python; half of it describes the arguments
    objective: Objective,
    space: Space | Mapping[str, Any] | str | os.PathLike[str],
    objectives: Mapping[str, str] | None = None,
    *,
    costs: Callable[[dict[str, Any]], Mapping[str, float]] | None = None,
    constraints: Sequence[str] = (),
    trials: int | None = 100,
    minutes: float | None = None,
    seed: int = 0,
    executor: str = "local",
    workers: int = 1,
    storage: str | os.PathLike[str] | None = None,
    sampler: str = "auto",
    warm_start: Sequence[Mapping[str, Any] | str | os.PathLike[str]] = (),
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Study:
    """Search a space for the front of an objective.

    Args:
        objective: called as `objective(config, trial)` in a worker process; returns the value of every objective
            (further numbers are recorded). It may call `trial.report(step, {...})`, end early when
            `trial.should_stop()`, and share work between configs with `trial.cached(key, fn)`.
        space: a `Space`, a dict in the words of the YAML, or the path of a YAML file.
        objectives: what is minimized (`min`) or maximized (`max`), by name; the first that no cost function gives is
            the quality that is learned. By default `{"error": "min"}`.
        costs: `costs(config)` gives objectives that are known without running; the objective is never asked for them.
        constraints: expressions over metrics that must hold, as in `"error <= 0.2"`.
        trials: configs at most; None for no limit.
        minutes: minutes at most; None for no limit.
        seed: of the study, at least 0; `trial.seed` is the same for all trials, so that they can share work.
        executor: `local` (worker processes) or `ray`.
        workers: configs at a time, at least 1. With one worker the same seed gives the same trials.
        storage: a folder in which the study is stored, with its Optuna journal; or an Optuna URL
            (`sqlite:///file.db`, `postgresql://...`), and the events beside it in `runs/`. None keeps it in memory.
        sampler: `auto`, `tpe`, `nsga2`, `random`, `grid` or `evolution`.
        warm_start: configs that are evaluated first, where they are members of the space; and folders of earlier
            studies, of other tasks too, whose order of configs serves as prior until results contradict it. What was
            taken from them is in `study.engine.predictor()["prior"]`.
        baselines: configs to compare with, by name: evaluated before all others whatever the constraints say, in the
            space or not, recorded with their name as source, and members of the front where they belong there.
        resume: go on with the study in `storage`.
        progress: show a progress bar.

    Returns:
        The study: `.trials`, `.front`, `.best(...)`.

    Raises:
        InputError: an argument is wrong; nothing has run.
        StudyError: `storage` holds a study already and `resume` is off, or it asks something else.

    Example:
        >>> import autoreg
        >>> def objective(config, trial):
        ...     return {"error": (config["x"] - 0.3) ** 2, "cost": 1 - config["x"]}
        >>> study = autoreg.search(  # doctest: +SKIP
        ...     objective, {"x": {"uniform": [0, 1]}}, {"error": "min", "cost": "min"}, trials=20
        ... )
    """
    if not callable(objective):
        raise InputError(f"objective: found {type(objective).__name__}; needed is a function of (config, trial)")
    tree = as_space(space)
    wanted = dict(objectives or {"error": "min"})
    rules = [Expression.parse(text, f"constraints[{i}]") for i, text in enumerate(constraints)]
    if trials is None and minutes is None:
        raise InputError("trials and minutes: both are None; a search needs an end")
    folder, url = place_of(storage)
    prior = load_prior(folder, tree, [path for path in warm_start if not isinstance(path, Mapping)])
    problem = Problem(tree, wanted, quality_of(wanted, costs, tree), costs=costs, constraints=tuple(rules), prior=prior)
    budget = Budget(trials=trials, minutes=minutes)
    starters = [(str(name), dict(config)) for name, config in (baselines or {}).items()]
    given = [dict(one) for one in warm_start if isinstance(one, Mapping)]
    strategy = Strategy(sampler=sampler, starters=starters, warm_start=given)
    driving: dict[str, Any] = {"executor": executor, "workers": workers, "progress": progress}
    if folder is None:
        engine = Engine(problem, budget=budget, seed=seed, strategy=strategy)
        with TemporaryDirectory(prefix="autoreg-") as shared:  # for `trial.cached`, as long as the search lasts
            _drive(engine, objective, None, cache=shared if executor == "local" else None, **driving)
        return Study(engine)
    config = _study_config(problem, budget, seed, sampler, name=tree.name or folder.name)
    with ExitStack() as stack:
        stack.enter_context(single_writer(folder))
        view = open_view(url or str(folder / "optuna.journal"), str(config["name"]), wanted, tree)
        open_folder(folder, config, resume=resume)
        save_prior(folder, prior)
        log = stack.enter_context(EventLog(folder / "events.jsonl"))
        engine = Engine(problem, budget=budget, seed=seed, strategy=strategy, log=log)
        _drive(engine, objective, view, cache=folder / "cache", **driving)
        write_posterior(folder, engine)
    return Study(engine, folder)


def _study_config(problem: Problem, budget: Budget, seed: int, sampler: str, *, name: str) -> dict[str, Any]:
    """What study.json holds of an objective of one's own; see `docs/formats.md`."""
    return {
        "name": name,
        "task": None,
        "space": problem.space.to_dict(),
        "space_digest": problem.space.digest,
        "objectives": dict(problem.objectives),
        "constraints": [str(rule) for rule in problem.constraints],
        "budget": {"trials": budget.trials, "minutes": budget.minutes},
        "seed": seed,
        "sampler": sampler,
        "quality": problem.quality,
    }


def _drive(engine: Engine, objective: Objective, view: OptunaView | None, *, progress: bool, **options: Any) -> None:
    with Follower(engine, view, progress=progress) as follower:
        run(engine, objective, on_event=follower, **options)


def as_space(space: Space | Mapping[str, Any] | str | os.PathLike[str]) -> Space:
    """A space from whatever may be given for one.

    Raises:
        InputError: it is none of these, or wrong in itself.
    """
    if isinstance(space, Space):
        return space
    if isinstance(space, Mapping):
        return Space.from_dict(dict(space))
    if isinstance(space, str | os.PathLike):
        return Space.load(Path(space))
    raise InputError(f"space: found {type(space).__name__}; needed is a Space, a dict in the YAML's words or a path")


def quality_of(
    objectives: Mapping[str, str], costs: Callable[[dict[str, Any]], Mapping[str, float]] | None, space: Space
) -> str:
    """The objective that is learned: the first that the cost function does not give."""
    if costs is None:
        return next(iter(objectives))
    known = set(costs(space.sample(np.random.default_rng(0))))
    learned = [name for name in objectives if name not in known]
    if not learned:
        raise InputError(f"costs: gives every objective ({', '.join(objectives)}); there is nothing left to search for")
    return learned[0]


def place_of(storage: str | os.PathLike[str] | None) -> tuple[Path | None, str | None]:
    """Folder of a study and URL of its Optuna view, from the argument `storage`."""
    if storage is None:
        return None, None
    text = os.fspath(storage)
    if "://" not in text:
        return Path(text), None
    return Path("runs") / hashlib.sha256(text.encode()).hexdigest()[:12], text
