"""After the search: the front re-measured with other seeds, baselines beside it, and test data, once.

The front of a search is optimistic: its members were chosen for the luck of their one seed. Its best members are
carried out again with fresh seeds, filtered by those, and only then scored on test data. Each use of test data is
recorded.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog
from autoreg.engine.log.trial import Ask, Result, Trial
from autoreg.engine.pareto.front import nondominated
from autoreg.errors import AutoregError, InputError
from autoreg.latency.interleaved import time_interleaved
from autoreg.latency.timing import time_onnx
from autoreg.study.study import Study, single_writer, write_json
from autoreg.study.task_study import TaskStudy, baseline_recipes

MEMBERS = 12  # more are not re-measured; the report says which were
RATES = 6  # training settings that the small dense network is tuned over

OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """One recipe to carry out with one seed, and whether its test data may be looked at."""

    name: str
    config: Mapping[str, Any]
    seed: int
    test: bool


class JobList:
    """Hands out jobs and collects results; what an executor drives in place of an engine."""

    def __init__(self, jobs: Sequence[Job], on_step: Callable[[int, int], None] | None = None) -> None:
        self.jobs = list(jobs)
        self.results: dict[int, Result] = {}
        self._next = 0
        self._on_step = on_step

    def ask(self) -> Ask | None:
        """The next job, None when all were handed out."""
        if self._next == len(self.jobs):
            return None
        number = self._next
        job = self.jobs[number]
        self._next += 1
        return Ask(number, {"recipe": dict(job.config), "test": job.test}, job.seed, "final")

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> str:
        """Jobs are never stopped."""
        return "continue"

    def tell(self, number: int, result: Result) -> None:
        """Keep a result."""
        self.results[number] = result
        if self._on_step is not None:
            self._on_step(len(self.results), len(self.jobs))

    def summary(self) -> dict[str, Any]:
        """Progress in the words of an engine."""
        return {"done": len(self.results), "total": len(self.jobs)}


class JobObjective:
    """Carries a job out: validation metrics as the result, test metrics in the record."""

    def __init__(self, objective: Any) -> None:
        self.objective = objective

    def __call__(self, config: Mapping[str, Any], trial: Trial) -> dict[str, float]:
        """Validation metrics of the job's recipe; its test metrics, where it has any, go into the trial's info."""
        metrics: dict[str, float] = self.objective.carry_out(config["recipe"], trial, test=config["test"])
        return metrics


def fresh_seeds(seed: int, count: int) -> list[int]:
    """Seeds for re-measuring that the search did not use."""
    state = np.random.default_rng([seed, 0xF1])
    return [int(value) for value in state.integers(1_000_000, 2**31, size=count)]


def finish(study: TaskStudy, searched: Study, on_step: OnStep | None = None) -> dict[str, Any]:
    """Re-measure the front of a finished search, score baselines, and write final.json.

    Args:
        study: what was asked and how it is run.
        searched: the finished search.
        on_step: called with (what is being done, how much of it is done, of how much).

    Returns:
        What final.json holds.
    """
    folder = study.options.folder
    begun = time.perf_counter()
    engine = searched.engine
    seeds = fresh_seeds(study.spec.seed, study.spec.final_seeds)
    rows = {row["number"]: row for row in engine.trials()}
    content: dict[str, Any] = {"members": [], "baselines": [], "random": None, "seeds": seeds}
    content |= {"front_size": len(engine.front()), "complete": False, "test_uses": _earlier_uses(folder)}

    def keep(**found: Any) -> None:
        content.update(found, seconds=time.perf_counter() - begun)
        write_json(folder / "final.json", content)

    with single_writer(folder):
        members = _validated(study, [rows[number] for number in choose_members(engine)], engine, seeds, on_step)
        # from here on test data is looked at: that is written down first
        keep(members=members, test_uses=[*content["test_uses"], {**_asked(study, len(rows)), "time": _now()}])
        _score_on_test(study, members, seeds, on_step)
        keep(members=members)
        keep(files=_files(study, members, engine.state.records, on_step))
        keep(baselines=_baselines(study, seeds, on_step))
        if study.spec.baselines == "full":
            keep(random=_random_arm(study, on_step))
        keep(complete=True)
    return content


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def _asked(study: TaskStudy, trials: int) -> dict[str, Any]:
    return {"trials": trials, "baselines": study.spec.baselines, "final_seeds": study.spec.final_seeds}


def is_final(study: TaskStudy, searched: Study) -> bool:
    """Whether the folder holds the whole final measurement of just these trials, seeds and baselines."""
    file = study.options.folder / "final.json"
    if not file.exists():
        return False
    content = json.loads(file.read_text(encoding="utf-8"))
    asked = _asked(study, len(searched.engine.trials()))
    last = content["test_uses"][-1] if content["test_uses"] else {}
    return bool(content.get("complete")) and all(last.get(name) == value for name, value in asked.items())


def _earlier_uses(folder: Path) -> list[dict[str, Any]]:
    file = folder / "final.json"
    return list(json.loads(file.read_text(encoding="utf-8"))["test_uses"]) if file.exists() else []


def choose_members(engine: Engine) -> list[int]:
    """The trials on the front of what is believed that contribute most hypervolume, at most `MEMBERS`, by number.

    What was observed favours the lucky, see `autoreg.engine.surrogate.noise_model`.
    """
    brings = contributions(engine)
    best = sorted(brings, key=lambda number: (-brings[number], number))
    return sorted(best[:MEMBERS])


def contributions(engine: Engine) -> dict[int, float]:
    """Hypervolume that each member of the front of what is believed alone brings, by trial number."""
    believed, scale = engine.incumbents(), engine.state.normalizer
    if scale is None or not believed:
        return dict.fromkeys(believed, 0.0)
    values = engine.problem.table([engine.state.records[number] for number in believed])
    values[:, engine.problem.names.index(engine.problem.quality)] = list(believed.values())
    return {n: float(v) for n, v in zip(believed, scale.contributions(values), strict=True)}


def _carry_out(study: TaskStudy, jobs: Sequence[Job], what: str, on_step: OnStep | None) -> list[Result]:
    from autoreg.execution import run

    step = None if on_step is None else (lambda done, total: on_step(what, done, total))
    listed = JobList(jobs, step)
    objective = type(study.objective)(study.objective.ref, study.objective.options, rungs=False)
    run(listed, JobObjective(objective), **study.execution())
    missing = Result("FAIL", {}, {}, "was not carried out")
    return [listed.results.get(number, missing) for number in range(len(jobs))]


def _validated(
    study: TaskStudy, rows: Sequence[Mapping[str, Any]], engine: Engine, seeds: Sequence[int], on_step: OnStep | None
) -> list[dict[str, Any]]:
    """Members with their validation over fresh seeds, and which of them are still on the front by it."""
    jobs = [Job(str(row["number"]), row["config"], seed, False) for row in rows for seed in seeds]
    results = _carry_out(study, jobs, "front with fresh seeds", on_step)
    brings = contributions(engine)
    members: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        own = [r for r in results[index * len(seeds) : (index + 1) * len(seeds)] if r.state == "COMPLETE"]
        members.append(
            {
                "trial": row["number"],
                "config": row["config"],
                "search": dict(row["metrics"]),
                "validation": spread([r.metrics for r in own]) if own else None,
                "layers": own[0].info.get("layers", []) if own else [],
                "hv_contribution": brings[row["number"]],
                "replicated": len(own) == len(seeds) > 0,
            }
        )
    on_front = _filter(members, study)
    for member, probability, stays in zip(members, _probabilities(members, study), on_front, strict=True):
        member["front_probability"] = probability
        member["on_final_front"] = stays
    return members


def _score_on_test(
    study: TaskStudy, members: Sequence[dict[str, Any]], seeds: Sequence[int], on_step: OnStep | None
) -> None:
    """Score the members of the final front on test data; adds to them."""
    final = [member for member in members if member["on_final_front"]]
    jobs = [Job(str(m["trial"]), m["config"], seed, True) for m in final for seed in seeds]
    scored = _carry_out(study, jobs, "final front on test data", on_step)
    for index, member in enumerate(final):
        own = scored[index * len(seeds) : (index + 1) * len(seeds)]
        member |= test_scores([result.info["test"] for result in own if "test" in result.info])


def _files(
    study: TaskStudy, members: Sequence[Mapping[str, Any]], records: Sequence[Any], on_step: OnStep | None
) -> list[dict[str, Any]]:
    """The dense network and the members of the final front as files: run, compared, and timed in turn.

    What cannot be exported, or not be timed, costs its row a `fault`, not the study.
    """
    from autoreg.study.export import export_recipe, logged_quality
    from autoreg.trial.objective import TaskObjective

    folder, seed = study.options.folder / "exports", study.spec.seed
    objective = TaskObjective(study.objective.ref, study.objective.options, rungs=False)
    named: list[tuple[str, int | None, Mapping[str, Any]]] = [("dense", None, study.dense_recipe)]
    named += [(f"trial {m['trial']}", m["trial"], m["config"]) for m in members if m["on_final_front"]]
    rows: list[dict[str, Any]] = []
    for index, (name, trial, config) in enumerate(named):
        row: dict[str, Any] = {"name": name, "trial": trial}
        try:
            path = folder / f"{name.replace(' ', '-')}.onnx"
            logged = None if trial is None else logged_quality(records[trial], objective.setup.task)
            row |= export_recipe(objective, config, seed, path, "onnx", logged=logged, timed=False).to_dict()
            time_onnx(path, objective.setup.task.latency_input(), seconds=0)  # whether it runs at that batch
        except (AutoregError, OSError, RuntimeError) as error:
            row["fault"] = f"{type(error).__name__}: {error}"
        rows.append(row)
        if on_step is not None:
            on_step("files of the front", index + 1, len(named))
    there = [row for row in rows if "fault" not in row]
    paths = [folder / row["file"] for row in there]
    try:
        with objective.setup.lock.exclusive():
            timed = time_interleaved(paths, objective.setup.task.latency_input()) if paths else []
        for row, latency in zip(there, timed, strict=True):
            row["latency"] = latency.to_dict()
    except (AutoregError, OSError, RuntimeError) as error:
        for row in there:
            row["notes"] = [*row["notes"], f"could not be timed ({type(error).__name__}: {error})"]
    return rows


def _signed(study: TaskStudy, metrics: Mapping[str, float]) -> list[float]:
    return [metrics[n] if d == "min" else -metrics[n] for n, d in study.spec.objectives.items()]


def _filter(members: Sequence[Mapping[str, Any]], study: TaskStudy) -> list[bool]:
    """Which members meet the constraints and are non-dominated by the means over fresh seeds."""
    rules = (*study.space.constraints, *study.spec.constraints)
    dense = {f"dense.{name}": value for name, value in study.dense.items()}

    def meets(member: Mapping[str, Any]) -> bool:
        known = {**dense, **member["validation"]["mean"]}
        return all(rule.violation(known) <= 0 for rule in rules)

    valid = [i for i, member in enumerate(members) if member["validation"] is not None and meets(member)]
    if not valid:
        return [False] * len(members)
    values = np.array([_signed(study, members[i]["validation"]["mean"]) for i in valid])
    stays = dict(zip(valid, nondominated(values), strict=True))
    return [bool(stays.get(i, False)) for i in range(len(members))]


def _probabilities(members: Sequence[Mapping[str, Any]], study: TaskStudy, draws: int = 400) -> list[float | None]:
    """Share of bootstrap draws (one fresh seed per member) in which each member is on the front."""
    valid = [i for i, member in enumerate(members) if member["validation"] is not None]
    if not valid:
        return [None] * len(members)
    rng = np.random.default_rng([study.spec.seed, 0xF2])
    values = [np.array([_signed(study, v) for v in members[i]["validation"]["values"]]) for i in valid]
    wins = np.zeros(len(valid))
    for _ in range(draws):
        drawn = np.stack([rows[rng.integers(len(rows))] for rows in values])
        wins += nondominated(drawn)
    shares = dict(zip(valid, wins / draws, strict=True))
    return [float(shares[i]) if i in shares else None for i in range(len(members))]


def spread(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds (n - 1 in the denominator; None for a single seed) of each metric."""
    names = list(found[0])
    mean = {name: float(np.mean([m[name] for m in found])) for name in names}
    std = {name: float(np.std([m[name] for m in found], ddof=1)) if len(found) > 1 else None for name in names}
    return {"mean": mean, "std": std, "values": [dict(m) for m in found]}


def test_scores(found: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Test metrics over seeds: of each test set, and of their mean."""
    if not found:
        return {"test": None, "test_sets": {}}
    sets = {name: spread([one[name] for one in found]) for name in found[0]}
    names = list(next(iter(found[0].values())))
    means = [{n: float(np.mean([one[s][n] for s in one])) for n in names} for one in found]
    return {"test": spread(means), "test_sets": sets}


def _baselines(study: TaskStudy, seeds: Sequence[int], on_step: OnStep | None) -> list[dict[str, Any]]:
    if study.spec.baselines == "none":
        return []
    complete, dense = study.objective.setup.complete, study.dense_recipe
    recipes = baseline_recipes(complete, dense)
    if study.spec.baselines == "full":
        recipes |= full_recipes(complete, dense)
    recipes = {name: recipe for name, recipe in recipes.items() if _possible(study, recipe)}
    names = list(recipes)
    jobs = [Job(name, recipes[name], seed, True) for name in names for seed in seeds]
    results = _carry_out(study, jobs, "baselines", on_step)
    rows = [_baseline_row(name, recipes[name], results[i * len(seeds) :][: len(seeds)]) for i, name in enumerate(names)]
    if study.spec.baselines == "full":
        rows += _small_dense(study, seeds, on_step)
    return rows


def _possible(study: TaskStudy, recipe: Mapping[str, Any]) -> bool:
    """Whether a baseline can be carried out: a network without removable channels has no channel baseline."""
    try:
        study.objective.costs(recipe)
    except InputError:
        return False
    return True


def _baseline_row(name: str, config: Mapping[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    own = [r for r in results if r.state == "COMPLETE"]
    row: dict[str, Any] = {"name": name, "config": dict(config), "metrics": {}, "test": None}
    if not own:
        return {**row, "reason": results[0].reason if results else "was not carried out"}
    validation = spread([r.metrics for r in own])
    row |= {"metrics": validation["mean"], "validation": validation}
    return {**row, **test_scores([r.info["test"] for r in own if "test" in r.info])}


def full_recipes(
    complete: Callable[[Mapping[str, Any]], dict[str, Any]], dense: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The further baselines of `--baselines full`: other allocations and a random mask at 80 % sparsity."""
    training = dict(dense["training"])

    def weight(criterion: str, allocation: str) -> dict[str, Any]:
        inner = {"criterion": {criterion: {}}, "allocation": {allocation: {}}, "amount": 0.8}
        return complete({"sparsity": {"weight": {**inner, "schedule": {"one_shot": {}}}}, "training": training})

    found = {f"{name} weights 80 %": weight("magnitude", name) for name in ("global", "erk", "lamp")}
    return {**found, "random mask 80 %": weight("random", "uniform")}


def _small_dense(study: TaskStudy, seeds: Sequence[int], on_step: OnStep | None) -> list[dict[str, Any]]:
    """A narrower dense network trained from scratch for as many epochs, its rates tuned on validation data."""
    complete = study.objective.setup.complete
    training = {**study.objective.setup.complete({})["training"], "start": "scratch"}
    if training["epochs"] + training["finetune_epochs"] == 0:
        return []  # a task that is never trained has no small network to train
    rng = np.random.default_rng([study.spec.seed, 0xF3])

    def narrow(lr: float, decay: float) -> dict[str, Any]:
        inner = {
            "criterion": {"random": {}},
            "allocation": {"uniform": {}},
            "amount": 0.5,
            "schedule": {"one_shot": {}},
        }
        whole = training["epochs"] + training["finetune_epochs"]
        changed = {**training, "lr": lr, "weight_decay": decay, "epochs": 0, "finetune_epochs": whole}
        return complete({"sparsity": {"channel": inner}, "training": changed})

    factors = [(1.0, 1.0), *((10 ** rng.uniform(-0.7, 0.7), 10 ** rng.uniform(-1, 1)) for _ in range(RATES - 1))]
    recipes = [narrow(min(10.0, training["lr"] * a / 0.3), min(10.0, training["weight_decay"] * b)) for a, b in factors]
    if not _possible(study, recipes[0]):
        return []
    tried = _carry_out(
        study, [Job("small", r, study.spec.seed, False) for r in recipes], "small dense network", on_step
    )
    quality = study.quality
    scores = [r.metrics.get(quality, math.inf) if r.state == "COMPLETE" else math.inf for r in tried]
    best = recipes[int(np.argmin(scores))]
    jobs = [Job("small", best, seed, True) for seed in seeds]
    results = _carry_out(study, jobs, "small dense network", on_step)
    return [_baseline_row("small dense from scratch", best, results)]


def _random_arm(study: TaskStudy, on_step: OnStep | None) -> dict[str, Any]:
    """Random search with as many trials, without screening or stopping: what the same front would cost by luck."""
    from autoreg.execution import run

    apart = study.options.folder / ".random-store"  # what the search has paid for is not free here
    options = replace(study.objective.options, store=str(apart))
    objective = type(study.objective)(study.objective.ref, options, rungs=False)

    def show(seen: Engine) -> None:
        if on_step is not None:
            summary = seen.summary()
            on_step("random search", summary["asked"] - summary["running"], summary["trials"] or summary["asked"])

    with EventLog(study.options.folder / "random.jsonl") as log:
        engine = study.engine(log, sampler="random", prune=False, screen=False, starters=())
        run(engine, objective, **study.execution(), on_event=show)
    shutil.rmtree(apart, ignore_errors=True)
    rows = [row for row in engine.trials() if row["state"] == "COMPLETE"]
    return {
        "trials": len(rows),
        "epochs_paid": sum(row["info"].get("epochs_paid", 0.0) for row in rows),
        "hypervolume": engine.hypervolume(),
        "history": engine.history(),
        "front": [
            {"config": row["config"], "metrics": row["metrics"]} for row in rows if row["number"] in engine.front()
        ],
    }
