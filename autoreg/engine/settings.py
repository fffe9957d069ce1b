"""What an engine is built of beside its problem: how it searches, and what trials share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from autoreg.engine.acquisition.shared_cost import PhaseCostFunction
from autoreg.engine.pruning.halving import Halving
from autoreg.engine.surrogate.auxiliary_points import Uncompressed


@dataclass(frozen=True)
class Strategy:
    """How recipes are chosen, stopped early and run again. What is None follows from the sampler.

    Args:
        sampler: "auto", "tpe", "nsga2", "random", "grid" or "evolution". "auto" passes over what could not extend the
            front at its known cost; it is TPE for the first trials, and from eight complete ones on the surrogate
            chooses.
        starters: (source, config) pairs that are asked first, whatever the constraints say: baselines. They are
            never stopped early.
        warm_start: Configs from earlier studies, asked after the starters where space and constraints hold them.
        prune: Whether trials are stopped early; a `Halving` says how.
        screen: Whether a trusted surrogate chooses among candidates; None: with sampler "auto".
        known_cost_filter: Whether candidates are passed over that could not extend the front; None: with "auto".
        reevaluate: Whether a recipe may be run again with another seed, see `autoreg.engine.acquisition.reevaluation`:
            once there is a surrogate. None: with sampler "auto". Off for a table that has one value for each recipe.
    """

    sampler: str = "auto"
    starters: Sequence[tuple[str, dict[str, Any]]] = ()
    warm_start: Sequence[dict[str, Any]] = ()
    prune: bool | Halving = True
    screen: bool | None = None
    known_cost_filter: bool | None = None
    reevaluate: bool | None = None

    @property
    def is_auto(self) -> bool:
        """Whether the sampler is "auto"."""
        return self.sampler == "auto"

    @property
    def screens(self) -> bool:
        """Whether a trusted surrogate chooses among candidates."""
        return self.is_auto if self.screen is None else self.screen

    @property
    def filters(self) -> bool:
        """Whether candidates are passed over that could not extend the front."""
        return self.is_auto if self.known_cost_filter is None else self.known_cost_filter

    @property
    def reevaluates(self) -> bool:
        """Whether recipes may be run again."""
        return self.is_auto if self.reevaluate is None else self.reevaluate

    @property
    def halving(self) -> Halving | None:
        """How trials are stopped early; None where none is."""
        return self.prune if isinstance(self.prune, Halving) else Halving() if self.prune else None


@dataclass(frozen=True)
class SharedWork:
    """What trials have in common.

    Args:
        phase_costs: Key and epochs of each of a config's phases, in order; trials with a key in common share all up to
            that phase. Screening then seeks improvement per remaining epoch, see
            `autoreg.engine.acquisition.shared_cost`. None: all cost alike.
        group: Label of configs that share the noise of their seed, such as their training; they are held out together
            when the surrogate is judged. None: each config has its own.
        uncompressed: The uncompressed prefix of a config. Trials whose info has its `uncompressed_quality` are
            observations of it too, see `autoreg.engine.surrogate.auxiliary_points`.
        trained_after: Label of what a config trains after the rungs; ends are forecast among trials of one label. None:
            all have the same.
        rung_stage: Label of where in its training a config is at a rung (the step is given too); trials are compared
            with those of the same label. None: the step says it all.
    """

    phase_costs: PhaseCostFunction | None = None
    group: Callable[[dict[str, Any]], str] | None = None
    uncompressed: Uncompressed | None = None
    trained_after: Callable[[dict[str, Any]], str] | None = None
    rung_stage: Callable[[dict[str, Any], int], str] | None = None
