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
MAX_REMEMBERED = 8  # sets of scores, however large: criteria, and networks that are narrower from the start
MAX_REMEMBERED_SCORES = 20_000_000  # in more sets than that: a search looks at hundreds of narrow networks
MAX_REMEMBERED_SETS = 1000  # however small

_known: OrderedDict[tuple[object, ...], tuple[Sequence[Tensor], int, object]] = OrderedDict()


def remembered(what: str, scores: Sequence[Tensor], compute: Callable[[], V]) -> V:
    """The value that was computed under this name of these very tensors, unchanged since; else it is computed.

    Args:
        what: name of the value.
        scores: all that it depends on.
        compute: computes it.
    """
    key = (what, *[(id(tensor), 0 if tensor.is_inference() else tensor._version) for tensor in scores])
    if key not in _known:
        count = sum(tensor.numel() for tensor in scores)
        _known[key] = (tuple(scores), count, compute())  # the tensors are held, so that no other gets their identity
        while len(_known) > MAX_REMEMBERED and (
            len(_known) > MAX_REMEMBERED_SETS or _scores_held() > MAX_REMEMBERED_SCORES
        ):
            _known.popitem(last=False)
    _known.move_to_end(key)
    value: V = _known[key][2]  # type: ignore[assignment]
    return value


def _scores_held() -> int:
    return sum(count for _, count, _ in _known.values())
