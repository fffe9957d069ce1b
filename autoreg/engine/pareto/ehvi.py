"""Expected hypervolume improvement where costs are known and one objective, the quality, is uncertain.

Everything is to be minimized and lies in the cube of a `Normalizer`. At a place c in cost space the
front has reached the quality t(c): the best of its members that cost no more, or the corner. A
candidate of costs k and quality q adds the integral of (t(c) - q)+ over all c >= k. t is constant on
the cells between the front's costs, so the expectation is a finite sum and exact:

    sum over levels t of (volume of the cells at level t beyond k) x E[(t - q)+]

For one cost the volumes are the widths of the staircase's steps. All is kept in logarithms, since
far from the front the improvement underflows and candidates could not be told apart.

Reference: Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization", NeurIPS 2023,
arXiv 2310.20708. Checked: the stable logarithm of E[(t - q)+] through the scaled complementary error function;
taken over for the tail, not its smoothed maxima. That known costs reduce the integral to one dimension is our own
derivation, checked against Monte Carlo and quadrature.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from autoreg.engine.pareto.front import Floats, nondominated
from autoreg.engine.pareto.log_sum import log_sum
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from scipy import special
else:
    special = lazy_module("scipy.special")

ASYMPTOTIC_FROM = 100.0
"""Standard deviations below which the asymptotic series of the tail is exact to 1e-13."""

MAX_CELL_VALUES = 8_000_000
"""Numbers that the cells of a front may hold; beyond it costs and qualities are rounded to a coarser grid."""

MAX_BLOCK_VALUES = 1_000_000
"""Numbers that a block of candidates may hold in memory."""


def log_standard_ei(z: ArrayLike) -> Floats:
    """Logarithm of E[(z - N(0, 1))+] = phi(z) + z Phi(z), stable for every finite z; -inf at -inf."""
    z = np.asarray(z, dtype=float)
    out = np.full(z.shape, -np.inf)
    plain = z > -1
    middle = (z <= -1) & (z >= -ASYMPTOTIC_FROM)
    far = (z < -ASYMPTOTIC_FROM) & np.isfinite(z)
    near = z[plain]
    with np.errstate(over="ignore"):  # at +inf the density is zero, as it should be
        out[plain] = np.log(np.exp(-0.5 * near * near) / math.sqrt(2 * math.pi) + near * special.ndtr(near))
    x = -z[middle]
    out[middle] = _log_density(x) + np.log1p(-x * math.sqrt(math.pi / 2) * special.erfcx(x / math.sqrt(2)))
    x = -z[far]
    inverse = 1 / (x * x)
    out[far] = _log_density(x) + np.log(inverse) + np.log1p(-3 * inverse + 15 * inverse * inverse)
    return out


def _log_density(x: Floats) -> Floats:
    return np.asarray(-0.5 * x * x - 0.5 * math.log(2 * math.pi))


def log_ei(threshold: ArrayLike, mean: ArrayLike, spread: ArrayLike) -> Floats:
    """Logarithm of E[(threshold - q)+] for q ~ N(mean, spread^2), by broadcasting; a spread of 0 is a known q."""
    gap, spread = np.subtract(threshold, mean), np.asarray(spread, dtype=float)
    known_q = spread <= 0
    if not known_q.any():
        return np.asarray(np.log(spread) + log_standard_ei(gap / spread))
    with np.errstate(divide="ignore"):
        certain = np.log(np.maximum(gap, 0.0))
        safe = np.where(known_q, 1.0, spread)
        return np.where(known_q, certain, np.log(safe) + log_standard_ei(gap / safe))


@dataclass(frozen=True)
class NondominatedPartitioning:
    """The region beyond a front, cut into cells by the costs of its members.

    The volume that a candidate of costs k reaches at each level is linear in each of its costs within a cell, so it
    is interpolated, exactly, between volumes that are summed up once for the corners of all cells.

    Attributes:
        edges: Per cost the lower edges of the cells, ascending; the first cell has no lower end.
        levels: Distinct qualities that cells have reached [j], ascending.
        beyond: Volume [..., j] at each level of all that lies beyond each edge, one axis per cost.
        floor: Quality below which nothing more is gained; -inf for none.
        exact: False where the front was so large that its costs were rounded to a coarser grid.
    """

    edges: tuple[Floats, ...]
    levels: Floats
    beyond: Floats
    floor: float
    exact: bool = True

    @classmethod
    def of(cls, front: ArrayLike, corner: ArrayLike, quality: int = 0, floor: float = 0.0) -> NondominatedPartitioning:
        """Cut the region beyond a front [k, m] and below `corner` [m]; the column `quality` is the uncertain objective.

        Args:
            front: Points to be minimized; dominated ones and those beyond the corner count nothing.
            corner: The reference point of hypervolume.
            quality: Column of the objective that is uncertain.
            floor: Quality below which nothing is gained, as in a cube whose values never fall below 0.
        """
        top = np.asarray(corner, dtype=float)
        points = np.asarray(front, dtype=float).reshape(-1, len(top))
        points = points[np.all(points < top, axis=1)]
        points = points[nondominated(points)] if len(points) else points
        costs, reached, exact = _coarse(np.delete(points, quality, axis=1), points[:, quality])
        limit = np.delete(top, quality)
        knots = [np.unique(column) for column in costs.T]
        edges = [np.concatenate([[(k[0] if len(k) else end) - 1.0], k]) for k, end in zip(knots, limit, strict=True)]
        cells = np.full([len(e) for e in edges], top[quality])
        for place, value in zip(costs, reached, strict=True):
            after = tuple(slice(int(np.searchsorted(e, c)), None) for e, c in zip(edges, place, strict=True))
            cells[after] = np.minimum(cells[after], value)
        levels, level = np.unique(cells, return_inverse=True)
        volume = np.eye(len(levels))[level.reshape(cells.shape)]
        for k, (edge, end) in enumerate(zip(edges, limit, strict=True)):
            width = np.diff(np.append(edge, end)).reshape([-1 if i == k else 1 for i in range(volume.ndim)])
            volume = np.flip(np.cumsum(np.flip(volume * width, axis=k), axis=k), axis=k)
            edges[k] = np.append(edge, end)
            volume = np.concatenate([volume, np.zeros_like(np.take(volume, [0], axis=k))], axis=k)
        return cls(tuple(edges), levels, volume, floor, exact)

    def volumes(self, costs: ArrayLike) -> Floats:
        """Volume [n, j] of what lies beyond each of the candidates' costs [n, d], by the level it has reached."""
        places = np.asarray(costs, dtype=float)
        places = np.minimum(places, [e[-1] for e in self.edges]) if self.edges else places
        at, fractions = [], []
        for k, edge in enumerate(self.edges):
            cell = np.clip(np.searchsorted(edge, places[:, k], side="right") - 1, 0, len(edge) - 2)
            at.append(cell)
            fractions.append((places[:, k] - edge[cell]) / (edge[cell + 1] - edge[cell]))
        total = np.zeros((len(places), len(self.levels)))
        for ends in itertools.product((0, 1), repeat=len(self.edges)):
            weight = np.ones(len(places))
            for end, fraction in zip(ends, fractions, strict=True):
                weight = weight * (fraction if end else 1 - fraction)
            total += weight[:, None] * self.beyond[tuple(c + e for c, e in zip(at, ends, strict=True))]
        return np.maximum(total, 0.0)

    def log_ehvi(
        self, costs: ArrayLike, mean: ArrayLike, spread: ArrayLike, weights: ArrayLike | None = None
    ) -> Floats:
        """Logarithm [n] of the expected hypervolume improvement of candidates.

        Args:
            costs: Known costs [n, d].
            mean: Mean of the quality, [n], or [n, c] for a mixture of c Gaussians.
            spread: Its standard deviations, shaped like `mean`; 0 for a quality that is known.
            weights: Weights of the mixture [c], which sum to 1; equal by default.

        Returns:
            -inf where nothing can be gained.
        """
        return log_sum(self.log_ehvi_parts(costs, mean, spread, weights))

    def log_ehvi_parts(
        self,
        costs: ArrayLike,
        mean: ArrayLike,
        spread: ArrayLike,
        weights: ArrayLike | None = None,
        cuts: Sequence[float] = (),
    ) -> Floats:
        """As `log_ehvi`, split [n, (c + 1) j] into what is gained in each slab at each level of the front.

        Args:
            costs: As the others, as of `log_ehvi`.
            cuts: Where the first cost is cut into slabs, ascending [c]; without costs there is one slab.
        """
        mean, spread = np.asarray(mean, dtype=float), np.asarray(spread, dtype=float)
        mean = mean[:, None] if mean.ndim == 1 else mean
        spread = spread[:, None] if spread.ndim == 1 else spread
        places = np.asarray(costs, dtype=float).reshape(len(mean), len(self.edges))
        weighted = np.full(mean.shape[1], 1 / mean.shape[1]) if weights is None else np.asarray(weights, dtype=float)
        block = max(1, MAX_BLOCK_VALUES // (len(self.levels) * mean.shape[1]))
        parts = [
            self._block(places[i : i + block], mean[i : i + block], spread[i : i + block], weighted, cuts)
            for i in range(0, len(mean), block)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self._slabs(places, cuts)) * len(self.levels)))

    def _slabs(self, costs: Floats, cuts: Sequence[float]) -> list[Floats]:
        """Volumes [n, j] beyond candidates' costs [n, d], slab by slab along the first cost."""
        if not len(cuts) or not self.edges:
            return [self.volumes(costs)]
        beyond = [self.volumes(costs)]
        for cut in cuts:
            beyond.append(self.volumes(np.column_stack([np.maximum(costs[:, 0], cut), costs[:, 1:]])))
        return [np.maximum(a - b, 0.0) for a, b in itertools.pairwise([*beyond, np.zeros_like(beyond[0])])]

    def _block(self, costs: Floats, mean: Floats, spread: Floats, weights: Floats, cuts: Sequence[float]) -> Floats:
        gain = log_ei(self.levels[None, :, None], mean[:, None, :], spread[:, None, :])
        if math.isfinite(self.floor):  # (t - max(q, floor))+ is (t - q)+ less (floor - q)+
            lost = log_ei(self.floor, mean, spread)[:, None, :]
            with np.errstate(divide="ignore", invalid="ignore"):
                less = gain + np.log1p(-np.exp(np.minimum(lost - gain, 0.0)))
            gain = np.where((gain == -np.inf) | (self.levels <= self.floor)[None, :, None], -np.inf, less)
        with np.errstate(divide="ignore"):
            mixed = log_sum(gain + np.log(weights)) if gain.shape[2] > 1 else gain[:, :, 0]
            return np.concatenate([mixed + np.log(volumes) for volumes in self._slabs(costs, cuts)], axis=1)


def _coarse(costs: Floats, reached: Floats) -> tuple[Floats, Floats, bool]:
    """Round members' costs [k, d] and qualities [k] to quantiles of themselves where there would be too many cells."""
    count, axes = costs.shape
    if float(count + 2) ** (axes + 1) <= MAX_CELL_VALUES:
        return costs, reached, True
    steps = int(MAX_CELL_VALUES ** (1 / (axes + 1))) - 2
    rounded = [_nearest(column, np.quantile(column, np.linspace(0, 1, steps))) for column in costs.T]
    return np.column_stack(rounded), _nearest(reached, np.quantile(reached, np.linspace(0, 1, steps))), False


def _nearest(values: Floats, grid: Floats) -> Floats:
    after = np.clip(np.searchsorted(grid, values), 1, len(grid) - 1)
    low, high = grid[after - 1], grid[after]
    return np.asarray(np.where(values - low <= high - values, low, high))


def log_ehvi(
    front: ArrayLike,
    corner: ArrayLike,
    costs: ArrayLike,
    mean: ArrayLike,
    spread: ArrayLike,
    *,
    quality: int = 0,
    weights: ArrayLike | None = None,
    floor: float = 0.0,
) -> Floats:
    """Logarithm [n] of the expected hypervolume improvement over a front [k, m].

    See `NondominatedPartitioning.log_ehvi`.
    """
    return NondominatedPartitioning.of(front, corner, quality, floor).log_ehvi(costs, mean, spread, weights)
