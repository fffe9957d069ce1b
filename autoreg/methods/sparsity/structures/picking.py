"""Which weights stay, given scores: exact counts, and ties broken by place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def top_mask(scores: Tensor, retained: int, *, rows: bool = False) -> Tensor:
    """Mark the `retained` highest scores; of equal ones those that come first.

    Args:
        scores: any shape; with `rows` at least two dimensions.
        retained: 0 to the number of scores; exactly so many are marked.
        rows: compare inside each row (index of the first dimension): every row keeps retained // rows, and what is left
            over goes, one each, to the rows whose next score is highest.

    Returns:
        bool, shaped like the scores.

    Raises:
        InputError: if `retained` is out of range, or a score is NaN.

    Example:
        >>> import torch
        >>> top_mask(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 2).tolist()
        [[False, False], [True, True]]
        >>> top_mask(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 2, rows=True).tolist()
        [[False, True], [False, True]]
    """
    if not 0 <= retained <= scores.numel():
        raise InputError(f"mask: {retained} weights to keep; allowed: 0 to {scores.numel()}")
    _refuse_nan(scores)
    flat = scores.detach().reshape(1, -1) if not rows else scores.detach().flatten(1)
    ranked, order = torch.sort(flat, dim=1, descending=True, stable=True)
    each, left = divmod(retained, flat.shape[0])
    mask = torch.zeros(flat.shape, dtype=torch.bool, device=scores.device)
    mask.scatter_(1, order[:, :each], True)
    if left:
        chosen = torch.argsort(ranked[:, each], descending=True, stable=True)[:left]
        mask[chosen, order[chosen, each]] = True
    return mask.reshape(scores.shape)


def nm_mask(scores: Tensor, n: int, m: int) -> Tensor:
    """Mark the n highest of every m scores along the flattened dimensions after the first; ties keep the first.

    For a linear layer groups run along its inputs, for a convolution along inputs × kernel positions, in memory order
    (kernel positions fastest). For a transposed convolution, stored with its inputs first, they run along the outputs.

    Args:
        scores: [out, ...] whose trailing dimensions multiply to a multiple of m.
        n: 1 to m − 1.
        m: length of a group.

    Returns:
        bool, shaped like the scores; exactly n of every m.

    Raises:
        InputError: if the dimension is not divisible, or a score is NaN.
    """
    if scores.ndim < 2 or scores[0].numel() % m:
        raise InputError(f"{n}:{m}: shape {tuple(scores.shape)}; the dimensions after the first must multiply to n·{m}")
    _refuse_nan(scores)
    grouped = scores.detach().reshape(-1, m)
    order = torch.argsort(grouped, dim=1, descending=True, stable=True)
    mask = torch.zeros(grouped.shape, dtype=torch.bool, device=scores.device)
    mask.scatter_(1, order[:, :n], True)
    return mask.reshape(scores.shape)


def partial_mask(final: Tensor, scores: Tensor, retained: int) -> Tensor:
    """A mask on the way to `final`: it keeps what `final` keeps and the highest scores of the rest, `retained` in all.

    Args:
        final: bool, the mask at the end.
        scores: shaped like it.
        retained: at least what `final` keeps.

    Raises:
        InputError: if `retained` is less than that.
    """
    least = int(final.sum())
    if retained < least:
        raise InputError(f"mask: {retained} weights to keep; allowed: {least} to {final.numel()}")
    return final | top_mask(scores.masked_fill(final, -torch.inf), retained - least) if retained > least else final


def _refuse_nan(scores: Tensor) -> None:
    if bool(torch.isnan(scores).any()):
        raise InputError("mask: a score is NaN; the weights or their statistics are not finite")
