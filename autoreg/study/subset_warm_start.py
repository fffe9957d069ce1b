"""A warm start from the study's own task: recipes at random, each trained on a fraction of the data.

They are a study of their own, in the folder `subset` of the study, which resumes as any other. Their order of recipes
becomes a prior in the same way as that of earlier studies on other tasks (`autoreg.engine.transfer.prior`): it counts
if it predicts its own held-out trials, and until trials on all data contradict it. None of them is a member of the
front.

Reference: Killamsetty et al., "MILO", 2023, arXiv 2301.13287 (catalogue 315), where recipes are tuned on subsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autoreg.engine.transfer.earlier_studies import MIN_SOURCE_TRIALS, SOURCES_FILE
from autoreg.engine.transfer.prior import Prior, load_prior
from autoreg.study.folder import check_folder, single_writer
from autoreg.study.subset_spec import subset_spec
from autoreg.study.task_study import TaskStudy

SUBSET_FOLDER = "subset"


@dataclass(frozen=True)
class SubsetResult:
    """What recipes on a fraction of the data brought.

    Attributes:
        prior: the prior of the study proper, earlier studies included; None for none.
        spent: `epochs` and `seconds` that they took.
        notices: sentences for the user.
    """

    prior: Prior | None
    spent: Mapping[str, float]
    notices: tuple[str, ...] = ()


def warm_up(study: TaskStudy, *, progress: bool = False) -> tuple[str, ...]:
    """Try recipes on a fraction of the data where the options want it and it is not done yet; call it before `run`.

    The study gets the prior, and what it cost is added to what was prepared.

    Args:
        study: the study that is to begin.
        progress: whether a progress bar is shown.

    Returns:
        What it brought, in sentences.

    Raises:
        InputError: the study was begun without.
        StudyError: the folder is another study's, or another process writes it.
    """
    options = study.options
    if options.warm_subset is None or (options.folder / SOURCES_FILE).exists():
        return ()
    with single_writer(options.folder):
        study.prepare()
        check_folder(options.folder, study.study_config(), resume=options.resume)
        found = run_subset_study(study, options.warm_subset, progress=progress)
    study.prior = found.prior
    if found.spent:
        more = {"epochs_run": found.spent["epochs"], "seconds": found.spent["seconds"]}
        total = {name: study.prepared.get(name, 0.0) + value for name, value in more.items()}
        own = {f"subset_{name}": value for name, value in found.spent.items()}
        study.prepared = {**study.prepared, **total, **own}
    return found.notices


def run_subset_study(study: TaskStudy, fraction: float, *, progress: bool = False) -> SubsetResult:
    """Try recipes on a fraction of the data, or go on with it, and learn a prior from them.

    Args:
        study: the study that is to begin; its dense recipe is trained.
        fraction: of the training data.
        progress: whether a progress bar is shown.

    Raises:
        InputError: the study was begun without.
    """
    options = study.options
    folder, events = options.folder / SUBSET_FOLDER, options.folder / "events.jsonl"
    if events.exists() and events.stat().st_size:
        if folder.exists():  # its trials were too few to learn from when the study began
            return SubsetResult(study.prior, {})
        return SubsetResult(load_prior(options.folder, study.space, (folder,)), {})  # raises: it was begun without
    subset = _subset_study(study, fraction, folder)
    records = subset.run(progress=progress).engine.trials()
    spent = {
        "epochs": subset.prepared.get("epochs_run", 0.0) + sum(record.epochs_run for record in records),
        "seconds": subset.prepared.get("seconds", 0.0) + sum(record.info.seconds or 0.0 for record in records),
    }
    complete = sum(record.state == "COMPLETE" for record in records)
    cost = f"{spent['epochs']:.4g} epochs"
    if complete < MIN_SOURCE_TRIALS:
        reason = (
            f"only {complete} of {len(records)} recipes ended on a fraction of the data, at {cost}: nothing is learned"
        )
        return SubsetResult(study.prior, spent, (f"warm start from {folder}: {reason}",))
    prior = load_prior(options.folder, study.space, (*options.warm_start, folder))
    assert prior is not None
    return SubsetResult(prior, spent, (f"{prior.notices()[-1]}; it took {cost}",))


def _subset_study(study: TaskStudy, fraction: float, folder: Path) -> TaskStudy:
    resume = (folder / "study.json").exists()
    spec = subset_spec(study.spec, study.quality, fraction, study.options.warm_subset_trials)
    options = replace(
        study.options, folder=folder, resume=resume, warm_start=(), warm_subset=None, storage=None, rungs=False
    )
    return TaskStudy(spec, options)
