"""Small tables that come with scikit-learn, and an MLP."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks.base import Task
from autoreg.tasks.splits import split_loaders

if TYPE_CHECKING:
    from torch import nn

    from autoreg.tasks import models
else:
    models = lazy_module("autoreg.tasks.models")


class TabularTask(Task):
    """scikit-learn's breast cancer (569 rows, 30 columns, 2 classes) or wine (178, 13, 3) with a residual MLP.

    Columns are standardized with the mean and deviation of the training rows alone. Half of the
    rows train, a tenth calibrates, a fifth each validates and tests, stratified.

    Args:
        data: "breast_cancer" or "wine".
        batch_size: largest training batch.
        width: features of each layer.
        blocks: residual blocks of two layers, each of which can be dropped.
        split_seed: of the division into splits.
    """

    name = "tabular"
    training: ClassVar[Mapping[str, Any]] = {
        "lr": 0.02,
        "weight_decay": 1e-3,
        "epochs": 15,
        "finetune_epochs": 5,
        "qat_epochs": 3,
    }
    latency_batch = 256

    def __init__(
        self,
        data: Literal["breast_cancer", "wine"] = "breast_cancer",
        batch_size: int = 32,
        width: int = 64,
        blocks: int = 3,
        split_seed: int = 0,
    ) -> None:
        if batch_size < 2 or width < 1 or blocks < 0:
            raise InputError(
                f"task tabular: batch_size is {batch_size}, width {width}, blocks {blocks}; "
                "expected at least 2, 1 and 0"
            )
        self.data, self.batch_size, self.width, self.blocks, self.split_seed = (
            data,
            batch_size,
            width,
            blocks,
            split_seed,
        )

    @cached_property
    def _table(self) -> tuple[Any, Any]:
        from sklearn.datasets import load_breast_cancer, load_wine

        load = {"breast_cancer": load_breast_cancer, "wine": load_wine}.get(self.data)
        if load is None:
            raise InputError(f"task tabular: data is {self.data!r}; expected breast_cancer or wine")
        x, y = load(return_X_y=True)
        return x, y

    def build_model(self) -> nn.Module:
        """An MLP with batch norm and residual blocks."""
        x, y = self._table
        return models.MLP(x.shape[1], int(y.max()) + 1, self.width, self.blocks)

    def loaders(self, fold: str = "all") -> dict[str, Any]:
        """The four splits; batches (columns [n, features], labels [n])."""
        x, y = self._table
        return dict(split_loaders(x, y, batch_size=self.batch_size, seed=self.split_seed, standardize=True))
