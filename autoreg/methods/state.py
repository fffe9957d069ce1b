"""What a method sees of the training that it acts in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.weights import weighted_layers
from autoreg.network.weights import weight_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")


@dataclass
class State:
    """One phase of training, as its methods see it.

    Attributes:
        model: the model being trained.
        optimizer: None until it is built, which is after the methods' `prepare`.
        epoch: index of the epoch, from 0.
        epochs: length of the phase in epochs.
        step: optimizer steps taken since the phase began.
        steps_per_epoch: optimizer steps in an epoch.
        batch: the batch that is trained on.
        output: what the model returned for it.
        base_loss: scalar tensor, the task's own loss of `output`.
        generator: source of all randomness that methods draw.
        forward: calls a model with a batch and returns its output; None where nobody said how.
        teacher: the teacher's outputs of a batch, shaped like the model's logits; None where there is no teacher.
        scratch: what methods keep during a phase, by their own keys.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer | None = None
    epoch: int = 0
    epochs: int = 1
    step: int = 0
    steps_per_epoch: int = 1
    batch: Any = None
    output: Any = None
    base_loss: Tensor | None = None
    generator: torch.Generator | None = None
    forward: Callable[[nn.Module, Any], Any] | None = None
    teacher: Callable[[Any], Tensor] | None = None
    scratch: dict[Any, Any] = field(default_factory=dict)
    _teacher_outputs: tuple[Any, Tensor] | None = field(default=None, init=False, repr=False)  # and their batch

    @property
    def progress(self) -> float:
        """Share of the phase that is done, in [0, 1]; 1 where there is nothing to do."""
        steps = self.epochs * self.steps_per_epoch
        return min(1.0, self.step / steps) if steps > 0 else 1.0

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Names and modules of the weighted layers, in `named_modules` order."""
        return weighted_layers(self.model)

    def weights(self) -> list[tuple[str, Tensor]]:
        """Names and live weights of the weighted layers: with masks and other parametrizations applied."""
        return [(name, weight_of(module)) for name, module in self.layers()]

    def logits(self) -> Tensor:
        """The output's logits: the tensor itself, its `logits`, or the first entry of a tuple.

        Raises:
            InputError: if the output is none of these.
        """
        output = self.output
        if isinstance(output, torch.Tensor):
            return output
        found = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
        if found is None and isinstance(output, tuple | list) and output:
            found = output[0]
        if not isinstance(found, torch.Tensor):
            raise InputError(
                f"model output: no logits in a {type(output).__name__}; expected a tensor or something with `logits`"
            )
        return found

    def teacher_outputs(self) -> Tensor:
        """What the teacher says of the batch, shaped like the logits; computed once a batch.

        Raises:
            InputError: there is no teacher, or its outputs have another shape than the model's.
        """
        if self.teacher is None:
            raise InputError("teacher: there is none to learn from; give teacher=a model, or a callable of a batch")
        known = self._teacher_outputs
        if known is None or known[0] is not self.batch:
            with torch.no_grad():
                known = self._teacher_outputs = (self.batch, self.teacher(self.batch).detach())
        outputs: Tensor = known[1]
        if outputs.shape != self.logits().shape:
            raise InputError(
                f"teacher: its outputs have shape {tuple(outputs.shape)}, those of the model "
                f"{tuple(self.logits().shape)}; allowed: one shape"
            )
        return outputs

    def random_generator(self) -> torch.Generator:
        """The generator; a phase without one gets one seeded with 0."""
        if self.generator is None:
            self.generator = torch.Generator().manual_seed(0)
        return self.generator


def is_plain(value: Any) -> bool:
    """Whether a value is of tensors, numbers, text, None, and lists of them and mappings from names to them.

    What a method keeps in `scratch` of this form is stored with a training that is left in its midst.
    """
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(is_plain, value.values()))
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | torch.Tensor)
