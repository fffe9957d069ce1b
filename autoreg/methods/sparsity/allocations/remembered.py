"""What was computed of the same scores before.

A search resolves thousands of recipes on the scores of one reference, and sorting all weights of a network is what
takes longest there: it is done once for each set of scores.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

V = TypeVar("V")
MAX_REMEMBERED = 8  # sets of scores: criteria, and networks that are narrower from the start

_known: OrderedDict[tuple[object, ...], tuple[Sequence[Tensor], object]] = OrderedDict()


def remembered(what: str, scores: Sequence[Tensor], compute: Callable[[], V]) -> V:
    """The value that was computed under this name of these very tensors, unchanged since; else it is computed.

    Args:
        what: name of the value.
        scores: all that it depends on.
        compute: computes it.
    """
    key = (what, *[(id(tensor), 0 if tensor.is_inference() else tensor._version) for tensor in scores])
    if key not in _known:
        _known[key] = (tuple(scores), compute())  # the tensors are held, so that no other gets their identity
        if len(_known) > MAX_REMEMBERED:
            _known.popitem(last=False)
    _known.move_to_end(key)
    value: V = _known[key][1]  # type: ignore[assignment]
    return value
