"""Adult (census income) from its two CSV files, with a residual MLP."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.tasks import Task
from autoreg.tasks.loader import BatchLoader
from autoreg.tasks.models import MLP
from autoreg.tasks.splits import cut, stratified_order

VALIDATION, CALIBRATION = 0.2, 0.02
"""Shares of the rows of the training file; the rest trains."""
EVAL_BATCH = 1000

Rows = list[list[str]]


class Adult(Task):
    """Whether a person earns more than 50,000 dollars a year; the rows of the test file are the test split, no others.

    Numeric columns are standardized with the mean and deviation of the training rows; the others are one-hot with a
    column for each value of the training file (`?`, a missing value, is one of them), all zeros for a value that it
    does not have. The training file gives a fifth for validation and 2 % for calibration, stratified.

    Args:
        train: CSV without header, the label in the last column.
        test: the same, of other people.
        train_rows: training rows; all when 0.
        eval_rows: rows of validation and of test; all when 0.
        batch_size: largest training batch.
        width: features of each layer.
        blocks: residual blocks of two layers, each of which can be dropped.
        split_seed: of the division into splits and of the subsets.
    """

    name = "adult"
    training: ClassVar[Mapping[str, Any]] = {
        "lr": 0.02,
        "weight_decay": 1e-3,
        "epochs": 5,
        "finetune_epochs": 2,
        "qat_epochs": 1,
    }
    needs: ClassVar[Mapping[str, str]] = {
        "train": "adult.data, a CSV file without header, the label in the last column",
        "test": "adult.test, a CSV file of the same columns",
    }
    locations = ("train", "test")
    latency_batch = 256

    def __init__(
        self,
        train: str,
        test: str,
        train_rows: int = 0,
        eval_rows: int = 0,
        batch_size: int = 128,
        width: int = 64,
        blocks: int = 3,
        split_seed: int = 0,
    ) -> None:
        if min(train_rows, eval_rows, blocks) < 0 or batch_size < 2 or width < 1:
            raise InputError(
                f"task adult: train_rows is {train_rows}, eval_rows {eval_rows}, blocks {blocks}, batch_size "
                f"{batch_size}, width {width}; expected at least 0, 0, 0, 2 and 1"
            )
        self.train, self.test = Path(train), Path(test)
        self.train_rows, self.eval_rows = train_rows, eval_rows
        self.batch_size, self.width, self.blocks, self.split_seed = batch_size, width, blocks, split_seed

    @cached_property
    def _splits(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Inputs [n, features] float32 and labels [n] int64 of each split."""
        train, test = read_rows(self.train), read_rows(self.test)
        if len(train[0]) != len(test[0]):
            raise InputError(f"task adult: {len(train[0])} columns in the training file, {len(test[0])} in the other")
        y, y_test = labels(train), labels(test)
        order = stratified_order(y, self.split_seed)
        sizes = round(VALIDATION * len(y)), round(CALIBRATION * len(y))
        validation, calibration, rest = cut(order, (*sizes, len(y) - sum(sizes)))
        rows, validation = rest[: self.train_rows or None], validation[: self.eval_rows or None]
        own, other = encoded(train, test, rows)
        tested = np.sort(stratified_order(y_test, self.split_seed)[: self.eval_rows or None])
        return {
            "train": (torch.from_numpy(own[rows]), torch.from_numpy(y[rows])),
            "calibration": (torch.from_numpy(own[calibration]), torch.from_numpy(y[calibration])),
            "validation": (torch.from_numpy(own[validation]), torch.from_numpy(y[validation])),
            "test": (torch.from_numpy(other[tested]), torch.from_numpy(y_test[tested])),
        }

    def build_model(self) -> nn.Module:
        """An MLP with batch norm and residual blocks."""
        return MLP(self._splits["train"][0].shape[1], 2, self.width, self.blocks)

    def loaders(self, fold: str = "all") -> dict[str, Any]:
        """The four splits; batches (columns [n, features], labels [n], 1 for more than 50,000 dollars)."""
        return {
            split: BatchLoader(
                x, y, batch_size=self.batch_size if split == "train" else EVAL_BATCH, shuffle=split == "train"
            )
            for split, (x, y) in self._splits.items()
        }


def read_rows(path: Path) -> Rows:
    """The rows of a CSV file, spaces around values taken away; empty lines and lines that begin with `|` are left out.

    Raises:
        InputError: there is no such file, it is empty, or its rows differ in length.
    """
    if not path.is_file():
        raise InputError(
            f"task adult: no file {str(path)!r}; say where the CSV files are with -p train=... -p test=..."
        )
    with path.open(encoding="utf-8", newline="") as file:
        rows = [[value.strip() for value in row] for row in csv.reader(file) if row and not row[0].startswith("|")]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or min(lengths) < 2:
        raise InputError(
            f"task adult: {path.name} has rows of {sorted(lengths)} values; expected one number, 2 or more"
        )
    return rows


def labels(rows: Rows) -> NDArray[np.int64]:
    """The last column as 0 (`<=50K`) and 1 (`>50K`), with or without a full stop, as the test file has it; [n].

    Raises:
        InputError: it holds something else.
    """
    found = [row[-1].rstrip(".") for row in rows]
    for value in found:
        if value not in ("<=50K", ">50K"):
            raise InputError(f"task adult: the label is {value!r}; expected <=50K or >50K")
    return np.array([value == ">50K" for value in found], dtype=np.int64)


def encoded(
    train: Rows, test: Rows, rows: Sequence[int] | NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """All columns but the last of both files as numbers.

    Args:
        train: rows of the training file; a column is numeric if every value of it is a number.
        test: rows of the test file.
        rows: the rows of `train` that give mean and deviation.

    Returns:
        float32 [n, features] and [m, features].
    """
    own: list[NDArray[np.float64]] = []
    other: list[NDArray[np.float64]] = []
    for position in range(len(train[0]) - 1):
        mine, theirs = ([row[position] for row in part] for part in (train, test))
        try:
            a, b = np.array(mine, dtype=float)[:, None], np.array(theirs, dtype=float)[:, None]
        except ValueError:
            kinds = np.array(sorted(set(mine)))
            a, b = (np.equal.outer(np.array(part), kinds).astype(float) for part in (mine, theirs))
        else:
            mean, deviation = a[rows].mean(), a[rows].std()
            a, b = ((part - mean) / (deviation if deviation > 0 else 1.0) for part in (a, b))
        own.append(a)
        other.append(b)
    return np.hstack(own).astype(np.float32), np.hstack(other).astype(np.float32)
