"""The study of recipes on a fraction of the training data, as a specification: nothing runs here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from autoreg.engine.transfer.earlier_studies import MIN_SOURCE_TRIALS
from autoreg.errors import InputError
from autoreg.space import Budget, Choice, Constant, Expression, Group, Node, Range, Space, StudySpec
from autoreg.study.options import DEFAULT_SUBSET_TRIALS, RunOptions

if TYPE_CHECKING:
    from autoreg.trial.setup import Setup


def subset_spec(spec: StudySpec, quality: str, fraction: float, trials: int = DEFAULT_SUBSET_TRIALS) -> StudySpec:
    """The study of a fraction of the data: the same space, recipes at random, and only the quality to learn.

    Constraints on quality, latency and the size of files are left out: they say nothing about a fraction of the data,
    and nothing is timed.

    Args:
        spec: the study proper.
        quality: the metric that is learned.
        fraction: of the training data, above 0 and below 1.
        trials: how many recipes.

    Raises:
        InputError: the space itself says on which fraction recipes are trained.
    """
    space = spec.space.to_dict()
    training = dict(space.get("training", {}))
    if "share" in training:
        raise InputError("--warm-subset: the space says training.share itself; leave one of the two out")
    whole = replace(spec.space, constraints=_cost_rules(spec.space.constraints, quality)).to_dict()
    return replace(
        spec,
        name=f"{spec.name}-subset",
        space=Space.from_dict({**whole, "training": {**training, "share": fraction}}),
        objectives={quality: spec.objectives.get(quality, "min")},
        constraints=_cost_rules(spec.constraints, quality),
        budget=Budget(trials=trials),
        sampler="random",
        baselines="none",
        final_seeds=0,
    )


def _cost_rules(rules: Iterable[Expression], quality: str) -> tuple[Expression, ...]:
    unknown = {name for one in (quality, "latency_ms", "file_bytes") for name in (one, f"dense.{one}")}
    return tuple(rule for rule in rules if not rule.names & unknown)


def data_fractions(space: Space) -> list[float]:
    """Values that `training.share` may take in a space, of ranges both ends; none where the space does not say."""
    training = dict(space.root.items).get("training")
    return _ends(dict(training.items).get("share")) if isinstance(training, Group) else []


def _ends(node: Node | None) -> list[float]:
    if isinstance(node, Range):
        return [node.low, node.high]
    if isinstance(node, Choice):
        return [fraction for option in node.options for fraction in _ends(option.node)]
    return [node.value] if isinstance(node, Constant) else []


def check_fractions(spec: StudySpec, space: Space, options: RunOptions, setup: Setup) -> None:
    """Refuse, before anything trains, a fraction of the data that cannot be had, of the space or of `--warm-subset`.

    Args:
        spec: the study proper.
        space: its space, bound to the task.
        options: how it is run.
        setup: the task.

    Raises:
        InputError: the fraction is out of bounds, the space says its own, the trials are too few to learn from, or no
            subset can be taken of the task's training data.
    """
    if any(fraction != 1 for fraction in data_fractions(space)):
        setup.subsets(setup.task.folds[0])
    if options.warm_subset is None:
        return
    if options.warm_subset_trials < MIN_SOURCE_TRIALS:
        raise InputError(
            f"--warm-subset-trials: found {options.warm_subset_trials}; allowed: at least {MIN_SOURCE_TRIALS}"
        )
    subset = subset_spec(spec, setup.task.quality, options.warm_subset, options.warm_subset_trials)
    subset.space.bind(setup.registry, setup.layers, setup.defaults)
    setup.subsets(setup.task.folds[0])
