"""The dense reference of a task: trained once, kept, asked for scores and distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from autoreg.methods.layers.drop import block_distances
from autoreg.methods.sparsity.structures.structure import CurveSubject
from autoreg.network.surgery.factorize import spectrum
from autoreg.network.weights import weight_of
from autoreg.sensitivity.curve import Curve
from autoreg.trial.calibration import calibration_batches, score_blocks, score_weights
from autoreg.trial.inherit import inherited
from autoreg.trial.loop import RE_ESTIMATED_BATCHES, forward, phase_seed, re_estimate_in_place
from autoreg.trial.narrow_setup import NarrowSetup
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
        self.setup = setup
        self._train = train
        self._model: nn.Module | None = None
        self._scores: dict[str, dict[str, Tensor]] = {}
        self._distances: dict[str, float] | None = None
        self._spectra: dict[str, Tensor] = {}
        self._curves: dict[str, dict[str, Curve]] = {}
        self._block_scores: dict[tuple[type[Any], bool], dict[str, float]] = {}
        self._narrowed: dict[tuple[int, str], Reference] = {}
        self.narrow_setups: dict[str, NarrowSetup | None] = {}
        """By what recipes ask for, the task with the network that they have from the start; None for the whole one."""
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
            self._scores[key] = score_weights(self.model, self.setup, criterion, seed=0)
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
        setup, scores = self.setup, self.scores(subject.criterion)
        batches = calibration_batches(setup, setup.task.folds[0])
        found, spent = measured_curves(self.model, setup, batches, subject, scores, dropped)
        self.spent = {name: self.spent[name] + value for name, value in spent.items()}
        return found

    def block_distances(self) -> dict[str, float]:
        """Angular distance between input and output of every droppable block, in [0, 1]."""
        if self._distances is None:
            setup = self.setup
            fold = setup.task.folds[0]
            batches = calibration_batches(setup, fold)
            blocks = [block.name for block in setup.profile.blocks]
            self.model.eval()
            self._distances = block_distances(self.model, blocks, batches, lambda m, b: forward(m, setup.task, b))
        return self._distances

    def block_scores(self, selector: Any, *, trained: bool) -> dict[str, float]:
        """Score of every droppable block by a method of kind `blocks`.

        Args:
            selector: the method.
            trained: whether trained weights are looked at, or those that a training begins with.
        """
        key = (type(selector), trained)
        if key not in self._block_scores:
            seed = phase_seed(self.setup.options.reference_seed, "init")
            model = self.model if trained else self.setup.fresh_model(seed).to(self.setup.device)
            self._block_scores[key] = score_blocks(model, self.setup, selector)
        return self._block_scores[key]

    def narrowed(self, setup: NarrowSetup, rule: Any) -> Reference:
        """The reference on a narrower network: this one's, cut, so that none is trained for it.

        Args:
            setup: the task with the narrower network.
            rule: a method of kind `inherit`, which channels it takes.
        """
        key = (id(setup), repr(rule))
        if key not in self._narrowed:
            self._narrowed[key] = self._cut(setup, rule)
        return self._narrowed[key]

    def _cut(self, setup: NarrowSetup, rule: Any) -> Reference:
        fold = setup.task.folds[0]

        def cut() -> nn.Module:
            model = inherited(self.model, setup, rule, seed=0, fold=fold)
            batches = calibration_batches(setup, fold)[:RE_ESTIMATED_BATCHES]
            re_estimate_in_place(model, batches, lambda m, batch: forward(m, setup.task, batch))
            return model

        return Reference(setup, cut)


class UntrainedReference(Reference):
    """A reference for checks before anything trains: levels that could be, at no cost.

    Its network is untrained and curves are guessed from weights; `requested` holds what curves it was asked for, which
    a study measures before its trials begin.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup, lambda: setup.fresh_model(0))
        self.requested: list[CurveRequest] = []

    def _cut(self, setup: NarrowSetup, rule: Any) -> Reference:
        return UntrainedReference(setup)

    def _compute_curves(self, subject: CurveSubject, dropped: tuple[str, ...]) -> dict[str, Curve]:
        self.requested.append((subject, dropped))
        return guessed_curves(self.setup, subject, self.scores(subject.criterion), dropped)
