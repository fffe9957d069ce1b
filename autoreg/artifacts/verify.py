"""Does a file compute what the trial computed? Outputs compared, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from autoreg.errors import AutoregError
from autoreg.tasks.batches import logits_of

FLOAT_TOLERANCE = 1e-3  # of the largest output: other kernels add in another order
INTEGER_AGREEMENT = 0.95  # rounding at the middle between two integers goes either way, and reaches later layers
INTEGER_RMS = 0.05  # of the spread: good files are an order of magnitude below
QUALITY_TOLERANCE = 0.01  # of the way from the recorded quality to chance
STANDARD_ERRORS = 2.0  # of the recorded quality, where it is a share of answers
MAX_RECORDED_NUMBERS = 2**18  # of a trial's outputs


class MismatchError(AutoregError):
    """An exported file does not compute what its trial recorded."""


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of a file are from those that a trial recorded.

    Attributes:
        samples: how many samples were compared.
        top1: share of positions whose largest output is the same one; None where there is one output.
        max_difference: largest absolute difference.
        relative_rms: root mean square of the differences over that of the recorded outputs about their mean.
        scale: largest absolute recorded output.
    """

    samples: int
    top1: float | None
    max_difference: float
    relative_rms: float
    scale: float

    def fault(self, *, integers: bool) -> str | None:
        """What is wrong; None where the file stands for the trial.

        Args:
            integers: whether any layer rounds its values: then one rounding that differs reaches later layers, so that
                95 % of the answers must be the same and all outputs within 5 % of their spread, in root mean square.
        """
        if not integers:
            allowed = FLOAT_TOLERANCE * max(self.scale, 1e-6)
            if self.max_difference <= allowed:
                return None
            return f"outputs differ by up to {self.max_difference:.3g}; allowed is {allowed:.3g}"
        if self.top1 is not None and self.top1 < INTEGER_AGREEMENT:
            return f"the largest output is the same in {self.top1:.1%} of the cases; needed are {INTEGER_AGREEMENT:.0%}"
        if not self.relative_rms <= INTEGER_RMS:
            return f"outputs differ by {self.relative_rms:.1%} of their spread; allowed are {INTEGER_RMS:.0%}"
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def record(outputs: Sequence[Any], limit: int = MAX_RECORDED_NUMBERS) -> Tensor:
    """The first samples' outputs of a model, as they are recorded with a trial.

    Args:
        outputs: by batch, tensors [batch, ...] or what `logits_of` reads.
        limit: numbers that are recorded at most; at least one sample is.

    Returns:
        float32, [samples, ...]. Batches whose outputs have another shape than the first (sequences of another length)
        end the record.
    """
    recorded: list[Tensor] = []
    count = 0
    for output in outputs:
        values = logits_of(output).detach().float().cpu()
        if recorded and values.shape[1:] != recorded[0].shape[1:]:
            break
        recorded.append(values)
        count += values.numel()
        if count >= limit:
            break
    joined = torch.cat(recorded)
    return joined[: max(1, limit // max(1, joined[0].numel()))].clone()


def quality_fault(recorded: float, found: float, chance: float, *, answers: int | None) -> str | None:
    """What is wrong with the quality of a file on the validation split; None where it is that of the trial's model.

    Allowed is a hundredth of the way to chance, or two standard errors of a share where that is more. A file that
    rounds differently changes single answers for the better or worse; on few samples one of them is more than 1 %.

    Args:
        recorded: of the trial's model.
        found: of the file.
        chance: of a model that knows nothing.
        answers: how many answers the quality is an average of, where it is a share of wrong ones; else None.
    """
    allowed = QUALITY_TOLERANCE * abs(chance - recorded)
    if answers:  # two right and two wrong answers more, so that none wrong of few is not taken for certain
        share = (recorded * answers + 2) / (answers + 4)
        allowed = max(allowed, STANDARD_ERRORS * (max(share * (1 - share), 0.0) / (answers + 4)) ** 0.5)
    if abs(found - recorded) <= allowed:
        return None
    return f"its quality is {found:.4f}, that of the trial's model {recorded:.4f}; they may differ by {allowed:.4f}"


def compare(recorded: Tensor, found: Tensor) -> Agreement:
    """Compare two records of the same samples.

    Args:
        recorded: [samples, ...].
        found: shaped alike.

    Raises:
        MismatchError: the shapes differ, or there are numbers that are not finite.
    """
    if recorded.shape != found.shape:
        raise MismatchError(f"the file gives outputs {tuple(found.shape)}, the trial recorded {tuple(recorded.shape)}")
    if bool(found.isfinite().logical_not().logical_and(recorded.isfinite()).any()):
        raise MismatchError("the file gives outputs that are not finite")
    one, other = recorded.double(), found.double()
    difference = (one - other).abs()
    spread = float((one - one.mean()).square().mean().sqrt())
    several = recorded.ndim > 1 and recorded.shape[-1] > 1
    return Agreement(
        samples=int(recorded.shape[0]),
        top1=float((one.argmax(-1) == other.argmax(-1)).double().mean()) if several else None,
        max_difference=float(difference.max()),
        relative_rms=float(difference.square().mean().sqrt()) / max(spread, 1e-12),
        scale=float(one.abs().max()),
    )
