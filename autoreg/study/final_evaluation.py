"""After the search: the front re-measured with other seeds, baselines beside it, and test data, once.

The front of a search is optimistic: its members were selected on one seed each. Its best members run again with fresh
seeds, are filtered by those, and only then scored on test data. Each use of test data is recorded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.engine.engine import Engine
from autoreg.engine.log.records import Record
from autoreg.latency.interleaved import time_interleaved
from autoreg.latency.timing import time_onnx
from autoreg.plan import fresh_seeds
from autoreg.study.baseline_runs import random_search, score_baselines
from autoreg.study.export import export_recipe, logged_quality
from autoreg.study.folder import single_writer, write_json
from autoreg.study.job_list import Job, OnStep, run_jobs
from autoreg.study.seed_statistics import SeedFront, spread, spread_by_set
from autoreg.study.study import Study
from autoreg.study.task_study import TaskStudy
from autoreg.trial.objective import TaskObjective

MAX_MEMBERS = 12  # of the front; more are not re-measured, and the report says which were


def finish(study: TaskStudy, searched: Study, on_step: OnStep | None = None) -> dict[str, Any]:
    """Re-measure the front of a finished search, score baselines, and write final.json.

    Args:
        study: what was searched and how it is run.
        searched: the finished search.
        on_step: shown the progress.

    Returns:
        What final.json holds.
    """
    folder = study.options.folder
    begun = time.perf_counter()
    engine = searched.engine
    seeds = fresh_seeds(study.spec.seed, study.spec.final_seeds)
    records = engine.trials()
    content: dict[str, Any] = {"members": [], "baselines": [], "random": None, "seeds": seeds}
    content |= {"front_size": len(engine.front()), "complete": False, "test_uses": _earlier_uses(folder)}

    def save(**found: Any) -> None:
        content.update(found, seconds=time.perf_counter() - begun)
        write_json(folder / "final.json", content)

    with single_writer(folder):
        members = _validated(study, [records[number] for number in choose_members(engine)], engine, seeds, on_step)
        # from here on test data is used: that is written down first
        save(members=members, test_uses=[*content["test_uses"], {**_extent(study, len(records)), "time": _now()}])
        _score_on_test(study, members, seeds, on_step)
        save(members=members)
        save(files=export_front(study, members, records, on_step))
        save(baselines=score_baselines(study, seeds, on_step))
        if study.spec.baselines == "full":
            save(random=random_search(study, on_step))
        save(complete=True)
    return content


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def _extent(study: TaskStudy, trials: int) -> dict[str, Any]:
    return {"trials": trials, "baselines": study.spec.baselines, "final_seeds": study.spec.final_seeds}


def is_final(study: TaskStudy, searched: Study) -> bool:
    """Whether the folder holds the whole final measurement of just these trials, seeds and baselines."""
    file = study.options.folder / "final.json"
    if not file.exists():
        return False
    content = json.loads(file.read_text(encoding="utf-8"))
    extent = _extent(study, len(searched.engine.trials()))
    last = content["test_uses"][-1] if content["test_uses"] else {}
    return bool(content.get("complete")) and all(last.get(name) == value for name, value in extent.items())


def _earlier_uses(folder: Path) -> list[dict[str, Any]]:
    file = folder / "final.json"
    return list(json.loads(file.read_text(encoding="utf-8"))["test_uses"]) if file.exists() else []


def choose_members(engine: Engine) -> list[int]:
    """The trials on the posterior front that contribute most hypervolume, at most `MAX_MEMBERS`, by number.

    Observed values favour trials with a good seed, see `autoreg.engine.surrogate.noise_model`.
    """
    brings = front_contributions(engine)
    best = sorted(brings, key=lambda number: (-brings[number], number))
    return sorted(best[:MAX_MEMBERS])


def front_contributions(engine: Engine) -> dict[int, float]:
    """Hypervolume that each member of the posterior front alone brings, by trial number."""
    incumbents, scale = engine.incumbents(), engine.state.normalizer
    if scale is None or not incumbents:
        return dict.fromkeys(incumbents, 0.0)
    values = engine.problem.table([engine.state.records[number] for number in incumbents])
    values[:, engine.problem.names.index(engine.problem.quality)] = list(incumbents.values())
    return {n: float(v) for n, v in zip(incumbents, scale.contributions(values), strict=True)}


def _validated(
    study: TaskStudy, records: Sequence[Record], engine: Engine, seeds: Sequence[int], on_step: OnStep | None
) -> list[dict[str, Any]]:
    """Members with their validation over fresh seeds, and which of them are still on the front by it."""
    jobs = [Job(record.config, seed, False) for record in records for seed in seeds]
    results = run_jobs(study, jobs, "front with fresh seeds", on_step)
    brings = front_contributions(engine)
    members: list[dict[str, Any]] = []
    for index, record in enumerate(records):
        own = [r for r in results[index * len(seeds) : (index + 1) * len(seeds)] if r.state == "COMPLETE"]
        members.append(
            {
                "trial": record.number,
                "config": record.config,
                "search": dict(record.metrics),
                "validation": spread([r.metrics for r in own]) if own else None,
                "layers": [layer.to_dict() for layer in own[0].info.layers] if own else [],
                "hv_contribution": brings[record.number],
                "replicated": len(own) == len(seeds) > 0,
            }
        )
    rules = (*study.space.constraints, *study.spec.constraints)
    front = SeedFront([member["validation"] for member in members], study.spec.objectives, rules, study.dense)
    for member, probability, stays in zip(members, front.probabilities(study.spec.seed), front.members(), strict=True):
        member["front_probability"] = probability
        member["on_final_front"] = stays
    return members


def _score_on_test(
    study: TaskStudy, members: Sequence[dict[str, Any]], seeds: Sequence[int], on_step: OnStep | None
) -> None:
    """Score the members of the final front on test data; adds to them."""
    final = [member for member in members if member["on_final_front"]]
    jobs = [Job(m["config"], seed, True) for m in final for seed in seeds]
    scored = run_jobs(study, jobs, "final front on test data", on_step)
    for index, member in enumerate(final):
        own = scored[index * len(seeds) : (index + 1) * len(seeds)]
        member |= spread_by_set([result.info.test_metrics for result in own if result.info.test_metrics])


def export_front(
    study: TaskStudy, members: Sequence[Mapping[str, Any]], records: Sequence[Record], on_step: OnStep | None
) -> list[dict[str, Any]]:
    """The dense network and the members of the final front as files: run, compared, and timed in turn.

    What cannot be exported, or not be timed, costs its row a `fault`, not the study.
    """
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
        except Exception as error:  # of whatever library: the other rows go on
            row["fault"] = f"{type(error).__name__}: {error}"
        rows.append(row)
        if on_step is not None:
            on_step("files of the front", index + 1, len(named))
    exported = [row for row in rows if "fault" not in row]
    paths = [folder / row["file"] for row in exported]
    try:
        with objective.setup.lock.exclusive():
            timed = time_interleaved(paths, objective.setup.task.latency_input()) if paths else []
        for row, latency in zip(exported, timed, strict=True):
            row["latency"] = latency.to_dict()
    except Exception as error:
        for row in exported:
            row["notes"] = [*row["notes"], f"could not be timed ({type(error).__name__}: {error})"]
    return rows
