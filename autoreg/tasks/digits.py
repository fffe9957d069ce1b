"""Handwritten digits that come with scikit-learn: the main job."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks.base import Task
from autoreg.tasks.splits import SPLITS, cut, stratified_order

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from autoreg.tasks import loader, models
else:
    torch = lazy_module("torch")
    loader, models = lazy_module("autoreg.tasks.loader"), lazy_module("autoreg.tasks.models")

CALIBRATION, VALIDATION, TEST = 100, 500, 500
LARGEST_TRAIN = 697


class DigitsTask(Task):
    """scikit-learn's 1,797 digits of 8×8 pixels, ten classes, with a small residual network.

    Accuracy is nearly saturated here (about 98 %): size and time are the point. Few training
    images leave regularization something to do. Calibration (100), validation and test (500 each)
    are stratified and do not depend on `train_images`.

    Args:
        train_images: training images, 20 to 697.
        batch_size: largest training batch.
        width: channels of the first stage; the second has twice as many.
        split_seed: of the division into splits.
    """

    name = "digits"
    note = (
        "Accuracy is nearly saturated on these digits (about 98 % dense): size and time are the point. "
        "Few training images leave regularization something to do."
    )
    chance = 0.9
    training: ClassVar[Mapping[str, Any]] = {
        "lr": 0.05,
        "weight_decay": 5e-4,
        "epochs": 10,
        "finetune_epochs": 4,
        "qat_epochs": 2,
    }

    def __init__(self, train_images: int = 400, batch_size: int = 32, width: int = 16, split_seed: int = 0) -> None:
        if not 20 <= train_images <= LARGEST_TRAIN:
            raise InputError(f"task digits: train_images is {train_images}; expected 20 to {LARGEST_TRAIN}")
        if batch_size < 2 or width < 1:
            raise InputError(f"task digits: batch_size is {batch_size}, width {width}; expected at least 2 and 1")
        self.train_images, self.batch_size, self.width, self.split_seed = train_images, batch_size, width, split_seed

    @cached_property
    def _data(self) -> tuple[Tensor, Tensor]:
        from sklearn.datasets import load_digits

        data = load_digits()
        x = torch.from_numpy(data.images).float()[:, None] / 8.0 - 1.0
        return x, torch.from_numpy(data.target).long()

    def build_model(self) -> nn.Module:
        """Stem and two stages (8×8, 4×4) of residual blocks."""
        return models.ConvNet(10, (self.width, 2 * self.width), (2, 2))

    def loaders(self, fold: str = "all") -> dict[str, Any]:
        """The four splits; batches (images [n, 1, 8, 8] in [-1, 1], labels [n])."""
        x, y = self._data
        order = stratified_order(y.numpy(), self.split_seed)
        sizes = TEST, VALIDATION, CALIBRATION, self.train_images
        parts = dict(zip(reversed(SPLITS), cut(order, sizes), strict=True))
        return {
            split: loader.BatchLoader(
                x,
                y,
                batch_size=self.batch_size if split == "train" else 250,
                shuffle=split == "train",
                indices=torch.from_numpy(parts[split]),
            )
            for split in SPLITS
        }
