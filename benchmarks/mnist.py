"""MNIST from an .npz file (x_train, y_train, x_test, y_test), with a residual network of 697,000 weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from autoreg.tasks import Task
from autoreg.tasks.loader import BatchLoader
from autoreg.tasks.models import ConvNet


class Mnist(Task):
    """28×28 digits; calibration and validation are taken from the training images.

    Args:
        path: the .npz file.
        train_images: training images.
        width: channels of the first of three stages.
    """

    name = "mnist"
    training: ClassVar[Mapping[str, Any]] = {"lr": 0.05, "epochs": 3, "finetune_epochs": 1, "qat_epochs": 1}
    needs: ClassVar[Mapping[str, str]] = {"path": "an .npz file with x_train, y_train, x_test and y_test"}
    latency_batch = 32

    def __init__(self, path: str, train_images: int = 8000, width: int = 32) -> None:
        self.path, self.train_images, self.width = Path(path), train_images, width

    @cached_property
    def _data(self) -> dict[str, tuple[Tensor, Tensor]]:
        with np.load(self.path, allow_pickle=False) as file:
            raw = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
        return {
            part: (
                torch.from_numpy(raw[f"x_{part}"]).float()[:, None] / 127.5 - 1.0,
                torch.from_numpy(raw[f"y_{part}"]).long(),
            )
            for part in ("train", "test")
        }

    def build_model(self) -> nn.Module:
        """A stem that halves height and width, three stages of two residual blocks."""
        return ConvNet(10, (self.width, 2 * self.width, 4 * self.width), (2, 2, 2), halvings=1)

    def loaders(self, fold: str) -> dict[str, Any]:
        """The four splits."""
        order = torch.randperm(60_000, generator=torch.Generator().manual_seed(0))
        train, calibration, validation = order[: self.train_images], order[-2200:-2000], order[-2000:]
        x, y = self._data["train"]
        return {
            "train": BatchLoader(x, y, batch_size=64, shuffle=True, indices=train),
            "calibration": BatchLoader(x, y, batch_size=200, indices=calibration),
            "validation": BatchLoader(x, y, batch_size=250, indices=validation),
            "test": BatchLoader(*self._data["test"], batch_size=250, indices=torch.arange(2000)),
        }
