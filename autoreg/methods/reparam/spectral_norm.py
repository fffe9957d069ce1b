"""Spectral normalization of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.weights import bake_weight
from autoreg.space.spec import Paper, integer

if TYPE_CHECKING:
    import torch
    from torch.nn.utils import parametrizations, parametrize
else:
    torch = lazy_module("torch")
    parametrizations = lazy_module("torch.nn.utils.parametrizations")
    parametrize = lazy_module("torch.nn.utils.parametrize")


@method(
    "spectral_norm",
    kind="reparam",
    catalogue=[62],
    paper=Paper(
        "Spectral Normalization for Generative Adversarial Networks",
        "Miyato et al.",
        2018,
        arxiv="1802.05957",
        checked="largest singular value of the baked weights is 1",
    ),
)
class SpectralNorm:
    """Trains W / σ(W), σ the largest singular value by power iteration; baked into plain weights when the phase ends.

    So sparsity and quantization, which come later, meet plain weights.
    """

    iterations: int = integer(1, 3, max=100, doc="power iterations per training step")

    def prepare(self, state: State) -> None:
        """Register the parametrization on the weighted layers that have none; they are remembered."""
        generator = state.random_generator()
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        normed = []
        for _, module in state.layers():
            weight = module.weight
            if parametrize.is_parametrized(module, "weight"):
                continue
            devices = [weight.device] if weight.device.type == "cuda" else []
            with torch.random.fork_rng(devices=devices):  # torch draws the first vectors from the global generator
                torch.default_generator.manual_seed(seed)
                if devices:
                    torch.cuda.manual_seed(seed)
                parametrizations.spectral_norm(module, "weight", n_power_iterations=self.iterations)
            normed.append(module)
        state.scratch["spectral_norm"] = normed

    def finish(self, state: State) -> None:
        """Bake the normalized weights, as evaluation sees them: without another power iteration."""
        for module in state.scratch.pop("spectral_norm", []):
            training = module.training
            module.eval()
            bake_weight(module)
            module.train(training)
