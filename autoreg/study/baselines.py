"""Recipes that every search is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autoreg.engine.log.baseline_names import (
    DENSE,
    HALF_CHANNELS,
    HALF_CHANNELS_INT8,
    HALF_CHANNELS_TAUGHT,
    HALF_CHANNELS_TAUGHT_INT8,
    INT8,
    QUARTER_CHANNELS,
    QUARTER_CHANNELS_INT8,
    QUARTER_CHANNELS_TAUGHT,
    QUARTER_CHANNELS_TAUGHT_INT8,
    UNIFORM_CHANNELS,
    UNIFORM_WEIGHTS,
)
from autoreg.engine.starters import Starter, choose_starters
from autoreg.errors import InputError
from autoreg.methods.sections import SECTIONS
from autoreg.space import Space, StudySpec
from autoreg.space.spec import Param
from autoreg.trial.objective import TaskObjective

Complete = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Fills a recipe with the defaults of its space and task (`Setup.complete`)."""

TUNED_SETTINGS = 6  # training settings that the small dense network is tuned over


def possible_baselines(objective: TaskObjective, dense: Mapping[str, Any], *, full: bool) -> dict[str, dict[str, Any]]:
    """The baselines of a task, by name: those that its network can carry out.

    Args:
        objective: of the study.
        dense: the dense recipe.
        full: whether the further ones are wanted too.
    """
    empty = {name: dense[name] for name, item in SECTIONS.items() if item.optional and name in dense}

    def complete(recipe: Mapping[str, Any]) -> dict[str, Any]:
        return objective.setup.complete({**empty, **recipe})

    known = baseline_recipes(complete, dense)
    if full:
        known |= full_recipes(complete, dense)
    return {name: recipe for name, recipe in known.items() if is_possible(objective, recipe)}


def is_possible(objective: TaskObjective, recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe can run: a network without removable channels has no channel baseline."""
    try:
        objective.costs(recipe)
    except InputError:
        return False
    return True


def chosen_starters(
    objective: TaskObjective, baselines: Mapping[str, dict[str, Any]], spec: StudySpec
) -> list[tuple[str, dict[str, Any]]]:
    """Names and recipes of the baselines that a search begins with, in order; see `engine.starters`.

    Their epochs are counted as if trials share finished phases, also where these are not stored: a study that goes on
    without its store asks for the same trials.

    Args:
        objective: of the study.
        baselines: by name.
        spec: of the study.
    """
    known = [
        Starter(name, recipe, objective.costs(recipe), _work(objective, recipe)) for name, recipe in baselines.items()
    ]
    costs = [name for name in spec.objectives if name != objective.setup.task.quality]
    return [(one.name, one.config) for one in choose_starters(known, costs, spec.budget)]


def _work(objective: TaskObjective, recipe: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Key and epochs of the phases of a recipe as a trial with the study's seed; teachers of other seeds apart."""
    seed = objective.options.reference_seed
    costs = objective.phase_costs(recipe)
    return [(c[0] if len(c) == 2 or c[2] == seed else f"{c[0]} of seed {c[2]}", c[1]) for c in costs]


def baseline_recipes(complete: Complete, dense: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The recipes every report carries: dense, int8, uniform removal of channels and of weights, narrow networks.

    Networks that are narrow from the start learn alone and from the dense network, and have 32 and 8 bits; there are
    none where the dense recipe is not trained, but begins with weights that it does not train anew.

    Args:
        complete: fills recipes.
        dense: the dense recipe, whose training they have.
    """
    training = dict(dense["training"])
    eight = {"quantizer": {"rtn": {}}, "weights": {"bits": 8}, "activations": {"bits": 8}}
    changes: dict[str, dict[str, Any]] = {
        DENSE: {},
        INT8: {"quantization": eight},
        UNIFORM_CHANNELS: {"sparsity": {"channel": _one_shot(0.5)}},
        UNIFORM_WEIGHTS: {"sparsity": {"weight": _one_shot(0.8)}},
    }
    changes = {name: {**change, "training": training} for name, change in changes.items()}
    if training["epochs"] > 0:
        taught = {"teacher": {"kd": {"of": "dense"}}}
        for width, *names in (
            (0.5, HALF_CHANNELS, HALF_CHANNELS_INT8, HALF_CHANNELS_TAUGHT, HALF_CHANNELS_TAUGHT_INT8),
            (0.25, QUARTER_CHANNELS, QUARTER_CHANNELS_INT8, QUARTER_CHANNELS_TAUGHT, QUARTER_CHANNELS_TAUGHT_INT8),
        ):
            alone = narrow(width, training)
            recipes = [alone, {**alone, "quantization": eight}, {**alone, **taught}]
            recipes.append({**recipes[-1], "quantization": eight})
            changes |= dict(zip(names, recipes, strict=True))
    return {name: complete(change) for name, change in changes.items()}


def narrow(width: float, training: Mapping[str, Any], rate: float = 1.0, decay: float = 1.0) -> dict[str, Any]:
    """The recipe of a network with a fraction `width` of the channels, trained from scratch.

    Args:
        width: in (0, 1).
        training: of the study.
        rate: factor on its learning rate.
        decay: factor on its weight decay.
    """
    changed = {
        **training,
        "start": "scratch",
        "lr": min(10.0, training["lr"] * rate),
        "weight_decay": min(10.0, training["weight_decay"] * decay),
    }
    return {"network": {"width": width}, "training": changed}


def empty_slots(space: Space) -> dict[str, Any]:
    """The slots and sections that recipes need not have and those of this space do, each with nothing in it."""
    optional = {name: item for name, item in SECTIONS.items() if item.optional}
    found = ((name, optional[name]) for name, _ in space.root.items if name in optional)
    return {name: item.default if isinstance(item, Param) else {} for name, item in found}


def full_recipes(complete: Complete, dense: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The further baselines of `--baselines full`: other allocations and a random mask at 80 % sparsity."""
    chosen = {f"{name} weights 80 %": ("magnitude", name) for name in ("global", "erk", "lamp")}
    chosen["random mask 80 %"] = ("random", "uniform")
    training = dict(dense["training"])
    return {
        name: complete({"sparsity": {"weight": _one_shot(0.8, criterion, allocation)}, "training": training})
        for name, (criterion, allocation) in chosen.items()
    }


def small_dense_recipes(complete: Complete, training: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """A network of half the channels trained from scratch, at settings drawn around the study's own.

    Args:
        complete: fills recipes.
        training: of the study; all its epochs go to the small network.
        seed: of the draws.

    Returns:
        `TUNED_SETTINGS` recipes, of which validation data chooses one.
    """
    rng = np.random.default_rng([seed, 0xF3])
    drawn = ((10 ** rng.uniform(-0.7, 0.7), 10 ** rng.uniform(-1, 1)) for _ in range(TUNED_SETTINGS - 1))
    return [complete(narrow(0.5, training, rate, decay)) for rate, decay in [(1.0, 1.0), *drawn]]


def _one_shot(amount: float, criterion: str = "magnitude", allocation: str = "uniform") -> dict[str, Any]:
    """Removal of an amount at once, after training."""
    return {
        "criterion": {criterion: {}},
        "allocation": {allocation: {}},
        "amount": amount,
        "schedule": {"one_shot": {}},
    }
