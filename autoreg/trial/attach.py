"""`autoreg.attach`: the methods of a recipe inside a training loop that stays the user's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.methods import create, from_recipe, registry, spec_of
from autoreg.methods.quantization import Quantization, attach_quantizers, calibrate
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.counts import retained_count
from autoreg.methods.sparsity.criteria import collect
from autoreg.methods.state import State
from autoreg.methods.weights import weight_of, weighted_layers
from autoreg.network.profile import shared_weights
from autoreg.plan import is_quantized, method_of
from autoreg.space import LayerInfo, complete_recipe, layer_values, load_recipe
from autoreg.trial.compress import Masker
from autoreg.trial.run import Run

Forward = Callable[[nn.Module, Any], Any]


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Mapping[str, Any] | str | Path,
    *,
    epochs: int,
    steps_per_epoch: int,
    calibration: Iterable[Any] = (),
    forward: Forward | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    seed: int = 0,
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

    Regularizer, noise and reparametrization act throughout; masks (structures `weight`, `2:4`, `4:8`) follow their
    schedule over the whole loop; a quantizer that learns is attached at once, another when the loop is finished.
    Learning rate and epochs stay those of the loop: the section `training` is not read.

    Args:
        model: is changed in place.
        optimizer: over the model's parameters; gets those that the methods add.
        recipe: a recipe (what it does not say takes its default), or the path of a recipe file.
        epochs: epochs of the loop, at least 1.
        steps_per_epoch: optimizer steps in an epoch, at least 1.
        calibration: batches on which criteria and ranges of activations are taken, where the recipe needs them.
        forward: `forward(model, batch)` gives the output for a calibration batch; by default the model is called
            with the batch, or with its first element where it is a tuple.
        loss: `loss(output, batch)`, for criteria that look at gradients.
        seed: of what the methods draw.

    Raises:
        InputError: the recipe is wrong, or asks for what a loop that keeps its optimizer cannot do (channels and
            blocks are removed for real: use a task for these), or needs calibration batches that were not given.
    """
    if epochs < 1 or steps_per_epoch < 1:
        raise InputError(f"attach: epochs and steps_per_epoch are {epochs} and {steps_per_epoch}; allowed: at least 1")
    layers = [LayerInfo(name, type(module).__name__) for name, module in weighted_layers(model)]
    content = load_recipe(Path(recipe)) if isinstance(recipe, str | Path) else recipe
    config = complete_recipe(content, registry(), layers)
    _refuse(config)
    found = _working(model, config, layers, _Calibration(list(calibration), forward or _call, loss), seed)
    before = {id(p) for p in model.parameters()}
    generator = torch.Generator().manual_seed(seed)
    run = Run(model, optimizer, found, epochs=epochs, steps_per_epoch=steps_per_epoch, generator=generator)
    added = [p for p in model.parameters() if id(p) not in before]
    if added:
        optimizer.add_param_group({"params": added, "weight_decay": 0.0})
    return run


def _refuse(config: Mapping[str, Any]) -> None:
    for place, value in (("sparsity", config["sparsity"]), ("layers.drop", config["layers"]["drop"])):
        name = method_of(value)[0]
        if name in ("channel", "low_rank") or (place == "layers.drop" and name != "none"):
            raise InputError(
                f"attach: {place}: {name} changes the shape of the network, which an optimizer that exists does not "
                "survive; use a task and `autoreg apply`, or a structure that keeps masks (weight, 2:4, 4:8)"
            )
    reparam = method_of(config["reparam"])[0]
    if reparam != "none" and (config["sparsity"] != "none" or is_quantized(config)):
        raise InputError(
            f"attach: reparam: {reparam} is baked before anything is sparsified or quantized, which one loop cannot "
            "do; train with it first, then attach a recipe without it"
        )
    divides = method_of(config["quantization"]["weights"]["allocation"])[0]
    if divides != "uniform":
        raise InputError(
            f"attach: quantization.weights.allocation: {divides} looks at a trained network; say what each layer gets "
            "with bits: {per_layer: ...}"
        )
    if method_of(config["layers"]["train"])[0] != "all":
        raise InputError("attach: layers.train: choose the trained parameters when the optimizer is made; use all here")


def _working(
    model: nn.Module, config: Mapping[str, Any], layers: list[LayerInfo], tools: _Calibration, seed: int
) -> list[Any]:
    """What a recipe puts to work, in the order in which it acts."""
    methods = [create(kind, *method_of(config[kind])) for kind in ("reparam", "noise", "regularizer")]
    found = [method for method in methods if method is not None]
    if config["sparsity"] != "none":
        found.append(_masker(model, config, layers, tools, seed))
    if is_quantized(config):
        found.append(_Quantizing(config, layers, tools, shared_weights(model)))
    return found


def _call(model: nn.Module, batch: Any) -> Any:
    return model(batch[0] if isinstance(batch, tuple | list) else batch)


class _Calibration:
    """Calibration batches and how the model is called with them."""

    def __init__(self, batches: list[Any], forward: Forward, loss: Callable[[Any, Any], Tensor] | None) -> None:
        self.batches, self.forward, self.loss = batches, forward, loss

    def scores(self, model: nn.Module, criterion: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Scores of all weights, by layer."""
        stats: Mapping[str, Any] = {}
        if criterion.needs:
            self.require(f"criterion {criterion.spec.name}")
            stats = collect(model, self.batches, self.forward, self.loss, criterion.needs)
        return {
            name: criterion.score(weight_of(module).detach(), stats.get(name), generator)
            for name, module in weighted_layers(model)
        }

    def require(self, what: str) -> None:
        """Refuse when there is nothing to calibrate on."""
        if not self.batches:
            raise InputError(f"attach: {what} looks at data; give calibration=[batch, ...]")


def _masker(
    model: nn.Module, config: Mapping[str, Any], layers: list[LayerInfo], tools: _Calibration, seed: int
) -> Masker:
    structure = create("structure", *method_of(config["sparsity"]))
    generator = torch.Generator().manual_seed(seed)

    def score(now: nn.Module) -> Mapping[str, Tensor]:
        return tools.scores(now, structure.criterion, generator)

    shared = shared_weights(model)  # a weight that another module holds too stays as it is
    layers = [layer for layer in layers if layer.name not in shared]
    sizes = {name: tuple(weight_of(module).shape) for name, module in weighted_layers(model) if name not in shared}
    if not hasattr(structure, "amount"):
        kept = {name: count for name, shape in sizes.items() if (count := structure.kept(shape)) is not None}
    else:
        shapes = [LayerShape(name, shape) for name, shape in sizes.items()]
        scores = score(model) if structure.allocation.needs_weights else None
        amount = structure.amount
        amounts = structure.allocation.levels(
            shapes, layer_values(amount, layers) if isinstance(amount, Mapping) else amount, scores
        )
        kept = {shape.name: retained_count(shape.numel, amounts[shape.name]) for shape in shapes}
    return Masker(config, Levels(retained=kept), score)


class _Quantizing:
    """Attaches quantizers: learned ones when the loop begins, others when it ends."""

    def __init__(
        self, config: Mapping[str, Any], layers: list[LayerInfo], tools: _Calibration, shared: Collection[str]
    ) -> None:
        part = config["quantization"]
        self.settings = Quantization(
            _below_32(part["weights"]["bits"], layers, shared),
            _below_32(part["activations"]["bits"], layers, shared),
            granularity=part["weights"]["granularity"],
            symmetric=part["weights"]["symmetric"],
            act_symmetric=part["activations"]["symmetric"],
            quantizer=from_recipe("quantizer", part["quantizer"]),
        )
        self.trains = spec_of(self.settings.quantizer).trains
        self.tools = tools
        if self.settings.activation_bits:
            tools.require("quantization of activations")

    def _attach(self, model: nn.Module) -> None:
        attach_quantizers(model, self.settings)
        if self.settings.activation_bits:
            training = model.training
            calibrate(model.eval(), self.tools.batches, self.tools.forward)
            model.train(training)

    def prepare(self, state: State) -> None:
        """Attach quantizers that train, after the masks."""
        if self.trains:
            self._attach(state.model)

    def finish(self, state: State) -> None:
        """Attach the others to what was trained."""
        if not self.trains:
            self._attach(state.model)


def _below_32(bits: Any, layers: list[LayerInfo], shared: Collection[str]) -> dict[str, int]:
    values = layer_values(bits, layers)
    return {name: int(value) for name, value in values.items() if int(value) < 32 and name not in shared}
