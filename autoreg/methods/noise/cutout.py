"""Cutout: a square of each image is blanked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def cut(images: Tensor, side: int, centres: Tensor) -> Tensor:
    """Set to zero, in each image, the window of length `side` around its centre; it may lie partly outside.

    Args:
        images: [N, C, H, W] or [N, C, L].
        side: length of the window along each spatial dimension.
        centres: whole numbers [N, spatial dimensions]; the window begins side // 2 before the centre.

    Returns:
        A new tensor like `images`.

    Example:
        >>> import torch
        >>> cut(torch.ones(1, 1, 5), 2, torch.tensor([[1]]))
        tensor([[[0., 0., 1., 1., 1.]]])
    """
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for dim, length in enumerate(images.shape[2:]):
        place = torch.arange(length, device=images.device)
        low = centres[:, dim].to(images.device)[:, None] - side // 2
        within = (place >= low) & (place < low + side)  # [N, length]
        inside = inside & within.reshape(len(images), 1, *(length if d == dim else 1 for d in range(images.ndim - 2)))
    return images.masked_fill(inside, 0.0)


@method(
    "cutout",
    kind="noise",
    catalogue=[51],
    paper=Paper(
        "Improved Regularization of Convolutional Neural Networks with Cutout",
        "DeVries, Taylor",
        2017,
        arxiv="1708.04552",
        checked="blanked area inside and at the border",
    ),
)
class Cutout:
    """Blanks a square (of a sequence: a stretch) at a random place of each training image.

    The centre is anywhere in the image, so the square may lie partly outside. On CIFAR-10 the paper's side is
    half of the image's, on CIFAR-100 a quarter.
    """

    share: float = uniform(0.1, 0.6, default=0.25, min=0.0, max=2.0, doc="side as a share of the shorter side")

    def batch(self, state: State, batch: Any) -> Any:
        """The batch with its images cut; containers keep their form.

        Raises:
            InputError: if the batch holds no images [N, C, H, W] or sequences [N, C, L].
        """
        if isinstance(batch, Mapping):
            keys = [k for k, v in batch.items() if _is_image(v)]
            if len(keys) != 1:
                raise InputError(
                    f"cutout: {len(keys)} images among the keys {', '.join(map(str, batch))}; it needs one"
                )
            return {**batch, keys[0]: self._cut(state, batch[keys[0]])}
        if isinstance(batch, tuple | list) and batch:
            made = [self._cut(state, batch[0]), *batch[1:]]
            return type(batch)(*made) if hasattr(batch, "_fields") else type(batch)(made)
        return self._cut(state, batch)

    def _cut(self, state: State, images: Any) -> Tensor:
        if not _is_image(images):
            found = f"{images.dtype} {tuple(images.shape)}" if hasattr(images, "shape") else type(images).__name__
            raise InputError(
                f"cutout: the inputs are {found}; it needs floating-point images [N, C, H, W] or sequences [N, C, L]"
            )
        space = images.shape[2:]
        side = round(self.share * min(space))
        generator = state.random_generator()
        centres = [
            torch.randint(length, (len(images),), generator=generator, device=generator.device) for length in space
        ]
        return cut(images, side, torch.stack(centres, dim=1))


def _is_image(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim in (3, 4)
