"""`autoreg.attach`: the methods of a recipe inside a training loop that stays the user's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods.bound import BoundQuantization, BoundRecipe, bind
from autoreg.methods.discovery import registry, spec_of
from autoreg.methods.quantization import Quantization, attach_quantizers, calibrate
from autoreg.methods.sections import LAYERS_SECTION
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.allocations.shapes import NO_CURVES
from autoreg.methods.sparsity.criteria import collect
from autoreg.methods.sparsity.scheduled_masks import ScheduledMasks
from autoreg.methods.sparsity.structures.masked import MaskedStructure
from autoreg.methods.sparsity.structures.structure import CurveSubject
from autoreg.methods.state import State
from autoreg.methods.weights import weighted_layers
from autoreg.network.profile import shared_weights
from autoreg.network.surgery.factorize import spectrum
from autoreg.network.weights import weight_of
from autoreg.sensitivity.curve import Curve
from autoreg.space import LayerInfo, complete_recipe, layer_values, load_recipe
from autoreg.space.spec import Param
from autoreg.tasks.batches import logits_of
from autoreg.trial.loop import has_statistics, re_estimate_in_place
from autoreg.trial.narrow_own import NARROWED, leaves_whole
from autoreg.trial.run import Run

Forward = Callable[[nn.Module, Any], Any]


def _call(model: nn.Module, batch: Any) -> Any:
    return model(batch[0] if isinstance(batch, tuple | list) else batch)


@dataclass(frozen=True)
class Calibration:
    """Batches on which criteria and ranges of activations are taken, and how the model is called with them.

    Attributes:
        batches: representative ones, as many as are needed.
        forward: `forward(model, batch)` gives the output; by default the model is called with the batch, or with its
            first element where it is a tuple.
        loss: `loss(output, batch)`, for criteria that look at gradients.
    """

    batches: Sequence[Any] = ()
    forward: Forward = _call
    loss: Callable[[Any, Any], Tensor] | None = None

    def scores(self, model: nn.Module, criterion: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Scores of all weights by a criterion, by layer.

        Raises:
            InputError: the criterion looks at data, and there is none.
        """
        stats: Mapping[str, Any] = {}
        if criterion.needs:
            self.require(f"criterion {spec_of(criterion).name}")
            stats = collect(model, self.batches, self.forward, self.loss, criterion.needs)
        return {
            name: criterion.score(weight_of(module).detach(), stats.get(name), generator)
            for name, module in weighted_layers(model)
        }

    def require(self, what: str) -> None:
        """Refuse where there is nothing to calibrate on.

        Raises:
            InputError: then.
        """
        if not self.batches:
            raise InputError(f"attach: {what} looks at data; give calibration=[batch, ...]")


def attach(  # many arguments, long: what a loop has at hand, all but three by name; most lines describe them
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Mapping[str, Any] | str | Path,
    *,
    epochs: int,
    steps_per_epoch: int,
    calibration: Iterable[Any] | Calibration = (),
    seed: int = 0,
    teacher: nn.Module | Callable[[Any], Tensor] | None = None,
) -> Run:
    """Put the methods of a recipe to work in a loop of one's own.

    The loop calls `run.batch(batch)` on every batch, `run.loss(output, loss)` for the loss to be differentiated
    and `run.step(closure)` in place of `optimizer.step()`; `run.finish()` after it returns the model::

        run = autoreg.attach(model, optimizer, recipe, epochs=10, steps_per_epoch=len(loader))
        for epoch in range(10):
            for batch in loader:
                x, y = run.batch(batch)

                def closure():
                    optimizer.zero_grad()
                    output = model(x)
                    loss = run.loss(output, F.cross_entropy(output, y))
                    loss.backward()
                    return loss

                run.step(closure)
        model = run.finish()

    Regularizer, noise, reparametrization and teacher act throughout; masks follow their schedule over the whole loop; a
    quantizer that learns is attached at once, another at the end, after an average took the weights' place and batch
    norm was estimated anew on the calibration batches. The section `training` is not read.

    Args:
        model: is changed in place.
        optimizer: over the model's parameters; gets those that the methods add.
        recipe: a recipe (what it does not say takes its default), or the path of a recipe file.
        epochs: epochs of the loop, at least 1.
        steps_per_epoch: optimizer steps in an epoch, at least 1.
        calibration: batches on which criteria and ranges of activations are taken, where the recipe needs them; a
            `Calibration` says how the model is called with them.
        seed: of what the methods draw.
        teacher: what the recipe's teacher is: a trained model, which is put into evaluation mode and called like the
            other, or a callable that gives its outputs for a batch. Of several, give a callable that takes their mean.

    Raises:
        InputError: the recipe is wrong, changes shapes, or needs calibration batches or a teacher that was not given.
    """
    if min(epochs, steps_per_epoch) < 1:
        raise InputError(f"attach: epochs and steps_per_epoch are {epochs} and {steps_per_epoch}; allowed: at least 1")
    layers = [LayerInfo(name, type(module).__name__) for name, module in weighted_layers(model)]
    content = load_recipe(Path(recipe)) if isinstance(recipe, str | Path) else recipe
    bound = bind(complete_recipe(content, registry(), layers))
    _refuse(bound)
    _check_network(model, bound)
    if (hasattr(bound.teacher, "of")) != (teacher is not None):
        name = "none" if bound.teacher is None else spec_of(bound.teacher).name
        allowed = "teacher=a model, or a callable of a batch" if teacher is None else "no argument teacher"
        raise InputError(f"attach: teacher: the recipe says {name}; allowed with it: {allowed}")
    calibrated = calibration if isinstance(calibration, Calibration) else Calibration(tuple(calibration))
    found = _at_work(model, bound, layers, calibrated, seed)
    before = {id(p) for p in model.parameters()}
    generator = torch.Generator().manual_seed(seed)
    run = Run(
        model,
        optimizer,
        found,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        generator=generator,
        forward=calibrated.forward,
        teacher=_outputs_of(teacher.eval(), calibrated.forward) if isinstance(teacher, nn.Module) else teacher,
    )
    if added := [p for p in model.parameters() if id(p) not in before]:
        optimizer.add_param_group({"params": added, "weight_decay": 0.0})
    return run


def _outputs_of(teacher: nn.Module, forward: Forward) -> Callable[[Any], Tensor]:
    return lambda batch: logits_of(forward(teacher, batch))


def _check_network(model: nn.Module, recipe: BoundRecipe) -> None:
    """Refuse a model that is not the network that the recipe has from the start.

    Raises:
        InputError: then.
    """
    wanted = recipe.config.get("network")
    if wanted != getattr(model, NARROWED, None) and not leaves_whole(recipe.network):
        raise InputError(
            "attach: network: the model is not the narrow network of the recipe; make it before its optimizer, with "
            "`model = autoreg.narrow(model, example_input, recipe)`"
        )


def _refuse(recipe: BoundRecipe) -> None:
    """Refuse what a loop that keeps its optimizer cannot do."""
    reshaping = recipe.structure is not None and recipe.structure.changes_shape
    for place, method in (("sparsity", recipe.structure if reshaping else None), ("layers.drop", recipe.drop)):
        if method is not None:
            raise InputError(
                f"attach: {place}: {spec_of(method).name} changes the shape of the network, which an optimizer that "
                "exists does not survive; use a task and `autoreg apply`, or a structure that keeps masks"
            )
    if recipe.structure is not None and not isinstance(recipe.structure, MaskedStructure):
        raise InputError(
            f"attach: sparsity: {spec_of(recipe.structure).name} is no structure of masks (MaskedStructure), which are "
            "all that a loop of one's own carries out; use a task and `autoreg apply`, or a structure that keeps masks"
        )
    if recipe.reparam is not None and (recipe.structure is not None or recipe.quantization.rounds):
        raise InputError(
            f"attach: reparam: {spec_of(recipe.reparam).name} is baked before anything is sparsified or quantized, "
            "which one loop cannot do; train with it first, then attach a recipe without it"
        )
    allocation = recipe.quantization.allocation
    if allocation.needs or not hasattr(allocation, "bits"):
        raise InputError(
            f"attach: quantization.weights.allocation: {spec_of(allocation).name} looks at a trained network; say what "
            "each layer gets with bits: {per_layer: ...}"
        )
    everything = LAYERS_SECTION.items["train"]
    if isinstance(everything, Param) and spec_of(recipe.train).name != everything.default:
        raise InputError(
            "attach: layers.train: choose the trained parameters when the optimizer is made; "
            f"use {everything.default} here"
        )


def _at_work(
    model: nn.Module, recipe: BoundRecipe, layers: list[LayerInfo], calibration: Calibration, seed: int
) -> list[Any]:
    """What a recipe puts to work, in the order in which it acts."""
    found = list(recipe.in_training)
    shared = shared_weights(model)  # a weight that another module holds too stays as it is
    if isinstance(recipe.structure, MaskedStructure):
        found += _masks(model, recipe.structure, shared, calibration, seed)
    if recipe.averaging is not None:
        found.append(_Renormalizing(model, calibration))
    if recipe.quantization.rounds:
        found.append(_Quantizing(recipe.quantization, layers, calibration, shared))
    return found if recipe.averaging is None else [*found, recipe.averaging]


class _OwnReference:
    """The user's model in place of a dense reference: it is scored as it stands when the loop begins."""

    def __init__(self, model: nn.Module, score: Callable[[nn.Module], Mapping[str, Tensor]]) -> None:
        self._model, self._score = model, score

    def scores(self, criterion: Any) -> Mapping[str, Tensor]:
        return self._score(self._model)

    def spectra(self, names: Sequence[str]) -> Mapping[str, Tensor]:
        return {name: spectrum(weight_of(self._model.get_submodule(name))) for name in names}

    def curves(self, subject: CurveSubject, dropped: tuple[str, ...] = ()) -> Mapping[str, Curve]:
        raise InputError(NO_CURVES)


def _masks(
    model: nn.Module, structure: MaskedStructure, shared: Collection[str], calibration: Calibration, seed: int
) -> tuple[Any, ...]:
    """The masks of a structure, at levels that are resolved on the model as it stands."""
    generator = torch.Generator().manual_seed(seed)

    def score(now: nn.Module) -> Mapping[str, Tensor]:
        return calibration.scores(now, structure.criterion, generator)

    shapes = [
        LayerShape(name, tuple(weight_of(module).shape), type=type(module).__name__)
        for name, module in weighted_layers(model)
        if name not in shared
    ]
    retained = structure.retained(shapes, _OwnReference(model, score))
    return (ScheduledMasks(structure, retained, score),)


class _Renormalizing:
    """Gives a network with averaged weights batch-norm statistics of these, before inputs are quantized by them."""

    def __init__(self, model: nn.Module, calibration: Calibration) -> None:
        self._calibration = calibration
        if has_statistics(model):
            calibration.require("an average of a network with batch norm")

    def finish(self, state: State) -> None:
        """Estimate the statistics anew; the mode of the network stays."""
        training = state.model.training
        re_estimate_in_place(state.model, self._calibration.batches, self._calibration.forward)
        state.model.train(training)


class _Quantizing:
    """Attaches quantizers: those that train when the loop begins, others when it ends."""

    def __init__(
        self,
        quantization: BoundQuantization,
        layers: list[LayerInfo],
        calibration: Calibration,
        shared: Collection[str],
    ) -> None:
        self._settings = Quantization(
            _below_32(quantization.weight_bits, layers, shared),
            _below_32(quantization.activation_bits, layers, shared),
            granularity=quantization.granularity,
            symmetric=quantization.symmetric,
            act_symmetric=quantization.act_symmetric,
            quantizer=quantization.quantizer,
        )
        self._trains = spec_of(quantization.quantizer).trains
        self._calibration = calibration
        if self._settings.activation_bits:
            calibration.require("quantization of activations")

    def _attach(self, model: nn.Module) -> None:
        attach_quantizers(model, self._settings)
        if self._settings.activation_bits:
            training = model.training
            calibrate(model.eval(), self._calibration.batches, self._calibration.forward)
            model.train(training)

    def prepare(self, state: State) -> None:
        """Attach quantizers that train, after the masks."""
        if self._trains:
            self._attach(state.model)

    def finish(self, state: State) -> None:
        """Attach the others to what was trained."""
        if not self._trains:
            self._attach(state.model)


def _below_32(bits: Any, layers: list[LayerInfo], shared: Collection[str]) -> dict[str, int]:
    values = layer_values(bits, layers)
    return {name: int(value) for name, value in values.items() if int(value) < 32 and name not in shared}
