"""What a study asks before it proposes: baselines, configs of earlier studies, the best by what earlier studies say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoreg.engine.acquisition.proposal import CandidateFilter, Proposal
from autoreg.engine.log.records import StudyState
from autoreg.engine.problem import Problem
from autoreg.engine.transfer import initial_design


class InitialTrials:
    """The queue of recipes that are asked first.

    Args:
        problem: The study.
        candidates: Which configs may be asked.
        starters: (source, config) pairs, asked whatever the constraints say.
        warm_start: Configs, asked where space and constraints hold them.
        seed: Seed of the study, for the configs that its prior is asked for.
    """

    def __init__(
        self,
        problem: Problem,
        candidates: CandidateFilter,
        starters: Sequence[tuple[str, dict[str, Any]]],
        warm_start: Sequence[dict[str, Any]],
        seed: int,
    ) -> None:
        self._problem, self._candidates, self._seed = problem, candidates, seed
        self._starters, self._warm_start = list(starters), list(warm_start)
        self._baselines = {source for source, _ in starters}
        self._design: list[dict[str, Any]] | None = None

    @property
    def given(self) -> list[dict[str, Any]]:
        """All configs that are asked first, but for those that follow from the prior."""
        return [*(config for _, config in self._starters), *self._warm_start]

    def is_baseline(self, source: str) -> bool:
        """Whether a trial of this source is one of the starters."""
        return source in self._baselines

    def next(self, state: StudyState, starters: bool = True) -> Proposal | None:
        """The first that was not asked yet and may be; None when there is none.

        Args:
            state: What happened.
            starters: Whether starters may still be asked.
        """
        taken = self._candidates.taken(state)
        for source, config in self._starters if starters else ():
            key = self._problem.identity(config)
            if key not in taken:
                return self._candidates.unchecked(config, source, key)
        for config in (*self._warm_start, *self._from_prior(state)):
            if self._problem.contains(config):
                proposal = self._candidates.check(config, "warm", taken)
                if proposal is not None:
                    return proposal
        return None

    def _from_prior(self, state: StudyState) -> list[dict[str, Any]]:
        """The configs that the prior is asked for; they are sought while some may still be missing."""
        prior, most = self._problem.prior, len(self.given) + initial_design.DESIGN_SIZE
        if prior is None or len(state.records) >= most:
            return []
        if self._design is None:  # by what the prior said at the start, whenever this is looked at
            self._design = initial_design.propose(prior, self._problem, self._seed)
        return self._design
