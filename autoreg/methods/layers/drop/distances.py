"""How much a block changes what flows through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")


def angular_distance(before: Tensor, after: Tensor) -> Tensor:
    """arccos(cosine similarity) / π of every sample: 0 the same direction, 1/2 orthogonal, 1 opposite.

    Args:
        before: [N, ...].
        after: the same shape; each sample is read as one vector.

    Returns:
        float64, [N], in [0, 1].

    Example:
        >>> import torch
        >>> angular_distance(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [-3.0, 0.0]]))
        tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    a, b = before.flatten(1).double(), after.flatten(1).double()
    # the angle between unit vectors by their chord: exact for equal ones, where arccos of a rounded 1 is not
    a = a / torch.linalg.vector_norm(a, dim=1, keepdim=True).clamp_min(1e-300)
    b = b / torch.linalg.vector_norm(b, dim=1, keepdim=True).clamp_min(1e-300)
    apart, together = torch.linalg.vector_norm(a - b, dim=1), torch.linalg.vector_norm(a + b, dim=1)
    return 2 * torch.atan2(apart, together) / torch.pi


def block_distances(
    model: nn.Module,
    blocks: Sequence[str],
    batches: Iterable[Any],
    forward: Callable[[nn.Module, Any], Any],
) -> dict[str, float]:
    """Mean angular distance between input and output of every block, in evaluation mode.

    Of sequences [N, tokens, features] the last token is taken, as in the paper; of anything else the whole sample.

    Args:
        model: left as it was.
        blocks: names of modules whose first input and (first) output have the same shape.
        batches: calibration batches.
        forward: called with model and batch.

    Returns:
        By block name, in [0, 1].

    Raises:
        InputError: if a block was not reached, or its output is shaped otherwise than its input.
    """
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            before, after = inputs[0], output[0] if isinstance(output, tuple | list) else output
            if before.shape != after.shape:
                raise InputError(
                    f"block {name!r} turns shape {tuple(before.shape)} into {tuple(after.shape)}; it cannot be dropped"
                )
            if before.ndim == 3:
                before, after = before[:, -1], after[:, -1]
            found = angular_distance(before, after)
            sums[name] = sums.get(name, 0.0) + float(found.sum())
            counts[name] = counts.get(name, 0) + len(found)

        return hook

    modes = [(module, module.training) for module in model.modules()]
    handles = [model.get_submodule(name).register_forward_hook(watch(name)) for name in blocks]
    try:
        model.eval()
        with torch.no_grad():
            for batch in batches:
                forward(model, batch)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    missing = [name for name in blocks if name not in counts]
    if missing:
        raise InputError(f"blocks {', '.join(missing)} were not reached by the calibration batches")
    return {name: sums[name] / counts[name] for name in blocks}


def check_count(count: int, blocks: Sequence[str]) -> None:
    """Refuse to drop more blocks than there are.

    Raises:
        InputError: then.
    """
    if count > len(blocks):
        raise InputError(
            f"layers.drop: count = {count}, but only {len(blocks)} blocks can be dropped "
            f"({', '.join(blocks) or 'none'})"
        )
