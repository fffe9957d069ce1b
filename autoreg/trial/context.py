"""What the phases of one recipe share: the recipe itself, its levels, its data, its seeds, and a count of the work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from autoreg.costs.levels import Levels
from autoreg.methods.bound import BoundRecipe
from autoreg.tasks.splits import seed_loaders
from autoreg.trial.loop import phase_seed, re_estimate, seeded
from autoreg.trial.setup import Setup


@dataclass
class Work:
    """What carrying out a recipe takes.

    Attributes:
        epochs_requested: passes over the training data that its phases ask for, weighted by gradients a step.
        epochs_run: those that were run here; phases from the store cost none.
        seconds: by phase; `measure` is all scoring.
    """

    epochs_requested: float = 0.0
    epochs_run: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time that is spent within to a phase, also where it ends in an error."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - begun


@dataclass(frozen=True)
class PhaseContext:
    """One recipe on one fold with one seed.

    Attributes:
        setup: task, store, device.
        recipe: the complete recipe, bound to its methods.
        levels: its explicit level of every layer.
        seed: the trial's seed.
        fold: the fold that is trained and scored.
        work: grows as phases are carried out.
        teacher: what the recipe's teacher says of a batch; None where it learns from none.
    """

    setup: Setup
    recipe: BoundRecipe
    levels: Levels
    seed: int
    fold: str
    work: Work
    teacher: Callable[[Any], torch.Tensor] | None = None

    @property
    def loaders(self) -> Mapping[str, Any]:
        """The splits of the fold."""
        return self.setup.loaders(self.fold)

    def seed_of(self, *parts: object) -> int:
        """A seed of its own for a part of the work: a phase, an epoch of it, a rung."""
        return phase_seed(self.seed, self.fold, *parts)

    def normalized(self, model: nn.Module) -> nn.Module:
        """A copy of a model with batch-norm statistics of its present weights; the same whenever it is made."""
        seed = self.seed_of("repair")  # a label of batch-norm re-estimation; another would change results
        with seeded(seed):
            seed_loaders(self.loaders["train"], seed)
            return re_estimate(model, self.setup.task, self.loaders["train"], self.setup.device)

    def seeded(self, *parts: object) -> contextlib.AbstractContextManager[torch.Generator]:
        """Do a part of the work with randomness of its own."""
        return seeded(self.seed_of(*parts))
