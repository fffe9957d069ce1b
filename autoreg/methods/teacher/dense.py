"""What methods share that learn from dense trainings of the task. Loads without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.space.spec import choice, integer, uniform

if TYPE_CHECKING:
    from torch import Tensor


class LearnsFromDense:
    """Parameters of a method whose teacher is the dense network, or the mean of several trainings of it.

    Which trainings that are, and how they are shared, says `autoreg.plan`, which knows such a method by these names.
    """

    of: str = choice("dense", "ensemble", doc="one dense network, or the mean of several that differ by their seed")
    members: int = integer(2, 5, default=4, min=1, max=16, doc="dense trainings of an ensemble")
    weight: float = uniform(0.5, 1.0, default=0.9, min=0.0, max=1.0, doc="of the teacher; of the targets 1 - it")


def check_classes(name: str, logits: Tensor) -> None:
    """Refuse outputs that are no logits over classes.

    Args:
        name: of the method.
        logits: the model's, [..., classes].

    Raises:
        InputError: they are not floating point, or there are fewer than two classes in the last dimension.
    """
    if not logits.is_floating_point() or logits.ndim < 2 or logits.shape[-1] < 2:
        raise InputError(
            f"{name}: the model's output has shape {tuple(logits.shape)}; "
            "it needs logits over two or more classes in the last dimension"
        )
