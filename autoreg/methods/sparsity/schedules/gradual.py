"""A cubic ramp."""

from __future__ import annotations

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.space.spec import Paper, uniform


def cubic(progress: float, start: float, end: float) -> float:
    """1 − (1 − t)³ with t the share of [start, end] that is done: fast at first, slow at the end.

    Example:
        >>> cubic(0.25, 0.25, 0.75), cubic(0.5, 0.25, 0.75), cubic(0.75, 0.25, 0.75)
        (0.0, 0.875, 1.0)
    """
    done = min(1.0, max(0.0, (progress - start) / (end - start)))
    return 1.0 - (1.0 - done) ** 3


@method(
    "gradual",
    kind="schedule",
    phrase=("gradual",),
    catalogue=[270, 105],
    conflicts=[("this.end <= this.start", "a gradual schedule ends after it starts")],
    paper=Paper(
        "To prune, or not to prune: exploring the efficacy of pruning for model compression",
        "Zhu, Gupta",
        2017,
        arxiv="1710.01878",
        checked="end points and middle by hand; start and end from The Journey Matters (catalogue 270)",
    ),
)
class Gradual:
    """Removes more and more along a cubic ramp between two points of the phase."""

    start: float = uniform(0.0, 0.4, default=0.25, min=0.0, max=1.0, doc="share of the phase at which it begins")
    end: float = uniform(0.6, 1.0, default=0.75, min=0.0, max=1.0, doc="share of the phase at which it is done")

    def check(self) -> None:
        """Refuse an end that is not after the start.

        Raises:
            InputError: then.
        """
        if self.end <= self.start:
            raise InputError(f"schedule 'gradual': end = {self.end:g} is not after start = {self.start:g}")

    def fraction(self, progress: float) -> float:
        """Share of the way to the final sparsity, in [0, 1], for progress in [0, 1]."""
        return cubic(progress, self.start, self.end)
