"""`autoreg run`: from a study file to a front, re-measured, with a report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoreg.commands.options import EXIT_EMPTY, EXIT_INTERRUPTED, Imports, Params, Store, import_first, task_params
from autoreg.errors import InputError

if TYPE_CHECKING:
    from autoreg.study.study import Study
    from autoreg.study.task_study import TaskStudy


def run(  # many arguments, long: Typer reads every option from an argument
    study: Annotated[str, typer.Argument(help="A study file, or the name of a shipped one.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Trials at most.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Minutes at most.")] = None,
    executor: Annotated[str | None, typer.Option(help="local or ray.")] = None,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at a time.")] = None,
    gpus_per_trial: Annotated[float, typer.Option(min=0.0, help="Fraction of a GPU for each trial.")] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the study.")] = None,
    sampler: Annotated[str | None, typer.Option(help="auto, tpe, nsga2, random, grid or evolution.")] = None,
    baselines: Annotated[str | None, typer.Option(help="default, full or none.")] = None,
    final_seeds: Annotated[
        int | None, typer.Option(min=0, help="Fresh seeds that the front is re-measured with.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in the folder.")] = False,
    warm_start: Annotated[
        list[Path],
        typer.Option(help="Folder of an earlier study, of another task too, to learn from; may be repeated."),
    ] = [],  # noqa: B006
    warm_subset: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Learn first from recipes trained on this fraction of the data."),
    ] = None,
    warm_subset_trials: Annotated[
        int | None, typer.Option(min=10, help="How many recipes --warm-subset tries; 40 by default.")
    ] = None,
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early", help="Stop trials early that are predicted not to reach the front; again with --resume."
        ),
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Share no work between trials.")] = False,
    store: Store = None,
    storage: Annotated[str | None, typer.Option(help="Optuna URL (sqlite:///..., postgresql://...).")] = None,
    param: Params = [],  # noqa: B006 - typer reads the default
    import_: Imports = [],  # noqa: B006
) -> None:
    """Search: from a study file to a front, re-measured, with a report."""
    import_first(import_)
    from autoreg.study.options import RunOptions
    from autoreg.study.shipped import load_study
    from autoreg.study.task_study import TaskStudy

    budget = {"trials": trials, "minutes": minutes}
    changes = {"seed": seed, "sampler": sampler, "baselines": baselines, "final_seeds": final_seeds}
    changes |= {"executor": executor, "workers": workers}
    spec = load_study(study).override(budget={k: v for k, v in budget.items() if v is not None}, **_given(changes))
    folder = out or default_folder(study, spec.name)
    if (folder / "study.json").exists() and not resume:
        raise InputError(f"{folder}: holds a study already; add --resume to go on with it, or name another --out")
    options = RunOptions(
        folder=folder,
        resume=resume,
        executor=spec.executor,
        workers=spec.workers,
        address=address,
        gpus_per_trial=gpus_per_trial,
        store=store,
        cache=not no_cache,
        storage=storage,
        imports=tuple(import_),
        params=task_params(param),
        rungs=stop_early,
        warm_start=tuple(warm_start),
        warm_subset=warm_subset,
        **_given({"warm_subset_trials": warm_subset_trials}),
    )
    _search(TaskStudy(spec, options))


def _search(study: TaskStudy) -> None:
    from autoreg.execution import session
    from autoreg.report.data.load import StudyData
    from autoreg.report.text.front import format_front
    from autoreg.report.text.progress import SearchProgress
    from autoreg.report.write import write_report
    from autoreg.study.final_evaluation import finish, is_final
    from autoreg.study.subset_warm_start import warm_up

    folder = study.options.folder
    print(f"{study.spec.name}: {study.space.size()} · training the dense reference", file=sys.stderr)
    for notice in study.notices:
        print(f"Note: {notice}", file=sys.stderr)
    again = f"Go on with: autoreg {shlex.join([one for one in sys.argv[1:] if one != '--resume'])} --resume"
    try:
        with session(evaluate=study.objective, **study.execution()):
            study.prepare()
            for notice in warm_up(study, progress=True):
                print(f"Note: {notice}", file=sys.stderr)
            searched = study.run(progress=True)
            if searched.engine.front() and not is_final(study, searched):
                with SearchProgress() as progress:
                    finish(study, searched, lambda what, n, of: progress.update({"done": n, "total": of, "what": what}))
    except KeyboardInterrupt:
        print(f"\nInterrupted: every finished trial is stored in {folder}. {again}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    page = write_report(folder)
    if not searched.engine.front():
        print(f"No trial is complete and feasible ({_why(searched)}). See {page}", file=sys.stderr)
        raise typer.Exit(EXIT_EMPTY)
    print(format_front(StudyData.load(folder), "table"))
    print(f"Report: {page}")


def _why(searched: Study) -> str:
    reasons = [record.reason or record.state for record in searched.engine.trials()]
    common = max(set(reasons), key=reasons.count) if reasons else "nothing ran"
    return f"{len(reasons)} trials; most often: {common}"


def _given(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def default_folder(study: str, name: str) -> Path:
    """Where a study's results go by default: beside the study's file, else in `runs`."""
    path = Path(study)
    return path.parent / name if path.exists() else Path("runs") / name
