"""Warm start: what finished studies of other tasks say about the configs of this one.

Each earlier study orders configs by an ensemble of its own; the mean of a config's rank over studies is the prior. It
is one more column that the surrogate sees, next to the encoded config, and it names the first configs to try (see
`initial_design`). Which errors those studies measured does not matter, their order does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.engine.pareto.front import Floats
from autoreg.engine.samplers.history import Domain, Value
from autoreg.engine.samplers.mutation import quasi_random, uniform
from autoreg.engine.surrogate.ensemble import Ensemble
from autoreg.engine.surrogate.threads import one_thread
from autoreg.engine.transfer.earlier_studies import (
    SOURCES_FILE,
    Source,
    fit_ensemble,
    load_sources,
    predicted_mean,
    rank_correlation,
    read_source,
    save_sources,
)
from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.space.encoding import encode

special = lazy_module("scipy.special")

if TYPE_CHECKING:
    from autoreg.space import Space

RANKING_POOL_SIZE = 1024
"""Quasi-random draws over which ranks are taken."""
MIN_CHECKED_TRIALS = 10
MAX_CHECKED_TRIALS = 100
"""New trials from which, and up to which, the prior is checked; a negative rank correlation ends it."""


class Prior:
    """Mean rank of configs over earlier studies, as long as new trials do not contradict it.

    A study that does not predict its own trials is left out. The state follows from the complete trials of the new
    study, in their order, so that a resumed study drops the prior where the first one did.

    Args:
        space: The new space.
        sources: The earlier studies.
    """

    def __init__(self, space: Space, sources: Sequence[Source]) -> None:
        self.space = space
        self.sources = tuple(sources)
        self.dropped_at: int | None = None
        self.correlation = math.nan
        self._scores: list[float] = []
        self._values: list[float] = []

    @property
    def informative(self) -> bool:
        """Whether some earlier study predicts its own trials; it does not change."""
        return any(s.predictive for s in self.sources)

    @property
    def active(self) -> bool:
        """Whether it is informative and the trials of this study do not contradict it so far."""
        return self.dropped_at is None and self.informative

    def scores(self, configs: Sequence[dict[str, Any]]) -> Floats:
        """Mean over studies of the normal score of a config's rank among quasi-random draws [n]; small is good."""
        return self._ranked(np.asarray(self.space.encode_many(configs), dtype=float))

    def column(self, encoded: Floats) -> Floats:
        """What encoded configs [n, p] gain: one column [n, 1] of `scores` while active, none [n, 0] otherwise."""
        return self._ranked(encoded)[:, None] if self.active else np.zeros((len(encoded), 0))

    def update(self, count: int, config: dict[str, Any], quality: float) -> None:
        """Take in the `count`-th complete trial of the new study; drops the prior if it misleads.

        A trial that was taken in before changes nothing, so that any number of readers may tell of the same trials.

        Args:
            count: Its place among the complete trials, from 1.
            config: Its config.
            quality: Its quality, to be minimized.
        """
        if not self.active or count <= len(self._values) or len(self._values) >= MAX_CHECKED_TRIALS:
            return
        self._scores.append(float(self.scores([config])[0]))
        self._values.append(quality)
        if len(self._values) >= MIN_CHECKED_TRIALS:
            self.correlation = rank_correlation(np.array(self._scores), np.array(self._values))
            if self.correlation < 0:
                self.dropped_at = len(self._values)

    def best_configs(self, rng: np.random.Generator, count: int = 16) -> list[dict[str, Any]]:
        """The best `count` trials of each predictive study as configs of the new space; the rest of each is drawn."""
        return [
            self._completed(source.flats[k], rng)
            for source in self.sources
            if source.predictive
            for k in np.argsort(source.quality, kind="stable")[:count]
        ]

    def _completed(self, flat: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        def choose(path: str, domain: Domain) -> Value:
            return flat[path] if path in flat else uniform(domain, rng)

        return self.space.build(choose)

    def notices(self) -> list[str]:
        """What was taken from each study, one sentence each."""
        count = len(self.space.parameters)
        return [
            f"warm start from {s.name}: {len(s.flats)} trials, {len(s.matched)} of {count} parameters matched; "
            + (
                f"it predicts its own held-out trials with a rank correlation of {s.correlation:.2f}"
                if s.predictive
                else f"not used, since it does not predict its own held-out trials (rank correlation "
                f"{s.correlation:.2f})"
            )
            for s in self.sources
        ]

    def to_dict(self) -> dict[str, Any]:
        """What became of the prior, as plain data for a report."""
        return {
            "sources": [source.summary() for source in self.sources],
            "checked_trials": len(self._values),
            "correlation": None if math.isnan(self.correlation) else self.correlation,
            "dropped_at": self.dropped_at,
        }

    @cached_property
    def _models(self) -> list[tuple[Ensemble, np.ndarray, Floats]]:
        """For each study its ensemble, the columns that it sees, and its sorted predictions of quasi-random draws."""
        pool = np.asarray(
            self.space.encode_many(quasi_random(self.space, RANKING_POOL_SIZE, np.random.default_rng(0))), dtype=float
        )
        models = []
        for source in self.sources:
            if source.predictive:
                with one_thread():
                    encoded = encode(self.space.parameters, source.flats)
                    known = ~np.isnan(encoded).all(axis=0)
                    ensemble = fit_ensemble(encoded[:, known], np.array(source.quality))
                    models.append((ensemble, known, np.sort(predicted_mean(ensemble, pool[:, known]))))
        return models

    def _ranked(self, encoded: Floats) -> Floats:
        steps = special.ndtri((np.arange(RANKING_POOL_SIZE) + 0.5) / RANKING_POOL_SIZE)
        with one_thread():
            parts = [
                np.interp(predicted_mean(ensemble, encoded[:, known]), at, steps)
                for ensemble, known, at in self._models
            ]
        return np.asarray(np.mean(parts, axis=0)) if parts else np.zeros(len(encoded))


def load_prior(folder: Path | None, space: Space, given: Sequence[str | os.PathLike[str]]) -> Prior | None:
    """The prior of a study: what it took when it began, else what the earlier studies in `given` say.

    Args:
        folder: Of the study; None for one that is kept in memory.
        space: Its space.
        given: Folders of earlier studies.

    Raises:
        InputError: One of them cannot be used, or the study was begun without them.
        StudyError: What was taken cannot be read again.
    """
    if folder is not None and (folder / SOURCES_FILE).exists():
        return Prior(space, load_sources(folder))
    if not given:
        return None
    events = None if folder is None else folder / "events.jsonl"
    if events is not None and events.exists() and events.stat().st_size:
        raise InputError(f"warm start: the study in {folder} was begun without one; name another folder")
    return Prior(space, [read_source(path, space) for path in given])


def save_prior(folder: Path, prior: Prior | None) -> None:
    """Write what was taken into a study's folder, so that it can be resumed when the earlier studies are gone.

    Raises:
        StudyError: It cannot be written.
    """
    if prior is not None and not (folder / SOURCES_FILE).exists():
        save_sources(folder, prior.sources)
