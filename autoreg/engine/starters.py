"""Which baselines a search begins with, and in which order.

A search that has tried what it is compared with cannot end behind it. But baselines are trials like others, and must
not use a small budget up: those come first that tell much for what they cost, and others are left to the proposals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoreg.engine.acquisition.shared_cost import TRIAL_OVERHEAD, PhaseCosts
from autoreg.space.budget import Budget

MAX_SHARE = 0.2
"""Starters are at most this share of the trials, of the epochs, and of the minutes."""
MIN_STARTERS = 2
"""As many are asked whatever the budget: dense and one more."""
NEW_AT_EQUAL_COST = 0.1
"""What a starter tells that costs what another one does, in units of the logarithm of a cost."""


@dataclass(frozen=True)
class Starter:
    """A recipe that a search may begin with.

    Attributes:
        name: Source of its trial.
        config: Its recipe.
        costs: Its known costs.
        phases: Key and epochs of each of its phases, in order; empty where trials share no work.
    """

    name: str
    config: dict[str, Any]
    costs: Mapping[str, float]
    phases: PhaseCosts = field(default=())


def choose_starters(starters: Sequence[Starter], objectives: Sequence[str], budget: Budget) -> list[Starter]:
    """The starters to ask, in order.

    The first is taken as it is. Each next one has the most to tell per epoch that is still to be run, where the phases
    of those before it are free. What it tells is how far its known costs are from those of every starter before it, on
    a logarithmic scale, and `NEW_AT_EQUAL_COST`. One that takes something from the network of an earlier starter,
    trains no further and costs no less in any objective is left out: it can only be worse.

    Args:
        starters: In order of preference among equals.
        objectives: Those that count beside the quality.
        budget: Starters are at most `MAX_SHARE` of its trials and epochs, and at least `MIN_STARTERS` trials.

    Returns:
        The starters, with names as they came.
    """
    left, taken = list(starters), list[Starter]()
    done: set[str] = set()
    trials = math.inf if budget.trials is None else max(MAX_SHARE * budget.trials, MIN_STARTERS)
    epochs = math.inf if budget.epochs is None else MAX_SHARE * budget.epochs
    while left and len(taken) + 1 <= trials:
        if taken:
            left = [one for one in left if not any(_only_worse(one, other, objectives) for other in taken)]
        affordable = [one for one in left if _remaining(one, done) <= epochs or len(taken) < MIN_STARTERS]
        if not affordable:
            break
        best = affordable[0] if not taken else max(affordable, key=lambda one: _worth(one, taken, done, objectives))
        taken.append(best)
        left.remove(best)
        epochs -= _remaining(best, done)
        done.update(key for key, _ in best.phases)
    return taken


def starters_in_time(budget: Budget, seconds: float, asked: int) -> bool:
    """Whether starters may be asked after so many seconds and trials, of a budget in minutes too.

    How long a trial takes is not known before; so they end when `MAX_SHARE` of the minutes are over.

    >>> starters_in_time(Budget(minutes=10), 119, 5), starters_in_time(Budget(minutes=10), 121, 5)
    (True, False)
    """
    return budget.minutes is None or asked < MIN_STARTERS or seconds < MAX_SHARE * 60 * budget.minutes


def _remaining(starter: Starter, done: set[str]) -> float:
    """Epochs of a starter after its last phase that another one runs too."""
    shared = max((k for k, (key, _) in enumerate(starter.phases) if key in done), default=-1)
    return sum(epochs for _, epochs in starter.phases[shared + 1 :])


def _worth(starter: Starter, taken: Sequence[Starter], done: set[str], objectives: Sequence[str]) -> float:
    distance = min(_distance(starter.costs, other.costs, objectives) for other in taken)
    return (NEW_AT_EQUAL_COST + distance) / (_remaining(starter, done) + TRIAL_OVERHEAD)


def _distance(one: Mapping[str, float], other: Mapping[str, float], objectives: Sequence[str]) -> float:
    """Largest distance of two starters in the logarithm of an objective that is known of both; 0 where none is."""
    both = [(one[n], other[n]) for n in objectives if n in one and n in other]
    return max((abs(math.log(max(a, 1e-12) / max(b, 1e-12))) for a, b in both), default=0.0)


def _only_worse(one: Starter, other: Starter, objectives: Sequence[str]) -> bool:
    """Whether a starter takes from the trained network of another one, without a gain in cost or further training."""
    trained, own = ({key for key, epochs in of.phases if epochs > 0} for of in (other, one))
    takes = bool(trained) and own == trained and len(one.phases) > len(other.phases)
    return takes and all(n in one.costs and n in other.costs and one.costs[n] >= other.costs[n] for n in objectives)
