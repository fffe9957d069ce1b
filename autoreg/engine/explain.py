"""What an engine does, in the words that a user sees."""

from __future__ import annotations

from autoreg.engine.acquisition.reevaluation import MAX_REEVALUATED_SHARE
from autoreg.engine.pruning.halving import Halving
from autoreg.engine.surrogate.fitting import MIN_TRIALS


def explain(sampler: str, drawer: str, halving: Halving | None, replicate: bool) -> str:
    """How recipes are proposed and stopped.

    Args:
        sampler: Its name.
        drawer: Its own words.
        halving: How trials are stopped; None where none is.
        replicate: Whether recipes may be run again.
    """
    text = drawer
    if sampler == "auto":
        text += (
            " auto: candidates that could not extend the front at their known cost are passed over. From"
            f" {MIN_TRIALS} complete trials on the candidate is taken of which experts expect the largest improvement"
            " of the hypervolume at its known cost, unless they are seen to foretell worse than cost alone does; one in"
            " ten is drawn evenly as an audit."
        )
    if replicate:
        text += (
            " Noise: a recipe is run again with another seed where that is expected to better the front of beliefs more"
            f" per epoch than a new recipe, in at most {MAX_REEVALUATED_SHARE:.0%} of trials."
        )
    if halving is not None:
        text += (
            " Stopping: a trial ends early when even the optimistic end of what finished trials foretell, of which"
            " the same was trained after the rungs and each training counts once, is dominated at its known cost"
            + (
                ""
                if (halving.every if halving.rank is None else not halving.rank)
                else f", and at the first report and after {halving.eta:g}, {halving.eta**2:g}, ... times as many steps"
                f" unless it is among the best 1/{halving.eta:g} of the last {halving.window} or on their front"
            )
            + "."
        )
    return text
