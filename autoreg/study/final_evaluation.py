"""After the search: the front re-measured with other seeds, baselines beside it, and test data, once.

The front of a search is optimistic: its members were selected on one seed each. Its best members run again with fresh
seeds, and so do the baselines. What is delivered is the front of both by these seeds; its members are scored on test
data. Each use of test data is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoreg.engine.log.baseline_names import DENSE
from autoreg.engine.log.records import Record
from autoreg.latency.interleaved import time_interleaved
from autoreg.latency.timing import time_onnx
from autoreg.report.data.exported_model import ExportedModel
from autoreg.report.data.final_results import Baseline, FinalResults, Member, UseOfTestData
from autoreg.report.data.study_config import read_json_object
from autoreg.study.baseline_runs import BaselineRuns, random_search
from autoreg.study.export import export_recipe, file_stem, logged_quality
from autoreg.study.final_members import ChosenTrial, choose_members
from autoreg.study.folder import single_writer, write_json
from autoreg.study.job_list import Job, OnStep, run_jobs
from autoreg.study.seed_statistics import SeedFront, spread, spread_by_set
from autoreg.study.study import Study
from autoreg.study.task_study import TaskStudy
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import fresh_seeds


def finish(study: TaskStudy, searched: Study, on_step: OnStep | None = None) -> FinalResults:
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
    uses = final_results(folder).test_uses
    results = FinalResults(test_uses=uses, seeds=tuple(seeds), front_size=len(engine.incumbents()))

    def save(**found: Any) -> None:
        nonlocal results
        results = replace(results, **found, seconds=time.perf_counter() - begun)
        write_json(folder / "final.json", results.to_json())

    with single_writer(folder):
        compared = BaselineRuns(study, seeds, on_step)
        known = {r.number for r in records if r.config in compared.recipes().values()}
        members = _measured(study, choose_members(engine, known), records, seeds, on_step)
        # from here on test data is used: that is written down first
        save(members=tuple(members), test_uses=(*uses, _use(study, len(records), _now())))
        baselines = [replace(one, trial=_trial_of(one, records)) for one in compared.run()]
        members, baselines = _on_front(study, members, baselines)
        save(members=tuple(members), baselines=tuple(baselines))
        members = _scored_on_test(study, members, seeds, on_step)
        save(members=tuple(members))
        save(exported=tuple(export_front(study, members, baselines, records, on_step)))
        if study.spec.baselines == "full":
            save(random=random_search(study, engine, on_step))
        save(complete=True)
    return results


def final_results(folder: Path) -> FinalResults:
    """What final.json of a study holds; empty where there is none."""
    return FinalResults.from_json(read_json_object(folder / "final.json", required=False))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def _use(study: TaskStudy, trials: int, when: str) -> UseOfTestData:
    return UseOfTestData(when, "", trials, study.spec.baselines, study.spec.final_seeds)


def is_final(study: TaskStudy, searched: Study) -> bool:
    """Whether the folder holds the whole final measurement of just these trials, seeds and baselines."""
    found = final_results(study.options.folder)
    last = found.test_uses[-1] if found.test_uses else UseOfTestData()
    return found.complete and replace(last, time="", purpose="") == _use(study, len(searched.engine.trials()), "")


def _trial_of(baseline: Baseline, records: Sequence[Record]) -> int | None:
    return next((r.number for r in records if r.config == baseline.config and r.reevaluation_of is None), None)


def _measured(
    study: TaskStudy,
    candidates: Sequence[ChosenTrial],
    records: Sequence[Record],
    seeds: Sequence[int],
    on_step: OnStep | None,
) -> list[Member]:
    """Members with their validation over fresh seeds."""
    jobs = [Job(records[one.number].config, seed, False) for one in candidates for seed in seeds]
    results = run_jobs(study, jobs, "front with fresh seeds", on_step)
    members: list[Member] = []
    for index, one in enumerate(candidates):
        own = [r for r in results[index * len(seeds) : (index + 1) * len(seeds)] if r.state == "COMPLETE"]
        members.append(
            Member(
                trial=one.number,
                config=records[one.number].config,
                search=dict(records[one.number].metrics),
                posterior=one.posterior,
                validation=spread([r.metrics for r in own]) if own else None,
                layers=tuple(own[0].info.layers) if own else (),
                hv_contribution=one.hv_contribution,
                replicated=len(own) == len(seeds) > 0,
            )
        )
    return members


def _on_front(
    study: TaskStudy, members: Sequence[Member], baselines: Sequence[Baseline]
) -> tuple[list[Member], list[Baseline]]:
    """Members and baselines, each with whether it is on the front of both, and what keeps a member off it."""
    both: list[Member | Baseline] = [*members, *baselines]
    front = SeedFront(
        [one.validation for one in both],
        study.spec.objectives,
        (*study.space.constraints, *study.spec.constraints),
        study.dense,
        costs=set(study.spec.objectives) - {study.quality},
        baselines=range(len(members), len(both)),
    )
    on, by, likely = front.members(), front.dominators(), front.probabilities(study.spec.seed)
    names = ["" if i is None else both[i].name for i in by]
    found = [
        replace(member, on_final_front=on[i], dominated_by=names[i], front_probability=likely[i])
        for i, member in enumerate(members)
    ]
    return found, [replace(one, on_final_front=on[len(members) + i]) for i, one in enumerate(baselines)]


def _scored_on_test(
    study: TaskStudy, members: Sequence[Member], seeds: Sequence[int], on_step: OnStep | None
) -> list[Member]:
    """The members, those of the final front with their scores on test data."""
    final = [member for member in members if member.on_final_front]
    jobs = [Job(m.config, seed, True) for m in final for seed in seeds]
    scored = run_jobs(study, jobs, "final front on test data", on_step)
    found: dict[int, Member] = {}
    for index, member in enumerate(final):
        own = scored[index * len(seeds) : (index + 1) * len(seeds)]
        test, sets = spread_by_set([result.info.test_metrics for result in own if result.info.test_metrics])
        found[member.trial] = replace(member, test=test, test_sets=sets)
    return [found.get(member.trial, member) for member in members]


def export_front(
    study: TaskStudy,
    members: Sequence[Member],
    baselines: Sequence[Baseline],
    records: Sequence[Record],
    on_step: OnStep | None,
) -> list[ExportedModel]:
    """The dense network, members and baselines of the final front as files: run, compared, and timed in turn.

    What cannot be exported, or not be timed, costs its row an `error`, not the study.
    """
    named: list[tuple[str, int | None, Mapping[str, Any]]] = [(DENSE, None, study.dense_recipe)]
    named += [(one.name, None, one.config or {}) for one in baselines if one.on_final_front and one.name != DENSE]
    named += [(one.name, one.trial, one.config) for one in members if one.on_final_front]
    folder = study.options.folder / "exports"
    objective = study.objective.without_rungs()
    rows: list[ExportedModel] = []
    for index, (name, trial, config) in enumerate(named):
        row = ExportedModel(name, trial)
        try:
            path = folder / f"{file_stem(name)}.onnx"
            logged = None if trial is None else logged_quality(records[trial], objective.setup.task)
            exported = export_recipe(objective, config, study.spec.seed, path, "onnx", logged=logged, timed=False)
            row = ExportedModel.from_json({"name": name, "trial": trial, **exported.to_dict()})
            time_onnx(path, objective.setup.task.latency_input(), seconds=0)  # whether it runs at that batch
        except Exception as error:  # of whatever library: the other rows go on
            row = replace(row, error=f"{type(error).__name__}: {error}")
        rows.append(row)
        if on_step is not None:
            on_step("files of the front", index + 1, len(named))
    return _timed(objective, folder, rows)


def _timed(objective: TaskObjective, folder: Path, rows: Sequence[ExportedModel]) -> list[ExportedModel]:
    """The files, timed in turn on a machine that runs nothing else of this study."""
    exported = [row for row in rows if not row.error]
    paths = [folder / row.file for row in exported]
    try:
        with objective.setup.lock.exclusive():
            latencies = time_interleaved(paths, objective.setup.task.latency_input()) if paths else []
    except Exception as error:
        note = f"could not be timed ({type(error).__name__}: {error})"
        return [row if row.error else replace(row, notes=(*row.notes, note)) for row in rows]
    found = {row.name: latency for row, latency in zip(exported, latencies, strict=True)}
    return [replace(row, latency=found[row.name]) if row.name in found else row for row in rows]
