"""Optuna's TPE over the flat conditional parameters of a space."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.engine.samplers.history import Config, Domain, Observation, Value
from autoreg.engine.samplers.mutation import uniform
from autoreg.lazy import lazy_module
from autoreg.space import ranges
from autoreg.space.nodes import Range

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from autoreg.space import Space
else:
    optuna = lazy_module("optuna")


def distribution(domain: Domain) -> BaseDistribution:
    """Return a domain in Optuna's words; a stepped range on a log scale loses its step (see `on_grid`)."""
    if not isinstance(domain, Range):
        return optuna.distributions.CategoricalDistribution(domain)
    low, high = domain.low, ranges.snap(domain, domain.high)
    if domain.is_int:
        step = 1 if domain.step is None or domain.is_log else int(domain.step)
        return optuna.distributions.IntDistribution(int(low), int(high), log=domain.is_log, step=step)
    return optuna.distributions.FloatDistribution(
        float(low), float(high), log=domain.is_log, step=None if domain.is_log else domain.step
    )


def on_grid(value: Any, domain: Domain) -> Value:
    """Return a drawn value as the space writes it: on its grid, within its bounds, in its type."""
    return ranges.snap(domain, value) if isinstance(domain, Range) else str(value)


def contains(value: Any, domain: Domain) -> bool:
    """Whether a value belongs to a domain; baselines may lie outside of what is searched."""
    if not isinstance(domain, Range):
        return value in domain
    if isinstance(value, int) and not isinstance(value, bool) and not domain.is_int:
        value = float(value)
    return ranges.holds(domain, value)


def quiet() -> None:
    """Let Optuna speak of warnings only: it announces every study and trial otherwise."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@functools.cache
def _storage_class() -> type[Any]:
    """A class of storages that hold exactly the trials they are handed, so that no running trial is left behind."""

    class Rows(optuna.storages.InMemoryStorage):  # within a function: its base class is in Optuna
        def __init__(self, rows: list[FrozenTrial]) -> None:
            super().__init__()
            self.rows = rows

        def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
            return [t for t in self.rows if states is None or t.state in states]

    return Rows


@functools.cache
def _sampler_class() -> type[Any]:
    """Optuna's sampler; what it learns from the same trials, it learns once for all draws.

    It overrides and calls what Optuna keeps to itself; a test compares the draws with those of Optuna alone.
    """

    class Remembering(optuna.samplers.TPESampler):  # within a function: its base class is in Optuna
        def __init__(self, seed: int, startup: int, learned: dict[str, Any]) -> None:
            super().__init__(seed=seed, multivariate=False, n_startup_trials=startup)
            self._learned = learned

        def _sample(
            self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            """As Optuna's, which divides the trials anew for each parameter of each draw."""
            ((path, drawn_from),) = search_space.items()
            if path not in self._learned:
                self._learned[path] = self._learn(study, trial, path, drawn_from)
            good, bad, ratios = self._learned[path]
            samples = good.sample(self._rng.rng, self._n_ei_candidates)
            if ratios is None:
                chosen = self._compare(samples, self._compute_acquisition_func(samples, good, bad))
            else:
                chosen = self._compare(samples, ratios[samples[path].astype(int)])
            return {path: drawn_from.to_external_repr(chosen[path])}

        def _learn(
            self, study: optuna.Study, trial: FrozenTrial, path: str, drawn_from: BaseDistribution
        ) -> tuple[Any, Any, Any]:
            """Densities of good and of bad trials, and the logarithms of their ratio by label."""
            if "" not in self._learned:
                self._learned[""] = self._divided(study, trial)
            halves = zip(self._learned[""], (True, False), strict=True)
            good, bad = (
                self._build_parzen_estimator(study, {path: drawn_from}, half, handle_below=below)
                for half, below in halves
            )
            if not isinstance(drawn_from, optuna.distributions.CategoricalDistribution):
                return good, bad, None
            labels = np.arange(len(drawn_from.choices), dtype=float)
            return good, bad, self._compute_acquisition_func({path: labels}, good, bad)

        def _divided(self, study: optuna.Study, trial: FrozenTrial) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
            states = optuna.trial.TrialState
            running = [states.RUNNING] if self._constant_liar else []
            trials = study._get_trials(deepcopy=False, states=[states.COMPLETE, states.PRUNED, *running])
            trials = [t for t in trials if t.number != trial.number]
            module = optuna.samplers._tpe.sampler
            several = len(study.directions) > 1
            gamma = self._gamma or (module.default_gamma_multiobjective if several else module.default_gamma)
            ended = sum(t.state != states.RUNNING for t in trials)
            divided: tuple[list[FrozenTrial], list[FrozenTrial]] = module._split_trials(study, trials, gamma(ended))
            return divided

    return Remembering


class TPESampler:
    """Tree-structured Parzen estimator, one parameter at a time along the conditions of the space.

    Trials that were stopped count as bad, failed ones are not seen, those that break a constraint
    come last, those still running repel (constant liar).

    Reference: Ozaki et al., "Multiobjective tree-structured Parzen estimator", JAIR 2022.
    """

    name = "tpe"

    def __init__(self, space: Space, objectives: int, startup: int = 10) -> None:
        quiet()
        self._space = space
        self._startup = startup
        self._objectives = objectives
        self._study: optuna.Study | None = None
        self._domains = {p.path: p.domain for p in space.parameters}
        self._distributions = {path: distribution(domain) for path, domain in self._domains.items()}
        self._frozen: dict[int, tuple[Observation, FrozenTrial]] = {}
        self._seen: Sequence[Observation] | None = None
        self._learned: dict[str, Any] = {}
        self.explain = (
            f"tpe: Optuna's multi-objective TPE on normalized objectives; the first {startup} recipes are drawn "
            "uniformly. Stopped trials count as bad, failed ones are not seen."
        )

    def propose(self, seen: Sequence[Observation], seed: Sequence[int]) -> Config | None:
        """Draw a config where good trials are dense and bad ones are not."""
        if seen is not self._seen or self._study is None:
            rows = [self._row(s) for s in seen if s.flat]
            # a new study each time: Optuna caches the trials of a study within a thread
            self._study = optuna.create_study(
                storage=_storage_class()(rows), directions=["minimize"] * self._objectives
            )
            self._seen, self._learned = seen, {}
        study = self._study
        rng = np.random.default_rng(list(seed))
        number = int(rng.integers(2**31))
        sampler = _sampler_class()(number, self._startup, self._learned)
        blank = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
        blank.number = 2**31 - 1  # of no trial: the constant liar leaves out the trial it draws for

        def choose(path: str, domain: Domain) -> Value:
            if path not in self._domains:  # no parameter: which of too many methods leaves
                return uniform(domain, rng)
            drawn = sampler.sample_independent(study, blank, path, self._distributions[path])
            return on_grid(drawn, self._domains[path])

        return self._space.build(choose)

    def _row(self, seen: Observation) -> FrozenTrial:
        known = self._frozen.get(seen.number)
        if known is not None and known[0] == seen:
            return known[1]
        held = {p: on_grid(v, d) for p, v in seen.flat.items() if (d := self._domains.get(p)) and contains(v, d)}
        row = optuna.trial.create_trial(
            state=optuna.trial.TrialState[seen.state],
            values=list(seen.values) if seen.values is not None and seen.state == "COMPLETE" else None,
            params=held,
            distributions={p: self._distributions[p] for p in held},
        )
        row.number = seen.number
        if seen.violation > 0:
            row.set_constraint("violation", seen.violation)
        self._frozen[seen.number] = (seen, row)
        return row
