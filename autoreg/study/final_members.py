"""Which trials of a search are measured again with fresh seeds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from autoreg.engine.engine import Engine
from autoreg.engine.pareto.front import Floats, Normalizer

MAX_MEMBERS = 12  # are measured again; the report says how many others there were
LEAST_PROBABILITY = 0.1  # of being on the front, for a trial that is measured though it is not on the posterior front


@dataclass(frozen=True)
class ChosenTrial:
    """A trial that is measured again.

    Attributes:
        number: of the trial.
        posterior: the posterior mean of its quality; None where it is not on the posterior front.
        hv_contribution: the hypervolume that it alone brings to the posterior front.
    """

    number: int
    posterior: float | None = None
    hv_contribution: float = 0.0


def choose_members(engine: Engine, excluded: Collection[int] = ()) -> list[ChosenTrial]:
    """The trials that may make up the front, at most `MAX_MEMBERS`, by number.

    First the front of posterior means: observed values favour trials with a good seed, see
    `autoreg.engine.surrogate.noise_model`. Where it is too large, the best and the cheapest by each cost stay, and the
    others are added one by one, each time the one that adds most hypervolume to those chosen (greedy subset selection:
    Guerreiro, Fonseca, Paquete, "Greedy hypervolume subset selection in low dimensions", 2016). Where there is space
    left, those follow that are most probably on the front though their mean is not.

    Args:
        engine: of the finished search.
        excluded: trials that are measured anyway, as baselines.
    """
    incumbents = {n: quality for n, quality in engine.incumbents().items() if n not in excluded}
    numbers = list(incumbents)
    values = engine.problem.table([engine.state.records[n] for n in numbers])
    if numbers:
        values[:, engine.problem.names.index(engine.problem.quality)] = list(incumbents.values())
    scale = engine.state.normalizer
    brings = np.zeros(len(numbers)) if scale is None or not numbers else scale.contributions(values)
    chosen = list(range(len(numbers)))
    if len(numbers) > MAX_MEMBERS:
        chosen = subset(values * engine.problem.signs, values, scale, MAX_MEMBERS)
    found = [ChosenTrial(numbers[i], incumbents[numbers[i]], float(brings[i])) for i in chosen]
    likely = [(p, n) for n, p in engine.probabilities().items() if n not in incumbents and n not in excluded]
    likely = sorted((one for one in likely if one[0] >= LEAST_PROBABILITY), key=lambda one: (-one[0], one[1]))
    found += [ChosenTrial(number) for _, number in likely[: MAX_MEMBERS - len(found)]]
    return sorted(found, key=lambda one: one.number)


def subset(signed: Floats, values: Floats, scale: Normalizer | None, size: int) -> list[int]:
    """Indices of `size` points of a front: the best by each objective, then greedily by hypervolume.

    Args:
        signed: points [n, m], smaller is better; the first objectives come first among the best.
        values: the same points as `scale` takes them.
        scale: of hypervolume; None: the points after the best are those of the lowest index.
        size: how many, fewer than n.
    """
    chosen = list(dict.fromkeys(int(i) for i in signed.argmin(axis=0)))[:size]
    while len(chosen) < size:
        left = [i for i in range(len(signed)) if i not in chosen]
        if scale is None:
            chosen.append(left[0])
            continue
        gains = [scale.hypervolume(values[[*chosen, i]]) for i in left]
        chosen.append(left[int(np.argmax(gains))])
    return sorted(chosen)
