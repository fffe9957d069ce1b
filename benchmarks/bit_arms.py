"""Arms that choose the bits of each layer of a trained network within a budget of bytes; see `premise_bits`.

All arms see the same calibration text and the same rounded weights (per output channel, symmetric, to nearest), and
pay for what they look at in passes over the whole calibration text.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoreg.costs.formulas import packed_bytes, scale_bytes
from autoreg.engine import Engine, Problem, Result, Strategy
from autoreg.methods.modules.quantizers import WeightQuantizer
from autoreg.methods.quantization.rtn import Rtn
from autoreg.methods.weights import weighted_layers
from autoreg.network.weights import weight_of
from autoreg.sensitivity import Additivity, additivity, program, within_budget
from autoreg.sensitivity.curves import Dense, weights_set
from autoreg.space import Space

BITS = (2, 3, 4, 5, 6, 8)
PARTS = 11  # of the calibration text; each is spread over all of it
OFFSPRING, SURVIVORS = 32, ((1, 8), (3, 2), (PARTS, 1))  # children of a generation; (parts, how many stay) by stage
MOST_DRAWS = 20 * OFFSPRING
CURVE_PARTS = 2
MOST = 0.5  # factors on a layer's sensitivity are searched from e^-0.5 to e^0.5: 0.6 to 1.65

Levels = tuple[int, ...]  # index into BITS, by layer


class Spent(Exception):
    """The passes are used up."""


class Ward:
    """A trained network, its weights at all bits, and its dense outputs on the calibration text.

    Args:
        model: trained; left as it is.
        windows: calibration inputs, int64 [n, context].
    """

    def __init__(self, model: nn.Module, windows: Tensor) -> None:
        self.model = model.eval()
        layers = weighted_layers(model)
        self.names = [name for name, _ in layers]
        self.sizes = [weight_of(module).numel() for _, module in layers]
        self.weights = [[_rounded(weight_of(module).detach(), bits) for bits in BITS] for _, module in layers]
        self.costs = [
            [packed_bytes(w.numel(), w.numel(), b) + scale_bytes(w.shape[0], b, "channel", True) for b in BITS]
            for w in (weight_of(module) for _, module in layers)
        ]
        parts = [windows[k::PARTS] for k in range(PARTS)]
        self.dense = Dense(model, parts, lambda m, x: m(x))

    def uniform(self, bits: int) -> Levels:
        """The same bits for all layers."""
        return (BITS.index(bits),) * len(self.names)

    def budget(self, bits: int) -> int:
        """Bytes of all weights at the same bits."""
        return self.cost(self.uniform(bits))

    def cost(self, levels: Levels) -> int:
        """Bytes of the weights with their scales."""
        return sum(row[level] for row, level in zip(self.costs, levels, strict=True))

    def at(self, levels: Sequence[int | None]) -> dict[str, Tensor]:
        """Weights by layer; None leaves one dense."""
        return {
            name: held[level]
            for name, held, level in zip(self.names, self.weights, levels, strict=True)
            if level is not None
        }


@dataclass
class Purse:
    """Looks at a network, and pays: one part of the calibration text costs 1 / `PARTS` of a pass.

    Attributes:
        ward: the network.
        passes: most that may be paid; None for any number.
        paid: passes so far.
        seconds: CPU seconds that may be spent even when the passes are used up.
        best: assignments that had the least divergence on the whole text, as (passes, CPU seconds, levels, divergence).
        trail: passes and CPU seconds after every look.
    """

    ward: Ward
    passes: float | None = None
    seconds: float = 0.0
    paid: float = 0.0
    best: list[tuple[float, float, Levels, float]] = field(default_factory=list)
    trail: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun = time.process_time()

    @property
    def cpu(self) -> float:
        """CPU seconds since the purse was opened."""
        return time.process_time() - self.begun

    def look(self, levels: Sequence[int | None], parts: Sequence[int] = range(PARTS)) -> tuple[float, float]:
        """Squared difference and divergence of an assignment on some parts.

        Raises:
            Spent: it can no longer be paid for, in passes and (where seconds are given too) in CPU seconds.
        """
        over = self.passes is not None and self.paid + len(parts) / PARTS > self.passes + 1e-9
        if over and self.cpu >= self.seconds:
            raise Spent
        with weights_set(self.ward.model, self.ward.at(levels)) as model:
            found = self.ward.dense.distortion(model, parts)
        self.paid += len(parts) / PARTS
        self.trail.append((self.paid, self.cpu))
        if len(parts) == PARTS and None not in levels and (not self.best or found.kl < self.best[-1][3]):
            self.best.append((self.paid, self.cpu, tuple(level or 0 for level in levels), found.kl))
        return found.mse, found.kl

    def reached(self, passes: float) -> Levels:
        """The best assignment known after so many passes."""
        return [levels for paid, _, levels, _ in self.best if paid <= passes + 1e-9][-1]

    def cpu_at(self, passes: float) -> float:
        """CPU seconds spent on so many passes."""
        return [cpu for paid, cpu in self.trail if paid <= passes + 1e-9][-1]


def _rounded(weight: Tensor, bits: int) -> Tensor:
    quantizer = WeightQuantizer(weight, bits, 0, symmetric=True, rule=Rtn())
    with torch.no_grad():
        found: Tensor = quantizer(weight)
    return found


@dataclass(frozen=True)
class Curves:
    """Distortion by layer and level of `BITS`, one layer at a time, and what it cost."""

    mse: list[list[float]]
    kl: list[list[float]]
    passes: float
    seconds: float


def measure_curves(ward: Ward, parts: int = CURVE_PARTS) -> Curves:
    """Measure every layer at every level on some parts of the calibration text, the other layers dense."""
    purse = Purse(ward)
    found: list[list[tuple[float, float]]] = []
    for layer in range(len(ward.names)):
        alone: list[list[int | None]] = [[None] * len(ward.names) for _ in BITS]
        for level, levels in enumerate(alone):
            levels[layer] = level
        found.append([purse.look(levels, range(parts)) for levels in alone])
    mse, kl = ([[point[k] for point in row] for row in found] for k in (0, 1))
    return Curves(mse, kl, purse.paid, purse.cpu)


def correlation(
    ward: Ward, curves: Curves, budget: int, rng: np.random.Generator, count: int = 32
) -> dict[str, Additivity]:
    """Summed against joint distortion of random assignments at one budget, for both distortions."""
    purse = Purse(ward)
    drawn = [within_budget(ward.costs, budget, rng) for _ in range(count)]
    joint = [purse.look(levels) for levels in drawn]
    found = {}
    for k, (name, table) in enumerate((("mse", curves.mse), ("kl", curves.kl))):
        summed = [sum(row[level] for row, level in zip(table, levels, strict=True)) for levels in drawn]
        found[name] = additivity(summed, [point[k] for point in joint])
    return found


def evopress(purse: Purse, bits: int, rng: np.random.Generator, start: Levels | None = None) -> None:
    """EvoPress' loop (Sieberling et al., 2024, arXiv 2410.14649; catalogue 243) until the purse is empty.

    One parent, first the uniform assignment or `start`; children by 1 to 3 level switches (the smaller of two draws)
    that stay within the budget; selection in stages on growing parts of the calibration text, drawn anew in each
    generation; the parent goes on unless a child is better on the whole text. Fitness is the divergence from the dense
    outputs. The paper switches among layers of one size; here a layer may be paid for by several of another.
    """
    ward, budget = purse.ward, purse.ward.budget(bits)
    parent: Levels = start or ward.uniform(bits)
    with contextlib.suppress(Spent):
        fitness = purse.look(parent)[1]
        while True:
            children: set[Levels] = set()
            for _ in range(MOST_DRAWS):  # a small network may not have so many
                if len(children) == OFFSPRING:
                    break
                child = parent
                for _ in range(min(rng.integers(1, 4, 2))):
                    child = switched(ward.costs, child, budget, rng)
                children |= {child} - {parent}
            if not children:
                return
            left, scores = sorted(children), {}
            for count, stay in SURVIVORS:
                parts = rng.permutation(PARTS)[:count].tolist()
                scores = {child: purse.look(child, parts)[1] for child in left}
                left = sorted(left, key=scores.__getitem__)[:stay]
            if scores[left[0]] < fitness:
                parent, fitness = left[0], scores[left[0]]


def switched(costs: Sequence[Sequence[int]], levels: Levels, budget: int, rng: np.random.Generator) -> Levels:
    """A level switch: one layer up, random others down until the budget holds, then up where something is left."""
    at = list(levels)
    top = len(BITS) - 1
    first = int(rng.choice([i for i, level in enumerate(at) if level < top]))
    at[first] += 1
    left = budget - sum(row[level] for row, level in zip(costs, at, strict=True))
    while left < 0:
        down = [i for i, level in enumerate(at) if level > 0 and i != first]
        if not down:
            return levels
        i = int(rng.choice(down))
        left += costs[i][at[i]] - costs[i][at[i] - 1]
        at[i] -= 1
    while fits := [i for i, k in enumerate(at) if k < top and costs[i][k + 1] - costs[i][k] <= left]:
        i = int(rng.choice(fits))
        left -= costs[i][at[i] + 1] - costs[i][at[i]]
        at[i] += 1
    return tuple(at)


def ours(purse: Purse, bits: int, seed: int, curves: Curves) -> None:
    """The package's engine over multipliers of the layers' sensitivities, until the purse is empty.

    A config gives each layer a factor on its measured curve; the levels are those that the additive program's greedy
    form chooses within the budget, so that every config keeps it, all factors 1 is near the program's own answer, and
    what the engine learns is where the layers do not add up. The program's answer is looked at first.
    """
    ward, budget = purse.ward, purse.ward.budget(bits)
    greedy = Greedy(curves.kl, ward.costs, budget)
    names = [f"layer{i:02d}" for i in range(len(ward.names))]

    @functools.cache
    def levels_of(factors: tuple[float, ...]) -> Levels:
        return greedy.levels(np.exp(factors))

    def decoded(config: dict[str, Any]) -> Levels:
        return levels_of(tuple(config[name] for name in names))

    engine = Engine(
        Problem(
            Space.from_dict({name: {"uniform": [-MOST, MOST]} for name in names}),
            {"kl": "min"},
            "kl",
            lambda config: str(decoded(config)),
        ),
        seed=seed,
        strategy=Strategy(
            starters=[("program", dict.fromkeys(names, 0.0))],
            prune=False,
            known_cost_filter=False,  # all configs cost the same
            reevaluate=False,  # a second run sees the same
        ),
    )
    with contextlib.suppress(Spent):
        purse.look(program(curves.kl, ward.costs, budget).levels)
        while (asked := engine.ask()) is not None:
            found = purse.look(decoded(asked.config))[1]
            engine.tell(asked.number, Result("COMPLETE", {"kl": found}))


class Greedy:
    """The additive program's greedy form: raises along the lower convex hulls, best gain per byte first.

    Args:
        distortions: by layer and level.
        costs: by layer and level, growing.
        budget: most that the costs may add up to.
    """

    def __init__(self, distortions: Sequence[Sequence[float]], costs: Sequence[Sequence[int]], budget: int) -> None:
        self.floor = budget - sum(row[0] for row in costs)
        self.layers = len(costs)
        raises: list[tuple[float, int, int, int]] = []  # gain a byte, layer, level, bytes
        for layer, (values, row) in enumerate(zip(distortions, costs, strict=True)):
            at = 0
            while at < len(row) - 1:
                gains = [(values[at] - values[k]) / (row[k] - row[at]) for k in range(at + 1, len(row))]
                to = at + 1 + int(np.argmax(gains))
                if gains[to - at - 1] <= 0:
                    break
                raises.append((gains[to - at - 1], layer, to, row[to] - row[at]))
                at = to
        self.gain = np.log([r[0] for r in raises])
        self.raises = [r[1:] for r in raises]
        self.of = np.array([r[1] for r in raises])

    def levels(self, factors: np.ndarray) -> Levels:
        """Levels when the layers' distortions are multiplied by `factors` [layers], positive."""
        at, left, closed = [0] * self.layers, self.floor, set()
        for k in np.argsort(-(self.gain + np.log(factors)[self.of]), kind="stable").tolist():
            layer, level, extra = self.raises[k]
            if layer in closed:
                continue
            if extra > left:
                closed.add(layer)
                continue
            at[layer] = level
            left -= extra
        return tuple(at)
