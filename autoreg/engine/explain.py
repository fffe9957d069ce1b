"""What an engine does, in the words that a user sees."""

from __future__ import annotations

from autoreg.engine.acquisition.proposer import EXPLORATION_SHARE
from autoreg.engine.acquisition.reevaluation import MAX_REEVALUATED_SHARE
from autoreg.engine.pruning.halving import Halving
from autoreg.engine.settings import Strategy
from autoreg.engine.surrogate.fitting import MIN_TRIALS


def explain(strategy: Strategy, sampler: str) -> str:
    """How recipes are proposed and stopped.

    Args:
        strategy: The engine's.
        sampler: What the sampler says of itself.
    """
    text = sampler
    if strategy.is_auto:
        text += (
            " auto: candidates that could not extend the front at their known cost are passed over. From"
            f" {MIN_TRIALS} complete trials on the candidate of largest expected improvement of the hypervolume at its"
            " known cost is taken, as an ensemble of base models predicts it, unless it is seen to predict worse than"
            f" cost alone does; {EXPLORATION_SHARE:.0%} are drawn uniformly, as random exploration."
        )
    if strategy.reevaluates:
        text += (
            " Noise: a recipe is run again with another seed where that is expected to better the front of posterior"
            f" means more per epoch than a new recipe, in at most {MAX_REEVALUATED_SHARE:.0%} of trials."
        )
    halving = strategy.halving
    return text if halving is None else f"{text} {_stopping(halving)}"


def _stopping(halving: Halving) -> str:
    text = (
        "Stopping: a trial ends early when even the optimistic end of what finished trials predict, of which"
        " the same was trained after the rungs and each training counts once, is dominated at its known cost"
    )
    if halving.ranks:
        text += (
            f", and at the first report and after {halving.eta:g}, {halving.eta**2:g}, ... times as many steps"
            f" unless it is among the best 1/{halving.eta:g} of the last {halving.window} or on their front"
        )
    return f"{text}."
