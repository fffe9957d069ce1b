"""A surrogate of the live space, fitted to the trials of `live_trials`; `live_front` seeks the front of its truth.

python -m benchmarks.tables.live_surrogate   how well it predicts trials that it was not fitted to
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported

import numpy as np  # noqa: E402

from autoreg.errors import InputError  # noqa: E402
from benchmarks.tables.live_space import DENSE, DIGEST, Digits, space  # noqa: E402
from benchmarks.tables.live_trials import FILE  # noqa: E402
from benchmarks.tables.own import DEFAULT_COST, TOLERANCE  # noqa: E402
from benchmarks.tables.table import Config, Floats, key_of  # noqa: E402

BAGS = 5
SHARED = 0.36
"""Fraction of the seed variance common to recipes with the same training, as measured on `own-digits` below `WELL`."""
WELL = 0.3
"""Errors below it are what a search is about."""


@dataclass(frozen=True)
class Trials:
    """Real trials [n]."""

    configs: Sequence[Config]
    seeds: Floats
    validation: Floats
    test: Floats
    costs: Mapping[str, Floats]
    phases: Sequence[Sequence[tuple[str, float, float]]]


def read(path: Path = FILE) -> Trials:
    """Read the trials.

    Raises:
        InputError: there are none, or they are of another space.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(f"{path.name}: not found; gather it with python -m benchmarks.tables.live_trials --out FOLDER")
    table = pq.read_table(path)
    digest = json.loads(table.schema.metadata[b"autoreg"])["digest"]
    if digest != DIGEST:
        raise InputError(f"{path.name}: holds trials of another live space ({digest}); expected {DIGEST}")
    got = table.to_pydict()
    parts = zip(got["phase_names"], got["phase_epochs"], got["phase_seconds"], strict=True)
    return Trials(
        [json.loads(text) for text in got["config"]],
        seeds=np.array(got["seed"], dtype=float),
        validation=np.array(got["validation"], dtype=float),
        test=np.array(got["test"], dtype=float),
        costs={name: np.array(got[name], dtype=float) for name in ("bops", "bytes", "flops")},
        phases=[list(zip(*part, strict=True)) for part in parts],
    )


def rates(trials: Trials) -> dict[str, tuple[float, float]]:
    """Mean seconds of each kind of phase that was carried out: by the epoch, or as a whole where it trains nothing."""
    found: dict[str, list[tuple[float, float]]] = {}
    for phases in trials.phases:
        for name, epochs, seconds in phases:
            if seconds > 0:
                found.setdefault(name, []).append((epochs, seconds))
    out = {}
    for name, pairs in found.items():
        epochs, seconds = np.array(pairs).T
        idle = float(seconds[epochs == 0].mean()) if (epochs == 0).any() else 0.0
        trained = float(seconds.sum() - idle * (epochs == 0).sum())
        out[name] = (trained / float(epochs.sum()) if epochs.any() else 0.0, 0.0 if epochs.all() else idle)
    return out


def logit(errors: Floats) -> Floats:
    """Log odds; errors of none or of all count as half an image of 500."""
    clipped = np.clip(errors, 0.001, 0.999)
    return np.asarray(np.log(clipped / (1 - clipped)))


def columns(configs: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, float]]) -> Floats:
    """What the model looks at [n, p]: the encoded config and its known costs; 0 where a parameter is not active."""
    encoded = np.nan_to_num(np.asarray(space().encode_many(configs), dtype=float))
    known = np.array([[c[name] for name in ("bops", "bytes", "flops")] for c in costs])
    return np.hstack([encoded, np.log(known)])


class Model:
    """Log odds of the error: the mean of a Gaussian process (Matern 5/2 and linear) and of bagged boosted trees.

    The two err differently, and the Gaussian process alone makes the mean smooth in the continuous rates.

    Args:
        x: Columns [n, p].
        y: Log odds [n].
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel
        from xgboost import XGBRegressor

        self.middle = x.mean(axis=0)
        wavy = ConstantKernel(1.0) * Matern(3.0, (0.1, 100.0), nu=2.5)
        kernel = wavy + ConstantKernel(0.1) * DotProduct(1.0, "fixed") + WhiteKernel(0.1)
        self.process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length or a noise at its bound
            self.process.fit(x - self.middle, y)
        settings: dict[str, Any] = {"n_estimators": 400, "max_depth": 4, "learning_rate": 0.04, "min_child_weight": 2}
        settings |= {"subsample": 0.7, "colsample_bytree": 0.5, "n_jobs": 1}
        self.trees = [XGBRegressor(**settings, random_state=k).fit(x, y) for k in range(BAGS)]

    def __call__(self, x: Floats) -> Floats:
        """Mean log odds [n]."""
        trees = np.mean([tree.predict(x) for tree in self.trees], axis=0)
        return np.asarray((self.process.predict(x - self.middle) + trees) / 2, dtype=float)


class Surrogate:
    """The objective of `live-surrogate`.

    Truth is the model's mean of the *test* error. One seed shows it with noise in log odds, the same whenever it is
    asked: normal, with a part that recipes of the same training share, as large as half the mean square between the
    validation error of one seed and the test error of another, which are apart by two such noises.

    Args:
        trials: What to fit.
        front: Configs that stand for the whole space.
    """

    def __init__(self, trials: Trials, front: Sequence[Config]) -> None:
        self.digits = Digits()
        self.trials, self.front = trials, front
        every = [dict(zip(trials.costs, values, strict=True)) for values in zip(*trials.costs.values(), strict=True)]
        self.model = Model(columns(trials.configs, every), logit(trials.test))
        self.spread = spread(trials)
        self.rates = rates(trials)
        self.known: dict[Any, dict[str, float]] = {}
        self.tolerance = TOLERANCE * (self.digits.chance - float(self.truths([DENSE])[0]))

    def truths(self, configs: Sequence[Mapping[str, Any]]) -> Floats:
        """True errors [n]."""
        return np.asarray(1 / (1 + np.exp(-self.model(columns(configs, [self._costs(c) for c in configs])))))

    def cost(self, config: Mapping[str, Any]) -> float:
        """Bit operations."""
        return self._costs(config)[DEFAULT_COST]

    def phase_costs(self, config: Mapping[str, Any]) -> list[tuple[str, float, float]]:
        """Phases, with seconds at the mean rates of the trials."""
        phases = self.digits.phases(config)
        return [(key, epochs, self.rates[name][0] * epochs + self.rates[name][1]) for name, key, epochs in phases]

    def run(self, config: Mapping[str, Any], seed: int) -> tuple[float, float]:
        """What a seed shows, and the truth."""
        truth = float(self.truths([config])[0])
        training = max(reversed(self.digits.phases(config)), key=lambda phase: phase[2])[1]
        shared, own = _normal(seed, training), _normal(seed, repr(key_of(config)))
        noise = self.spread * (SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * own)
        return float(1 / (1 + np.exp(-logit(np.array(truth)) - noise))), truth

    @cached_property
    def _whole(self) -> tuple[Floats, Floats]:
        configs = [DENSE, *self.front]
        return np.array([self.cost(config) for config in configs]), self.truths(configs)

    def whole(self) -> tuple[Floats, Floats]:
        """Costs and truths of the dense recipe and of the front that a large search has found."""
        return self._whole

    def _costs(self, config: Mapping[str, Any]) -> dict[str, float]:
        key = key_of(config)
        if key not in self.known:
            self.known[key] = self.digits.costs(config)
        return self.known[key]


def _normal(seed: int, text: str) -> float:
    """A normal number that follows from a seed and a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return float(np.random.default_rng([seed, int.from_bytes(digest[:8], "big")]).normal())


def spread(trials: Trials) -> float:
    """Standard deviation of the noise of a validation error about the truth, in log odds; by recipes run twice.

    Only by those with errors below `WELL`: further up noise is smaller in log odds.
    """
    places: dict[Any, list[int]] = {}
    for row, config in enumerate(trials.configs):
        places.setdefault(key_of(config), []).append(row)
    twice = [rows for rows in places.values() if len(rows) == 2]
    pairs = np.array([rows for rows in twice if (trials.validation[rows] + trials.test[rows]).mean() / 2 < WELL])
    seen, other = logit(trials.validation), logit(trials.test)
    gaps = np.concatenate([seen[pairs[:, 0]] - other[pairs[:, 1]], seen[pairs[:, 1]] - other[pairs[:, 0]]])
    return float(np.sqrt((gaps**2).mean() / 2))


def held_out(trials: Trials, folds: int = 5) -> dict[str, float]:
    """How well a model predicts the test error (log odds) of recipes that it was not fitted to."""
    from scipy.stats import spearmanr

    every = [dict(zip(trials.costs, values, strict=True)) for values in zip(*trials.costs.values(), strict=True)]
    x, y = columns(trials.configs, every), logit(trials.test)
    names = [key_of(config) for config in trials.configs]
    fold_of = {name: k % folds for k, name in enumerate(dict.fromkeys(names))}  # both runs of a recipe together
    fold, predicted = np.array([fold_of[name] for name in names]), np.zeros(len(y))
    for k in range(folds):
        predicted[fold == k] = Model(x[fold != k], y[fold != k])(x[fold == k])
    best = y < np.median(y)
    found = {"recipes": float(len(fold_of)), "runs": float(len(y)), "spread of the noise": spread(trials)}
    for name, part in (("all", np.ones(len(y), dtype=bool)), ("better half", best)):
        off = y[part] - predicted[part]
        found[f"R2, {name}"] = float(1 - (off**2).mean() / y[part].var())
        found[f"rank correlation, {name}"] = float(spearmanr(predicted[part], y[part])[0])
        found[f"residual spread, {name}"] = float(off.std())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=Path, default=FILE, help="file of the trials")
    for name, value in held_out(read(parser.parse_args(arguments).trials)).items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
