"""All at once."""

from __future__ import annotations

from autoreg.methods.base import method
from autoreg.space.spec import Paper


@method(
    "one_shot",
    kind="schedule",
    phrase=(),
    catalogue=[110],  # the lottery ticket's rounds, of which this is one
    paper=Paper(
        "Learning both Weights and Connections for Efficient Neural Networks",
        "Han et al.",
        2015,
        arxiv="1506.02626",
        checked="by hand",
    ),
)
class OneShot:
    """Removes everything when sparsifying begins; the rest of the phase fine-tunes."""

    def fraction(self, progress: float) -> float:
        """Share of the way to the final sparsity, for progress in [0, 1]: always 1."""
        return 1.0
