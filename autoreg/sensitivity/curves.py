"""Distortion of a network's outputs when one layer is at one level and all others are dense.

Streamed: one batch of activations is in memory at a time; the dense outputs are computed once and kept on the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.sensitivity.curve import Curve
from autoreg.sensitivity.ladder import Variant

__all__ = ["NOT_FINITE", "Curve", "Dense", "Distortion", "Outputs", "Variant", "curves", "weights_set"]

Outputs = Callable[[nn.Module, Any], Tensor]
"""Logits of a model for a batch, classes along the last dimension."""

NOT_FINITE = 1e30
"""What stands for the distortion of outputs that are not finite: programs add up finite numbers."""


class Distortion(NamedTuple):
    """How far outputs lie from the dense ones.

    Attributes:
        mse: mean squared difference of the logits.
        kl: mean Kullback-Leibler divergence from the dense to these probabilities (softmax over the last dimension),
            in nats; 0 where there is one output.
    """

    mse: float
    kl: float


class Dense:
    """The dense network's outputs on some batches, kept to be compared with.

    Args:
        model: the dense network, put into evaluation mode.
        batches: what it is compared on; iterated over for every comparison.
        outputs: gives the logits of a batch.

    Raises:
        InputError: there is no batch, or an output is not finite.
    """

    def __init__(self, model: nn.Module, batches: Sequence[Any], outputs: Outputs) -> None:
        self.batches, self._outputs = batches, outputs
        model.eval()
        with torch.no_grad():
            self.logits = [outputs(model, batch).float().cpu() for batch in batches]
        if not self.logits:
            raise InputError("sensitivity: there is no calibration batch to compare outputs on")
        if not all(torch.isfinite(part).all() for part in self.logits):
            raise InputError("sensitivity: the dense network's outputs are not finite")

    @torch.no_grad()
    def distortion(self, model: nn.Module, only: Sequence[int] | None = None) -> Distortion:
        """Compare a model, in evaluation mode, with the dense network.

        Args:
            model: as compressed.
            only: indices of the batches that are looked at; all by default.

        Returns:
            Means over all positions; `NOT_FINITE` where outputs are not finite.
        """
        model.eval()
        squares = divergence = 0.0
        values = places = 0
        for index in range(len(self.logits)) if only is None else only:
            found = self._outputs(model, self.batches[index]).float()
            dense = self.logits[index].to(found.device)
            squares += float((found - dense).double().square().sum())
            logs, before = found.log_softmax(-1).double(), dense.log_softmax(-1).double()
            divergence += float((before.exp() * (before - logs)).sum())
            values += dense.numel()
            places += dense.numel() // dense.shape[-1]
        return Distortion(_finite(squares / values), _finite(divergence / places))


def _finite(distortion: float) -> float:
    """At least 0, below which rounding may leave a divergence, and a number where it is none."""
    return min(max(distortion, 0.0), NOT_FINITE) if distortion == distortion else NOT_FINITE


@contextlib.contextmanager
def weights_set(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """The model with other weights in some layers, by name; the old ones come back at the end."""
    held = {name: model.get_parameter(f"{name}.weight") for name in weights}
    before = {name: parameter.data for name, parameter in held.items()}
    try:
        for name, parameter in held.items():
            parameter.data = weights[name].to(parameter)
        yield model
    finally:
        for name, parameter in held.items():
            parameter.data = before[name]


def curves(
    model: nn.Module,
    dense: Dense,
    variants: Mapping[str, Mapping[int, Variant | None]],
    *,
    re_estimate_batch_norm: Callable[[nn.Module], nn.Module] = lambda model: model,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Curve]:
    """Measure every layer at every level, one at a time, the others dense.

    Args:
        model: the dense network; as it was when this returns.
        dense: its outputs.
        variants: by layer and level (bits, or how many stay), how it is compressed; None where that changes nothing.
        re_estimate_batch_norm: brings the batch-norm statistics of a compressed network up to date before it is
            measured; may return a copy.
        progress: called with the number of measurements done and in all.

    Returns:
        By layer, its distortions from the highest level to the lowest.
    """
    total = sum(len(levels) for levels in variants.values())
    done = 0
    found: dict[str, Curve] = {}
    for name, levels in variants.items():
        rows: list[Distortion] = []
        order = sorted(levels, reverse=True)
        for level in order:
            variant = levels[level]
            if variant is None:
                rows.append(Distortion(0.0, 0.0))
            else:
                with variant(model) as compressed:
                    rows.append(dense.distortion(re_estimate_batch_norm(compressed)))
            done += 1
            if progress is not None:
                progress(done, total)
        found[name] = Curve(tuple(order), tuple(row.mse for row in rows), tuple(row.kl for row in rows))
    return found
