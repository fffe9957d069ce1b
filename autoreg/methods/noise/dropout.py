"""Dropout on the inputs of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, choice, uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def drop(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Set each element to zero with probability `rate` and divide the others by 1 − rate.

    Args:
        values: any shape, floating point.
        rate: in [0, 1).
        generator: source of the mask, on any device.
    """
    mask = torch.rand(values.shape, generator=generator, device=generator.device) >= rate
    return values * mask.to(values.device) / (1.0 - rate)


@method(
    "dropout",
    kind="noise",
    catalogue=[55],  # Bernoulli mask on the penultimate representation: `place: penultimate`
    paper=Paper(
        "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
        "Srivastava et al.",
        2014,
        doi="10.5555/2627435.2670313",
        checked="share of zeros, unbiased mean, off in evaluation",
    ),
)
class Dropout:
    """Zeroes elements of the inputs of weighted layers while training.

    `layers` acts on every weighted layer but the first, `penultimate` on the input of the last one alone.
    """

    rate: float = uniform(0.05, 0.5, default=0.2, min=0.0, max=0.99, doc="probability that an element is zeroed")
    place: str = choice("penultimate", "layers", doc="before the last weighted layer, or before all but the first")

    def prepare(self, state: State) -> None:
        """Hang the noise before the layers."""
        layers = [module for _, module in state.layers()]
        chosen = layers[1:] if self.place == "layers" else layers[-1:]
        generator = state.random_generator()
        rate = self.rate

        def before(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not module.training or not inputs or not inputs[0].is_floating_point():
                return None
            return (drop(inputs[0], rate, generator), *inputs[1:])

        state.scratch["dropout"] = [module.register_forward_pre_hook(before) for module in chosen]

    def finish(self, state: State) -> None:
        """Take the noise away."""
        for handle in state.scratch.pop("dropout", []):
            handle.remove()
