"""Finished studies of other tasks, in the words of a new space. Only JSON is read, and nothing in it is run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.engine.log.events import read_events
from autoreg.engine.log.records import read_state
from autoreg.engine.pareto.front import Floats
from autoreg.engine.surrogate.ensemble import KERNEL_FIT_TRIALS, Ensemble, best_and_latest, fit_hyperparameters
from autoreg.engine.surrogate.features import FeatureMap
from autoreg.engine.surrogate.gp import GaussianProcess, fit_kernel
from autoreg.engine.surrogate.output_warping import HalfLog
from autoreg.engine.surrogate.threads import one_thread
from autoreg.errors import InputError, StudyError
from autoreg.files import write_whole
from autoreg.lazy import lazy_module
from autoreg.space.encoding import encode
from autoreg.space.transfer import shared

stats = lazy_module("scipy.stats")

if TYPE_CHECKING:
    from autoreg.space import Space

MIN_SOURCE_TRIALS = 10
"""Fewest complete trials of a study that is learned from."""
MAX_SOURCE_TRIALS = 1000
"""Trials of a study that are learned from, at most: the latest."""
CROSS_VALIDATION_FOLDS = 5
SIGNIFICANCE_FACTOR = 2.5
"""A study must predict its own held-out trials: rank correlation above `SIGNIFICANCE_FACTOR / sqrt(trials - 1)`,
which shuffled labels seldom reach (real studies of 60 trials: 0.77 to 0.97, needed 0.33)."""
SOURCES_FILE = "warm.json"
"""File of a study's folder that holds what it took from earlier ones."""


@dataclass(frozen=True)
class Source:
    """One earlier study in the words of the new space.

    Attributes:
        name: Its folder.
        flats: Parameters that the two spaces share, by path, for each of its n complete trials.
        quality: What it measured, to be minimized [n].
        correlation: Spearman's rank correlation of its held-out trials with what the rest predicts of them.
    """

    name: str
    flats: tuple[Mapping[str, Any], ...]
    quality: tuple[float, ...]
    correlation: float = math.nan

    @property
    def matched(self) -> tuple[str, ...]:
        """Paths of the parameters that some trial shares with the new space, sorted."""
        return tuple(sorted(set().union(*self.flats)))

    @property
    def predictive(self) -> bool:
        """Whether the study predicts its own trials better than chance."""
        return self.correlation > SIGNIFICANCE_FACTOR / math.sqrt(max(len(self.flats) - 1, 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, which `of` reads back."""
        held = {"name": self.name, "correlation": self.correlation}
        return {**held, "flats": [dict(f) for f in self.flats], "quality": list(self.quality)}

    def summary(self) -> dict[str, Any]:
        """What a report says of it, as plain data."""
        held = {"name": self.name, "trials": len(self.flats), "matched": list(self.matched)}
        return {**held, "correlation": self.correlation, "used": self.predictive}

    @classmethod
    def of(cls, space: Space, name: str, flats: Sequence[Mapping[str, Any]], quality: Sequence[float]) -> Source:
        """A source with its correlation measured."""
        found = cls(name, tuple(flats), tuple(float(q) for q in quality))
        return cls(name, found.flats, found.quality, _held_out(encode(space.parameters, found.flats), found.quality))


def read_source(folder: str | os.PathLike[str], space: Space) -> Source:
    """Read a study's folder: JSON only, and nothing in it is run.

    Raises:
        InputError: The folder holds no study, too few complete trials, or no parameter that `space` has.
    """
    path = Path(folder)
    try:
        config = json.loads((path / "study.json").read_text(encoding="utf-8"))
        quality, direction = config["quality"], config["objectives"][config["quality"]]
        complete = read_state(read_events(path / "events.jsonl")).complete()
    except FileNotFoundError:
        raise InputError(f"warm start: {path} holds no study (there is no study.json)") from None
    except (OSError, ValueError, KeyError, TypeError, StudyError) as error:
        raise InputError(f"warm start: {path} cannot be read as a study ({error})") from None
    sign = -1.0 if direction == "max" else 1.0
    trials = [(shared(space.root, r.config), sign * r.metrics[quality]) for r in complete if quality in r.metrics]
    trials = [(f, q) for f, q in trials if f and math.isfinite(q)][-MAX_SOURCE_TRIALS:]
    if len(trials) < MIN_SOURCE_TRIALS:
        raise InputError(
            f"warm start: {path} has {len(trials)} complete trials that say something of this space; "
            f"needed are at least {MIN_SOURCE_TRIALS}"
        )
    return Source.of(space, str(path), [f for f, _ in trials], [q for _, q in trials])


def fit_ensemble(encoded: Floats, quality: Floats) -> Ensemble:
    """The ensemble fitted to encoded configs [n, p] and their quality, to be minimized [n]; no costs."""
    no_costs = np.zeros((len(quality), 0))
    return Ensemble(fit_hyperparameters(encoded, quality, no_costs), encoded, quality, no_costs)


def predicted_mean(ensemble: Ensemble, encoded: Floats) -> Floats:
    """Mean of the base models' predictions of encoded configs, as scores [n]."""
    means = [mean for mean, _ in ensemble.predict(encoded, np.zeros((len(encoded), 0))).values()]
    return np.asarray(np.mean(means, axis=0))


def _held_out(encoded: Floats, quality: Sequence[float]) -> float:
    """Rank correlation of trials with the predictions of a Gaussian process that has not seen them."""
    values, fold = np.asarray(quality, dtype=float), np.arange(len(quality)) % CROSS_VALIDATION_FOLDS
    scores, columns = HalfLog(values).forward(values), FeatureMap.of(encoded)(encoded)
    predicted = np.empty(len(values))
    with one_thread():
        few = best_and_latest(scores, KERNEL_FIT_TRIALS)
        kernel = fit_kernel(columns[few], scores[few] - scores[few].mean())
        for k in range(CROSS_VALIDATION_FOLDS):
            process = GaussianProcess(kernel, columns[fold != k], scores[fold != k])
            predicted[fold == k] = process.predict(columns[fold == k])[0]
    return rank_correlation(predicted, values)


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation; 0 where one of the two is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(stats.spearmanr(one, other).statistic)


def save_sources(folder: Path, sources: Sequence[Source]) -> None:
    """Write what was taken into a study's folder, so that it can be resumed when the earlier studies are gone.

    Raises:
        StudyError: It cannot be written.
    """
    content = json.dumps([s.to_dict() for s in sources], allow_nan=False).encode()
    try:
        write_whole(folder / SOURCES_FILE, content)
    except OSError as error:
        raise StudyError(f"{folder / SOURCES_FILE}: cannot be written ({error.strerror})") from error


def load_sources(folder: Path) -> list[Source]:
    """Read what `save_sources` wrote.

    Raises:
        StudyError: The file is damaged.
    """
    try:
        found = json.loads((folder / SOURCES_FILE).read_text(encoding="utf-8"))
        return [
            Source(s["name"], tuple(s["flats"]), tuple(map(float, s["quality"])), float(s["correlation"]))
            for s in found
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{folder / SOURCES_FILE}: what a warm start took cannot be read ({error})") from None
