"""How a phase trains: its data, the methods at work in it, and epochs one after another."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from autoreg.methods import from_recipe
from autoreg.methods.discovery import all_from_recipe
from autoreg.methods.layers.selectors import select_parameters
from autoreg.plan import TRAINING_METHODS, Phase, share_of
from autoreg.tasks.splits import seed_loaders
from autoreg.tasks.subset import EASY_FRACTION
from autoreg.trial.calibration import calibration_batches
from autoreg.trial.context import PhaseContext
from autoreg.trial.loop import fit, forward, make_optimizer, steps_in
from autoreg.trial.model_state import ModelState, baked_copy, freeze_except
from autoreg.trial.phase_store import PhaseStore
from autoreg.trial.run import Run


class TrainPhase:
    """A training phase that goes on to one epoch after another, so that it can be scored on its way.

    Where trainings of other lengths begin alike (`phase.trunk`), it goes on from where the farthest of them left it in
    the store, and leaves itself there in turn.

    Args:
        context: the recipe.
        phase: `train` or `tune`.
        state: the network that is trained, in place.
        generator: source of randomness of the recipe's methods.
        store: where the trunk is looked for and left.
    """

    def __init__(
        self,
        context: PhaseContext,
        phase: Phase,
        state: ModelState,
        generator: torch.Generator,
        store: PhaseStore,
    ) -> None:
        self.context, self.phase, self.store = context, phase, store
        self.state = select_trained(context, phase.settings, state)
        self.epochs = int(phase.settings["epochs"])
        self.run = make_run(context, phase.settings, self.state, self.epochs, generator)
        self._losses: list[float] = []
        self._epoch = 0

    def advance(self, epoch: int) -> ModelState:
        """Train up to the end of an epoch, counted from 1.

        Returns:
            Before the last epoch a copy, from which training does not go on; after it the finished network.
        """
        ahead = [end for end in self.phase.trunk if self._epoch < end <= epoch]
        for end in reversed(ahead):  # the farthest is enough
            losses = self.store.resume(self.phase.trunk[end], self.run)
            if losses is not None:
                self._losses, self._epoch = losses, end
                break
        for end in ahead:
            if end > self._epoch:
                self._train_to(end)
                self.store.put_training(self.phase.trunk[end], self.run, self._losses)
        self._train_to(epoch)
        if epoch == self.epochs:
            model = finished_model(self.context, self.run)
            return self.state.with_model(model, train_losses=(*self.state.train_losses, *self._losses))
        return self.state.with_model(self._averaged_copy())

    def _train_to(self, epoch: int) -> None:
        self._losses += train_epochs(self.context, self.run, self.phase, range(self._epoch, epoch))
        self._epoch = epoch

    def _averaged_copy(self) -> nn.Module:
        """The network as it would be left now, on a copy."""
        if not self.run.averages:
            return baked_copy(self.run.state.model)
        model = copy.deepcopy(self.run.state.model)
        self.run.load_average_into(model)
        return normalized(self.context, baked_copy(model))


def finished_model(context: PhaseContext, run: Run) -> nn.Module:
    """The network at the end of a phase, with batch-norm statistics of its weights where these were averaged."""
    model = run.finish()
    return normalized(context, model) if run.averages else model


def normalized(context: PhaseContext, model: nn.Module) -> nn.Module:
    """A copy of a model with batch-norm statistics of its present weights."""
    with context.setup.lock.shared():
        return context.normalized(model)


def select_trained(context: PhaseContext, settings: Mapping[str, Any], state: ModelState) -> ModelState:
    """Choose the parameters that a phase trains, and freeze the others."""
    selector, task = from_recipe("train", settings["train"]), context.setup.task
    batches = calibration_batches(context.setup, context.fold) if selector.needs else []
    names = select_parameters(selector, state.model, batches, lambda m, b: forward(m, task, b), task.loss)
    everything = names == {name for name, _ in state.model.named_parameters()}
    trained = None if everything else tuple(sorted(names))
    freeze_except(state.model, trained)
    return state.with_model(state.model, trained=trained)


def make_run(
    context: PhaseContext,
    settings: Mapping[str, Any],
    state: ModelState,
    epochs: int,
    generator: torch.Generator,
    *,
    rate: float = 1.0,
    extra: Sequence[Any] = (),
) -> Run:
    """Set the recipe's methods to work over a phase.

    Args:
        context: the recipe.
        settings: of the phase.
        state: the network that is trained.
        epochs: length of the phase.
        generator: source of randomness of the methods.
        rate: factor on the learning rate.
        extra: further objects with hooks, after the recipe's own.
    """
    # from the phase's settings: a pretrained network's training has its own
    bound = {kind: all_from_recipe(kind, settings[kind]) for kind in TRAINING_METHODS if kind in settings}
    averaging = bound.pop("averaging", ())  # acts last: it averages what a step leaves
    methods = (*itertools.chain.from_iterable(bound.values()), *extra, *averaging)
    share = share_of(settings)
    whole = share == 1
    steps = steps_in(context.loaders["train"]) if whole else context.setup.subsets(context.fold).steps(share)
    task = context.setup.task
    run = Run(
        state.model,
        None,
        methods,
        epochs=epochs,
        steps_per_epoch=steps,
        generator=generator,
        forward=lambda model, batch: forward(model, task, batch),
        teacher=context.teacher if "taught_by" in settings else None,
    )
    freeze_except(state.model, state.trained)
    run.state.optimizer = make_optimizer(state.model, settings, rate)  # after methods added or replaced parameters
    return run


def train_epochs(context: PhaseContext, run: Run, phase: Phase, epochs: range) -> list[float]:
    """Train for some epochs, counted from 0; returns the mean loss of each."""
    setup, settings = context.setup, phase.settings
    losses: list[float] = []
    for epoch in epochs:  # seeded epoch by epoch, so that what happens between epochs changes nothing
        loader = epoch_loader(context, phase, epoch)
        seed_loaders(loader, context.seed_of(phase.name, epoch))
        losses += fit(
            run,
            setup.task,
            loader,
            epochs=range(epoch, epoch + 1),
            device=setup.device,
            between=setup.lock.shared,
            schedule=settings.get("schedule", "cosine"),
        )
        context.work.epochs_run += phase.epochs / int(settings["epochs"])
    return losses


def epoch_loader(context: PhaseContext, phase: Phase, epoch: int) -> Any:
    """The training data of an epoch: all of it, or a fraction; a training begins with easy subsets."""
    share = share_of(phase.settings)
    if share == 1:
        return context.loaders["train"]
    easy = phase.name == "train" and epoch < EASY_FRACTION * int(phase.settings["epochs"])
    seed = context.seed_of(phase.name, epoch, "subset")
    return context.setup.subsets(context.fold).loader(share, seed, epoch if easy else None)
