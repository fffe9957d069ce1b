"""A warm start from the study's own task: recipes at random, each trained on a share of the data.

They are a study of their own, in the folder `subset` of the study, which resumes as any other. Their order of recipes
goes through the door of earlier studies on other tasks (`autoreg.engine.transfer.prior`): it is believed if it
foretells its own held-out trials, and until trials on all data contradict it. None of them is a member of the front.

Reference: Killamsetty et al., "MILO", 2023, arXiv 2301.13287 (catalogue 315), where recipes are tuned on subsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.engine.transfer.earlier_studies import MIN_SOURCE_TRIALS
from autoreg.engine.transfer.prior import load_prior
from autoreg.errors import InputError
from autoreg.space import Budget, Expression, Space
from autoreg.space.nodes import Choice, Constant, Group, Node, Range
from autoreg.space.study_spec import StudySpec

if TYPE_CHECKING:
    from autoreg.engine.transfer.prior import Prior
    from autoreg.study.task_study import TaskStudy

FOLDER = "subset"
SUBSET_TRIALS = 40
"""Recipes that are tried on a share of the data unless told otherwise: four whole trainings at a tenth."""


@dataclass(frozen=True)
class Warmed:
    """What recipes on a share of the data brought.

    Attributes:
        prior: what is believed now, earlier studies included; None for nothing.
        spent: `epochs` and `seconds` that they took.
        notices: sentences for the user.
    """

    prior: Prior | None
    spent: Mapping[str, float]
    notices: tuple[str, ...] = ()


def subset_spec(spec: StudySpec, quality: str, share: float, trials: int = SUBSET_TRIALS) -> StudySpec:
    """The study of a share of the data: the same space at that share, even draws, and only the quality to learn.

    Constraints on quality and latency are left out: they say nothing about a share of the data, and nothing is timed.

    Raises:
        InputError: the space says itself on which share recipes are trained.
    """
    space = spec.space.to_dict()
    training = dict(space.get("training", {}))
    if "share" in training:
        raise InputError("--warm-subset: the space says training.share itself; leave one of the two out")
    whole = replace(spec.space, constraints=_cost_rules(spec.space.constraints, quality)).to_dict()
    return replace(
        spec,
        name=f"{spec.name}-subset",
        space=Space.from_dict({**whole, "training": {**training, "share": share}}),
        objectives={quality: spec.objectives.get(quality, "min")},
        constraints=_cost_rules(spec.constraints, quality),
        budget=Budget(trials=trials),
        sampler="random",
        baselines="none",
        final_seeds=0,
    )


def _cost_rules(rules: Iterable[Expression], quality: str) -> tuple[Expression, ...]:
    unknown = {name for one in (quality, "latency_ms") for name in (one, f"dense.{one}")}
    return tuple(rule for rule in rules if not rule.names & unknown)


def shares(space: Space) -> list[float]:
    """Values that `training.share` may take in a space, of ranges both ends; none where the space does not say."""
    training = dict(space.root.items).get("training")
    return _ends(dict(training.items).get("share")) if isinstance(training, Group) else []


def _ends(node: Node | None) -> list[float]:
    if isinstance(node, Range):
        return [node.low, node.high]
    if isinstance(node, Choice):
        return [share for option in node.options for share in _ends(option.node)]
    return [node.value] if isinstance(node, Constant) else []


def check_subset(study: TaskStudy) -> None:
    """Refuse, before anything trains, a share that cannot be had, of the space or of `--warm-subset`.

    Raises:
        InputError: the share is out of bounds, the space says its own, the trials are too few to learn from, or no
            subset can be taken of the task's training data.
    """
    options, setup = study.options, study.objective.setup
    if any(share != 1 for share in shares(study.space)):
        setup.subsets(setup.task.folds[0])
    if options.warm_subset is None:
        return
    if options.warm_subset_trials < MIN_SOURCE_TRIALS:
        raise InputError(
            f"--warm-subset-trials: found {options.warm_subset_trials}; allowed: at least {MIN_SOURCE_TRIALS}"
        )
    spec = subset_spec(study.spec, study.quality, options.warm_subset, options.warm_subset_trials)
    spec.space.bind(setup.registry, setup.layers, setup.defaults)
    setup.subsets(setup.task.folds[0])


def warmed(study: TaskStudy, *, progress: bool = False) -> Warmed:
    """Try recipes on a share of the data, or go on with it, and read what they say.

    Args:
        study: the study that is to begin; its dense recipe is trained.
        progress: whether a progress bar is shown.

    Raises:
        InputError: the study was begun without.
    """
    options = study.options
    assert options.warm_subset is not None
    folder, events = options.folder / FOLDER, options.folder / "events.jsonl"
    if events.exists() and events.stat().st_size:
        if folder.exists():  # it had too little to say when the study began
            return Warmed(study.prior, {})
        return Warmed(load_prior(options.folder, study.space, (folder,)), {})  # says that it was begun without
    made = _made(study, folder)
    rows = made.run(progress=progress).engine.trials()
    spent = {
        name: made.prepared.get(key, 0.0) + sum(float(row["info"].get(key, 0.0)) for row in rows)
        for name, key in (("epochs", "epochs_paid"), ("seconds", "seconds"))
    }
    complete = sum(row["state"] == "COMPLETE" for row in rows)
    bill = f"{spent['epochs']:.4g} epochs"
    if complete < MIN_SOURCE_TRIALS:
        said = f"only {complete} of {len(rows)} recipes ended on a share of the data, at {bill}: nothing is learned"
        return Warmed(study.prior, spent, (f"warm start from {folder}: {said}",))
    prior = load_prior(options.folder, study.space, (*options.warm_start, folder))
    assert prior is not None
    return Warmed(prior, spent, (f"{prior.notices()[-1]}; it took {bill}",))


def _made(study: TaskStudy, folder: Path) -> TaskStudy:
    options = study.options
    assert options.warm_subset is not None
    changes: dict[str, Any] = {"warm_start": (), "warm_subset": None, "storage": None, "rungs": False}
    resume = (folder / "study.json").exists()
    spec = subset_spec(study.spec, study.quality, options.warm_subset, options.warm_subset_trials)
    made = type(study)(spec, replace(options, folder=folder, resume=resume, **changes))
    made.objective.latency = False
    return made
