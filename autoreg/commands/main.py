"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from autoreg.errors import AutoregError, InputError, NoTrialError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AutoML search over regularization and sparsity: the front of accuracy against FLOPs, latency and size.",
)

EXIT_EMPTY, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130

Params = Annotated[list[str], typer.Option("-p", "--param", help="A parameter of the task: -p name=value.")]
Imports = Annotated[
    list[str], typer.Option("--import", help="Import this module first: methods and tasks of your own.")
]
Store = Annotated[Path | None, typer.Option(help="Folder of finished phases that trials share.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line and turn what a user can mend into one message and an exit code."""
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)  # outside of standalone mode an exit is returned, not raised
    except typer.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except NoTrialError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(EXIT_EMPTY)
    except BrokenPipeError:
        raise  # whoever read what is printed has left: nothing is wrong with a file
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"Error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(EXIT_INPUT)
    except AutoregError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(EXIT_INPUT)
    except Exception as error:
        if _is_usage(error):
            print(f"Error: {error.format_message()}", file=sys.stderr)  # type: ignore[attr-defined]
            sys.exit(EXIT_INPUT)
        raise


def _is_usage(error: Exception) -> bool:
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="A study file, or the name of a shipped one.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Trials at most.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Minutes at most.")] = None,
    executor: Annotated[str | None, typer.Option(help="local or ray.")] = None,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at a time.")] = None,
    gpus_per_trial: Annotated[float, typer.Option(min=0.0, help="Share of a GPU for each trial.")] = 0.0,
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
        typer.Option(min=0.01, max=0.99, help="Learn first from recipes trained on this share of the data."),
    ] = None,
    warm_subset_trials: Annotated[
        int | None, typer.Option(min=10, help="How many recipes --warm-subset tries; 40 unless told.")
    ] = None,
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early", help="Stop trials early that are foretold not to reach the front; again with --resume."
        ),
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Share no work between trials.")] = False,
    store: Store = None,
    storage: Annotated[str | None, typer.Option(help="Optuna URL (sqlite:///..., postgresql://...).")] = None,
    param: Params = [],  # noqa: B006 - typer reads the default
    import_: Imports = [],  # noqa: B006
) -> None:
    """Search: from a study file to a front, re-measured, with a report."""
    _import(import_)
    from autoreg.study.options import RunOptions
    from autoreg.study.task_study import TaskStudy

    budget = {"trials": trials, "minutes": minutes}
    changes = {"seed": seed, "sampler": sampler, "baselines": baselines, "final_seeds": final_seeds}
    changes |= {"executor": executor, "workers": workers}
    spec = _spec(study).override(budget={k: v for k, v in budget.items() if v is not None}, **_given(changes))
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
        params=_params(param),
        rungs=stop_early,
        warm_start=tuple(warm_start),
        warm_subset=warm_subset,
        **_given({"warm_subset_trials": warm_subset_trials}),
    )
    _search(TaskStudy(spec, options))


def _search(study: Any) -> None:
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
    study.prepare()
    again = f"Go on with: autoreg {shlex.join([one for one in sys.argv[1:] if one != '--resume'])} --resume"
    try:
        with session(**study.execution()):
            for notice in warm_up(study, progress=True):
                print(f"Note: {notice}", file=sys.stderr)
            searched = study.run(progress=True)
            if searched.engine.front() and not is_final(study, searched):
                with SearchProgress() as progress:
                    finish(study, searched, lambda what, n, of: progress.update({"done": n, "total": of, "what": what}))
    except KeyboardInterrupt:
        print(f"\nInterrupted: every finished trial is kept in {folder}. {again}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    page = write_report(folder)
    if not searched.engine.front():
        print(f"No trial is complete and feasible ({_why(searched)}). See {page}", file=sys.stderr)
        raise typer.Exit(EXIT_EMPTY)
    print(format_front(StudyData.load(folder), "table"))
    print(f"Report: {page}")


def _why(searched: Any) -> str:
    reasons = [row["reason"] or row["state"] for row in searched.engine.trials()]
    common = max(set(reasons), key=reasons.count) if reasons else "nothing ran"
    return f"{len(reasons)} trials; most often: {common}"


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="A space or a study file, or the name of a shipped one.")],
    task: Annotated[str | None, typer.Option(help="Check a space against this task.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials to reckon time and disk for.")] = 60,
    as_json: AsJson = False,
    store: Store = None,
    param: Params = [],  # noqa: B006
    import_: Imports = [],  # noqa: B006
) -> None:
    """Check a space or study: its size; with a task the range of costs and what to expect. Nothing trains."""
    _import(import_)
    from autoreg.commands.check import check_file, format_check

    found = check_file(file, task=task, params=_params(param), imports=tuple(import_), trials=trials, store=store)
    print(json.dumps(found, indent=1) if as_json else format_check(found))


@app.command()
def latency(
    task: Annotated[str | None, typer.Option(help="The task whose network is timed.")] = None,
    study: Annotated[str | None, typer.Option(help="A study file or shipped study, in place of a task.")] = None,
    space: Annotated[str | None, typer.Option(help="A space; that of the task's shipped study unless told.")] = None,
    recipes: Annotated[int, typer.Option(min=2, help="Held-out recipes that errors are measured on.")] = 50,
    as_json: AsJson = False,
    store: Store = None,
    param: Params = [],  # noqa: B006
    import_: Imports = [],  # noqa: B006
) -> None:
    """Build this machine's latency table: every layer that a space can reach, and how well it predicts recipes."""
    _import(import_)
    from autoreg.commands.latency import build_table, format_latency
    from autoreg.report.text.progress import SearchProgress

    with SearchProgress() as progress:
        found = build_table(
            task,
            study=study,
            space=space,
            params=_params(param),
            imports=tuple(import_),
            recipes=recipes,
            store=store,
            on_progress=lambda what, n, of: progress.update({"done": n, "total": of, "what": what}),
        )
    print(json.dumps(found, indent=1) if as_json else format_latency(found))


@app.command()
def front(
    folder: Annotated[Path, typer.Argument(help="The folder of a study.")],
    format: Annotated[str, typer.Option(help="table, json or csv.")] = "table",
) -> None:
    """Print the front of a study."""
    from autoreg.report.data.load import StudyData
    from autoreg.report.text.front import format_front

    data = StudyData.load(folder)
    print(format_front(data, format))
    if data.front.empty:
        raise typer.Exit(EXIT_EMPTY)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="The folder of a study.")]) -> None:
    """Write report.html, front.csv, trials.parquet and the plots."""
    from autoreg.report.write import write_report

    print(write_report(folder))


@app.command()
def apply(
    recipe: Annotated[str, typer.Argument(help="A recipe file (YAML or JSON), or DIR:N for the one of a trial.")],
    task: Annotated[str | None, typer.Option(help="The task; with DIR:N the study's own.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the replicate; with DIR:N the study's.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Share no work with other trials.")] = False,
    as_json: AsJson = False,
    store: Store = None,
    param: Params = [],  # noqa: B006
    import_: Imports = [],  # noqa: B006
) -> None:
    """Carry one recipe out, outside a search: metrics, costs, and what became of each layer."""
    _import(import_)
    from autoreg.commands.apply import apply_recipe, format_applied

    found = apply_recipe(
        recipe, task=task, params=_params(param), imports=tuple(import_), seed=seed, cache=not no_cache, store=store
    )
    print(json.dumps(found, indent=1) if as_json else format_applied(found))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="The folder of a study.")],
    trial: Annotated[list[int], typer.Option(help="Number of a trial; may be repeated.")] = [],  # noqa: B006
    all_front: Annotated[bool, typer.Option("--all-front", help="Every member of the front.")] = False,
    format: Annotated[str, typer.Option(help="onnx, torch or safetensors.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Folder of the files; DIR/exports unless told.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Entropy coding of integer weights.")] = False,
) -> None:
    """Write the model of a trial as a file, run the file, and compare it with what the trial recorded."""
    from autoreg.study.export import export_trials

    if bool(trial) == all_front:
        raise InputError("export: name trials with --trial N, or take the whole front with --all-front")
    export_trials(folder, trial, format, out=out, compress=compress, on_done=lambda line: print(line, flush=True))


@app.command()
def methods(as_json: AsJson = False, import_: Imports = []) -> None:  # noqa: B006
    """List every method: name, kind, parameters, paper, catalogue number, hooks."""
    _import(import_)
    from autoreg.commands.methods import format_methods, list_methods

    found = list_methods()
    print(json.dumps(found, indent=1) if as_json else format_methods(found))


@app.command()
def schema(import_: Imports = []) -> None:  # noqa: B006
    """Print the JSON Schema of spaces and studies, for editors."""
    _import(import_)
    from autoreg.methods import registry
    from autoreg.space import schema as json_schema

    print(json.dumps(json_schema(registry()), indent=1))


@app.command()
def copy(
    name: Annotated[str | None, typer.Argument(help="A shipped space or study; without it they are listed.")] = None,
    to: Annotated[Path, typer.Option(help="Folder to copy to.")] = Path("."),
) -> None:
    """Copy a ready space or study, to edit."""
    from autoreg.study.shipped import find, shipped

    if name is None:
        for kind in ("study", "space"):
            for stem, file in shipped(kind).items():
                first = file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
                print(f"{kind}  {stem:15} {first}")
        return
    stem = name.removesuffix(".yaml")
    source = shipped("study").get(stem) or shipped("space").get(stem)
    if source is None:
        source = find("study", name)  # raises, naming what there is
    target = to / source.name
    if target.exists():
        raise InputError(f"{target}: is there already; nothing was copied")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    print(target)


def _import(names: list[str]) -> None:
    if names:
        from autoreg.trial.objective import import_modules

        import_modules(names)


def _params(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise InputError(f"-p {text}: expected name=value")
        found[name] = value  # a task reads text as the type that its constructor names
    return found


def _given(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def _spec(name: str) -> Any:
    from autoreg.space.study_spec import StudySpec
    from autoreg.study.shipped import find

    path = Path(name)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        path = find("study", name)
    return StudySpec.load(path, resolve_shipped=lambda space: find("space", space))


def default_folder(study: str, name: str) -> Path:
    """Where a study's results go unless told: beside the study's file, else in `runs`."""
    path = Path(study)
    return path.parent / name if path.exists() else Path("runs") / name


if __name__ == "__main__":
    main()
