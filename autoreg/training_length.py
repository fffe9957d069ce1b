"""How long a training is, where it is scored on its way, and where trainings of different lengths meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONSTANT = "constant_cooldown"
"""The schedule whose rate, but for the cool-down, does not depend on the length of the training."""

TRUNK_SHARE = (4, 5)
"""Part of a training before its rate cools down, as numerator and denominator."""


def cooldown_start(epochs: int) -> int:
    """Whole epochs before the rate of a training with a constant one cools down."""
    return epochs * TRUNK_SHARE[0] // TRUNK_SHARE[1]


def grid_epochs(last: int) -> tuple[int, ...]:
    """Epochs up to `last` at which trainings of different lengths meet: few, and none far from the last.

    >>> grid_epochs(20)
    (2, 3, 4, 6, 8, 12, 16)
    """
    powers = [2**k for k in range(1, max(last, 1).bit_length())]
    return tuple(sorted(end for power in powers for end in (power, 3 * power // 2) if end <= last))


def rung_epochs(settings: Mapping[str, Any], reduction: int = 3) -> tuple[int, ...]:
    """Epochs of a training after which a compressed copy is scored: E/9 (if at least 2), E/3, E.

    Where the rate is constant they lie where trainings of other lengths are left too, so that one is compared with the
    other, and a rung costs no training that another has done.

    Args:
        settings: of the phase, or a recipe's section `training`.
        reduction: of the epochs from one rung to the one before.

    >>> rung_epochs({"epochs": 10})
    (3, 10)
    >>> rung_epochs({"epochs": 30})
    (3, 10, 30)
    >>> rung_epochs({"epochs": 30, "schedule": "constant_cooldown"})
    (3, 8, 30)
    """
    at = int(settings["epochs"])
    rungs = [at] if at >= 2 else []
    while (at := at // reduction) >= 2:
        rungs.append(max(grid_epochs(at)) if settings.get("schedule") == CONSTANT else at)
    return tuple(sorted(rungs))


def rung_stage(config: Mapping[str, Any], step: int) -> str:
    """What trials must have in common to be compared at a rung, beside its step.

    A network in the midst of a training says something of one in the midst of another only where the rate was the same:
    the trainings are equally long, or their rate is still constant.
    """
    training = config["training"]
    epochs, schedule = int(training["epochs"]), training.get("schedule", "cosine")
    if schedule == CONSTANT and step <= cooldown_start(epochs):
        return CONSTANT
    return f"{schedule}, {epochs} epochs"


def trained_after(config: Mapping[str, Any]) -> str:
    """What a complete recipe trains after the rungs, by which its rungs and its end are related.

    That is whether weights are fine-tuned, and the quantizer. Where neither trains, the end is what the last rung was;
    where weights are fine-tuned, a compressed copy at chance level may come out well. What else a recipe says (its
    structure, its density) relates them less: replayed on the table of digits, 18 of 139 stops by structure were of
    trials that would have been on the front of the moment, and none of 55 by this with each training counted once.
    """
    quantizer = config["quantization"]["quantizer"]
    name = quantizer if isinstance(quantizer, str) else next(iter(quantizer))
    return f"{name}, fine-tuned" if config["training"]["finetune_epochs"] else str(name)
