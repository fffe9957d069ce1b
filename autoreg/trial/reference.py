"""The dense reference of a task: trained once, kept, asked for scores and distances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.methods.discovery import spec_of
from autoreg.methods.layers.drop import block_distances
from autoreg.methods.sparsity.criteria import collect
from autoreg.methods.sparsity.structures.structure import CurveSubject
from autoreg.methods.weights import weighted_layers
from autoreg.network.surgery.factorize import spectrum
from autoreg.network.weights import weight_of
from autoreg.sensitivity.curve import Curve
from autoreg.tasks.batches import to_device
from autoreg.trial.loop import forward, phase_seed
from autoreg.trial.sensitivity import guessed_curves, measured_curves
from autoreg.trial.setup import Setup

CurveRequest = tuple[CurveSubject, tuple[str, ...]]
"""Arguments of `Reference.curves`."""


class Reference:
    """Scores and distances of the dense network, computed when first asked for.

    Args:
        setup: task and device.
        train: returns the trained dense network; called once.
    """

    def __init__(self, setup: Setup, train: Callable[[], nn.Module]) -> None:
        self._setup = setup
        self._train = train
        self._model: nn.Module | None = None
        self._scores: dict[str, dict[str, Tensor]] = {}
        self._distances: dict[str, float] | None = None
        self._spectra: dict[str, Tensor] = {}
        self._curves: dict[str, dict[str, Curve]] = {}
        self.spent = {"seconds": 0.0, "epochs": 0.0}
        """What curves have cost: seconds, and the passes over the training split that would take as much work."""

    @property
    def model(self) -> nn.Module:
        """The trained dense network."""
        if self._model is None:
            self._model = self._train()
        return self._model

    def scores(self, criterion: Any) -> dict[str, Tensor]:
        """Scores of every weight of the reference by a criterion, by layer; shaped like the weights."""
        key = repr(criterion)
        if key not in self._scores:
            self._scores[key] = score_weights(self.model, self._setup, criterion, seed=0)
        return self._scores[key]

    def spectra(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Squared singular values of the weights of layers of the reference, largest first, by layer; float64."""
        for name in names:
            if name not in self._spectra:
                self._spectra[name] = spectrum(weight_of(self.model.get_submodule(name)))
        return {name: self._spectra[name] for name in names}

    def curves(self, subject: CurveSubject, dropped: tuple[str, ...] = ()) -> dict[str, Curve]:
        """Distortion of the outputs by layer, or by channel group when the blocks `dropped` are gone.

        Measured when first asked for and kept in the store; see `autoreg.trial.sensitivity`.
        """
        key = repr((subject.measured, dropped))
        if key not in self._curves:
            self._curves[key] = self._compute_curves(subject, dropped)
        return self._curves[key]

    def _compute_curves(self, subject: CurveSubject, dropped: tuple[str, ...]) -> dict[str, Curve]:
        setup, scores = self._setup, self.scores(subject.criterion)
        batches = calibration_batches(setup, setup.task.folds[0])
        found, spent = measured_curves(self.model, setup, batches, subject, scores, dropped)
        self.spent = {name: self.spent[name] + value for name, value in spent.items()}
        return found

    def block_distances(self) -> dict[str, float]:
        """Angular distance between input and output of every droppable block, in [0, 1]."""
        if self._distances is None:
            setup = self._setup
            fold = setup.task.folds[0]
            batches = calibration_batches(setup, fold)
            blocks = [block.name for block in setup.profile.blocks]
            self.model.eval()
            self._distances = block_distances(self.model, blocks, batches, lambda m, b: forward(m, setup.task, b))
        return self._distances


class UntrainedReference(Reference):
    """A reference for checks before anything trains: levels that could be, at no cost.

    Its network is untrained and curves are guessed from weights; `requested` holds what curves it was asked for, which
    a study measures before its trials begin.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup, lambda: setup.fresh_model(0))
        self.requested: list[CurveRequest] = []

    def _compute_curves(self, subject: CurveSubject, dropped: tuple[str, ...]) -> dict[str, Curve]:
        self.requested.append((subject, dropped))
        return guessed_curves(self._setup, subject, self.scores(subject.criterion), dropped)


def calibration_batches(setup: Setup, fold: str) -> list[Any]:
    """All batches of the calibration split of a fold, on the device."""
    return [to_device(batch, setup.device) for batch in setup.loaders(fold)["calibration"]]


def score_weights(
    model: nn.Module, setup: Setup, criterion: Any, *, seed: int, fold: str | None = None
) -> dict[str, Tensor]:
    """Score the weights of a model by a criterion on the calibration split.

    Returns:
        By layer name, a tensor shaped like the layer's weight; what is small can go.
    """
    task = setup.task
    stats: Mapping[str, Any] = {}
    if criterion.needs:
        batches = calibration_batches(setup, fold or task.folds[0])
        model.eval()
        stats = collect(model, batches, lambda m, b: forward(m, task, b), task.loss, criterion.needs)
    generator = torch.Generator().manual_seed(phase_seed(seed, "score", spec_of(criterion).name))
    return {
        layer: criterion.score(weight_of(module).detach(), stats.get(layer), generator)
        for layer, module in weighted_layers(model)
    }
