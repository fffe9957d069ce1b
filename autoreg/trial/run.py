"""Methods at work inside a training loop: the hooks, called in the right places.

The trial's own loop (`autoreg.trial.loop`) and a loop that stays the user's own (`autoreg.attach`) both go
through `Run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods.averaging.weights import load_average
from autoreg.methods.state import State
from autoreg.methods.weights import weighted_layers


class Run:
    """The methods of one phase of training, bound to a model and its optimizer.

    Args:
        model: the model that is trained; methods may register parametrizations and forward hooks on it.
        optimizer: the optimizer over the model's parameters. It is built after the methods are prepared
            where they change parameters (see `prepare`), so it may be set later through `state.optimizer`.
        methods: instances with any of the hooks of the design: prepare, batch, observe, loss, gradient,
            after_step, finish. Hooks are called in the order of the methods; one method at most has `gradient`.
        epochs: length of the phase, in epochs.
        steps_per_epoch: optimizer steps per epoch.
        generator: source of all randomness that the methods draw themselves.
        forward: calls a model with a batch, for methods that ask another model than the one that is trained.
        teacher: the outputs of a teacher for a batch, for methods that learn from one.

    Raises:
        InputError: two methods have the hook `gradient`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        methods: Sequence[Any],
        *,
        epochs: int,
        steps_per_epoch: int,
        generator: torch.Generator,
        forward: Callable[[nn.Module, Any], Any] | None = None,
        teacher: Callable[[Any], Tensor] | None = None,
    ) -> None:
        self.methods = tuple(methods)
        if len(self._with("gradient")) > 1:
            names = " and ".join(type(method).__name__ for method in self._with("gradient"))
            raise InputError(f"{names} both replace the gradient of a step; allowed: at most one method that does")
        self.state = State(
            model=model,
            optimizer=optimizer,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            generator=generator,
            forward=forward,
            teacher=teacher,
        )
        self._handles: list[Any] = []
        for method in self._with("prepare"):
            method.prepare(self.state)
        self._observe()

    def _with(self, hook: str) -> list[Any]:
        return [method for method in self.methods if hasattr(method, hook)]

    def _observe(self) -> None:
        observers = self._with("observe")
        if not observers:
            return

        def hook_for(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
                if module.training:
                    for method in observers:
                        method.observe(self.state, name, module, inputs, output)

            return hook

        for name, module in weighted_layers(self.state.model):
            self._handles.append(module.register_forward_hook(hook_for(name)))

    def batch(self, batch: Any) -> Any:
        """Return the batch to train on; call it once for every batch that the loader gives."""
        for method in self._with("batch"):
            batch = method.batch(self.state, batch)
        self.state.batch = batch
        return batch

    def loss(self, output: Any, base_loss: Tensor) -> Tensor:
        """Return the task's loss plus the terms of the methods.

        Args:
            output: what the model returned for the batch.
            base_loss: scalar tensor, the task's loss of `output`.
        """
        self.state.output, self.state.base_loss = output, base_loss
        total = base_loss
        for method in self._with("loss"):
            total = total + method.loss(self.state)
        return total

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Take one optimizer step and return the loss.

        Args:
            closure: zeroes the gradients, computes the output and `run.loss`, calls `backward` and returns the
                loss. A method that needs another gradient (sharpness-aware minimization) calls it again.
        """
        optimizer = self.state.optimizer
        if optimizer is None:
            raise ValueError("this run has no optimizer: set run.state.optimizer first")
        gradient = self._with("gradient")
        loss: Tensor = gradient[0].gradient(self.state, closure) if gradient else closure()
        optimizer.step()
        for method in self._with("after_step"):
            method.after_step(self.state)
        self.state.step += 1
        self.state.epoch = self.state.step // max(1, self.state.steps_per_epoch)
        return loss.detach()

    @property
    def averages(self) -> bool:
        """Whether a method averages the weights that training passes through."""
        return bool(self._with("average"))

    def load_average_into(self, model: nn.Module) -> None:
        """Give a model, this one or a copy, the average of the weights so far, where a method takes one."""
        for method in self._with("average"):
            average = method.average(self.state)
            if average is not None:
                load_average(model, average)

    def finish(self, *, averaged: bool = True) -> nn.Module:
        """End the phase and return the model: it gets the averaged weights, methods bake what they registered.

        Args:
            averaged: False leaves the weights as they were trained, for a phase that goes on in another run. Statistics
                of batch norm are not touched; they fit the weights that were trained.
        """
        if averaged:  # first: masks and quantizers that are brought to their levels now act on the average
            self.load_average_into(self.state.model)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for method in self._with("finish"):
            method.finish(self.state)
        return self.state.model
