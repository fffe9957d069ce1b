"""A task that trains in a tenth of a second: 8x8 digits on a residual network of a few channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from autoreg.engine.log.trial import Trial
from autoreg.tasks import Task
from autoreg.tasks.splits import split_loaders
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))


class TinyTask(Task):
    """200 digits."""

    training: ClassVar[dict[str, Any]] = {"epochs": 2, "finetune_epochs": 1, "qat_epochs": 1, "lr": 0.1}
    latency_batch = 4

    def build_model(self) -> nn.Module:
        stem = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        return nn.Sequential(
            stem, nn.Sequential(Block(8), Block(8)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
        )

    def loaders(self, fold: str) -> dict[str, Any]:
        x, y = load_digits(return_X_y=True)
        return dict(split_loaders(x[:200].reshape(-1, 1, 8, 8) / 16, y[:200]))


@pytest.fixture
def objective(tmp_path: Path) -> TaskObjective:
    """The tiny task as an objective, with a store of its own."""
    return TaskObjective(TaskRef(TinyTask(), {}), TrialOptions(str(tmp_path / "store")), latency=False)


def evaluate(objective: TaskObjective, recipe: dict[str, Any], seed: int = 0) -> tuple[dict[str, float], Trial]:
    """Metrics of a recipe, and the trial that recorded them."""
    trial = Trial(seed=seed)
    return objective(objective.setup.complete(recipe), trial), trial
