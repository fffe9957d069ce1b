"""A task of your own. A study beside this file names it `task: {custom_task.py:WineTask: {hidden: 32}}`."""

from typing import Any, ClassVar

from sklearn.datasets import load_wine
from torch import nn

from autoreg.tasks import Task, split_loaders


class WineTask(Task):
    training: ClassVar = {"lr": 0.05, "epochs": 20}  # what is not said here has a default

    def __init__(self, hidden: int = 64) -> None:
        self.hidden = hidden

    def build_model(self) -> nn.Module:
        width = self.hidden
        first = [nn.Linear(13, width), nn.BatchNorm1d(width), nn.ReLU()]
        return nn.Sequential(*first, nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))

    def loaders(self, fold: str) -> dict[str, Any]:
        x, y = load_wine(return_X_y=True)
        return split_loaders(x, y, batch_size=32, standardize=True)
