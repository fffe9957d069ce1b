"""What "joint against sequential" is measured on: tasks cut to a size, choices and margins, fixed beforehand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.errors import InputError
from autoreg.tasks.speech import SpeechTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

Tree = dict[str, Any]

KD: Tree = {
    "kd": {
        "of": ["dense", "ensemble"],
        "members": 4,
        "temperature": {"log": [1, 8]},
        "weight": {"uniform": [0.5, 1.0]},
    }
}
ABLATIONS = ("network", "teacher", "averaging", "training", "cocktails")
"""What a joint arm may go without; `training` is how long a recipe trains."""


class SmallSpeech(SpeechTask):
    """The speech task at a quarter of its resolution (means over two bands and two steps of time), a block less."""

    name = "speech"
    training: ClassVar[Mapping[str, Any]] = {"epochs": 6, "finetune_epochs": 2, "qat_epochs": 1}

    @cached_property
    def _data(self) -> tuple[Tensor, Tensor, NDArray[np.str_]]:
        from torch.nn.functional import avg_pool2d

        x, y, speaker = SpeechTask._data.func(self)  # type: ignore[attr-defined]
        return avg_pool2d(x, 2), y, speaker

    def build_model(self) -> nn.Module:
        """A stem that divides height and width by four, a stage of two blocks and one of one block."""
        from autoreg.tasks.models import ConvNet

        return ConvNet(self._classes, (self.width, 2 * self.width), (2, 1), halvings=2)


@dataclass(frozen=True)
class Family:
    """One way in which the sequential arm removes: a structure (or "drop"), an allocation, blocks dropped beside it."""

    structure: str
    rule: str = ""
    dropped: int = 0


# many arguments: the specification of one task, every part of it varies
@dataclass(frozen=True)
class Case:
    """One task of the benchmark.

    Attributes:
        name: of the task.
        task: how it is found, `package.module:factory` or a name.
        params: its sizes; files are given when it runs.
        width: channels or features of the dense network (its parameter `width`).
        narrow: widths of the small networks.
        training: what may vary in how a network is trained, in the words of a space; every arm tunes it.
        removal: what may be removed of it, and how: the joint arm searches it, the sequential one walks it.
        bits: of its weights.
        families: how the sequential arm removes.
        amounts: by structure the shares (of blocks the numbers) that it removes, coarse before fine.
        tolerance: error above the dense network's from which on nothing counts.
        near: error above the dense network's up to which a network counts as good as it.
        axes: what the joint arms vary beside training, removal and bits: the network from the start, its teacher,
            averaging, and how long it trains.
        quality: the task's metric that counts as the error.
    """

    name: str
    task: str
    params: Mapping[str, Any]
    width: int
    narrow: tuple[int, ...]
    training: Tree
    removal: Tree
    bits: tuple[int, ...]
    families: tuple[Family, ...]
    amounts: Mapping[str, tuple[float, ...]]
    tolerance: float
    near: float
    axes: Tree
    quality: str = "error"

    @property
    def digest(self) -> str:
        """Eight hex digits of all that a run depends on: runs of other sizes are other runs."""
        fields = {k: v for k, v in asdict(self).items() if k not in ("tolerance", "near")}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]

    def joint(self, without: str = "") -> Tree:
        """The whole space: how to train, what to remove, how many bits, and the axes of the case.

        Args:
            without: one of `ABLATIONS`, left out.
        """
        quantization = {"quantizer": ["rtn", "lsq"], "weights": {"bits": list(self.bits)}}
        space: Tree = {**self.training, **self.removal, "quantization": quantization}
        for name, node in self.axes.items():
            if name != without:
                space[name] = {**space["training"], **node} if name == "training" else node
        if without != "cocktails":
            options = [option for option in self.training["regularizer"] if option != "none"]
            space["regularizer"] = {"any_of": options}
        return space

    def dense(self, **epochs: int) -> Tree:
        """The part of the space that says how a network is trained, at so many epochs."""
        return {**self.training, "training": {**self.training["training"], **epochs}}

    def distilled(self, width: int, **epochs: int) -> Tree:
        """The same for a narrow network that learns from the dense one, or from several."""
        return {**self.dense(**epochs), "network": {"width": width / self.width}, "teacher": KD}


def _axes(narrowest: float, epochs: tuple[int, int]) -> Tree:
    return {
        "network": {"width": {"log": [narrowest, 1.0]}},
        "teacher": ["none", KD],
        "averaging": ["none", "ema", "lawa"],
        "training": {"epochs": {"log_int": list(epochs)}},
    }


def _removal(channels: float, round_to: int) -> Tree:
    weight = {
        "criterion": ["magnitude", "wanda"],
        "allocation": ["uniform", "erk", "lamp", "global"],
        "amount": {"uniform": [0.3, 0.97]},
        "schedule": ["one_shot", "gradual"],
    }
    channel = {
        "criterion": ["magnitude", "taylor"],
        "allocation": ["uniform", "global"],
        "amount": {"uniform": [0.1, channels]},
        "schedule": ["one_shot", "gradual"],
        "round_to": round_to,
    }
    drop = ["none", {"angular": {"count": {"int": [1, 2]}}}, {"last": {"count": {"int": [1, 2]}}}]
    return {"sparsity": ["none", {"weight": weight}, {"channel": channel}], "layers": {"drop": drop}}


FAMILIES = (
    Family("weight", "sensitivity"),
    Family("weight", "lamp"),
    Family("channel", "global"),
    Family("channel", "uniform"),
    Family("drop"),
    Family("weight", "lamp", 1),
    Family("channel", "uniform", 1),
    Family("weight", "global"),
)
WEIGHTS = (0.8, 0.9, 0.5, 0.95, 0.7, 0.97, 0.85, 0.6, 0.93, 0.3, 0.4, 0.65, 0.75)

SPEECH = Case(
    name="speech",
    task="benchmarks.premise_tasks:SmallSpeech",
    params={"folds": 3, "train_per_class": 60, "batch_size": 32},
    width=16,
    narrow=(12, 8, 6, 4),
    training={
        "regularizer": [
            "none",
            {"l1": {"strength": {"log": [0.1, 30]}}},
            {"label_smoothing": {"theta": {"uniform": [0.02, 0.3]}, "switch_off": {"uniform": [0.5, 1.0]}}},
        ],
        "noise": [
            "none",
            {"dropout": {"rate": {"uniform": [0.05, 0.6]}}},
            {"cutout": {"share": {"uniform": [0.1, 0.5]}}},
        ],
        "training": {"lr": {"log": [1e-2, 3e-1]}, "weight_decay": {"log": [1e-5, 3e-2]}},
    },
    removal=_removal(0.75, 4),
    bits=(2, 4, 8, 32),
    families=FAMILIES,
    amounts={"weight": WEIGHTS, "channel": (0.5, 0.25, 0.75, 0.6, 0.4), "drop": (1, 2)},
    tolerance=0.10,
    near=0.01,
    axes=_axes(0.2, (3, 15)),
)

ADULT = Case(
    name="adult",
    task="benchmarks.adult:Adult",
    params={},
    width=64,
    narrow=(16, 8, 4, 2),
    training={
        "regularizer": [
            "none",
            {"l1": {"strength": {"log": [0.1, 30]}}},
            {"label_smoothing": {"theta": {"uniform": [0.02, 0.2]}, "switch_off": {"uniform": [0.5, 1.0]}}},
        ],
        "noise": ["none", {"dropout": {"rate": {"uniform": [0.05, 0.5]}}}],
        "training": {"lr": {"log": [1e-3, 3e-1]}, "weight_decay": {"log": [1e-6, 1e-1]}},
    },
    removal=_removal(0.95, 2),
    bits=(2, 4, 8, 32),
    families=FAMILIES,
    amounts={"weight": WEIGHTS, "channel": (0.75, 0.9, 0.5, 0.95, 0.85, 0.65, 0.25), "drop": (2, 1)},
    tolerance=0.02,
    near=0.01,
    axes=_axes(0.03, (2, 12)),
)


def _like(case: Case, **changed: Any) -> Case:
    return Case(**{**{name: getattr(case, name) for name in Case.__dataclass_fields__}, **changed})


TABULAR = _like(
    ADULT,
    name="tabular",
    task="tabular",
    width=32,
    narrow=(16, 8),
    params={"blocks": 2},
    tolerance=0.05,
    axes=_axes(0.06, (5, 40)),
)
"""A table of 569 rows that comes with scikit-learn, breast cancer."""

WINE = _like(TABULAR, name="wine", params={"blocks": 2, "data": "wine"}, tolerance=0.10)
"""A table of 178 rows that comes with scikit-learn."""

DIGITS = _like(
    SPEECH,
    name="digits",
    task="digits",
    params={"train_images": 400},
    narrow=(8, 6, 4, 3),
    near=0.01,
    axes=_axes(0.18, (5, 40)),
)

MNIST = _like(
    SPEECH,
    name="mnist",
    task="benchmarks.mnist:Mnist",
    params={"train_images": 2000, "width": 16},
    narrow=(8, 6, 4, 3),
    tolerance=0.05,
    axes=_axes(0.18, (2, 9)),
)

CHAR_LM = _like(
    ADULT,
    name="char_lm",
    task="char_lm",
    params={"steps": 40},
    narrow=(48, 32, 24, 16),
    training={
        "regularizer": ["none", {"l1": {"strength": {"log": [0.1, 30]}}}, {"sam": {"rho": {"uniform": [0.01, 0.1]}}}],
        "noise": ["none", {"dropout": {"rate": {"uniform": [0.02, 0.3]}}}],
        "training": {"lr": {"log": [1e-3, 2e-2]}, "weight_decay": {"log": [1e-3, 1]}},
    },
    removal=_removal(0.6, 4),
    tolerance=0.5,
    near=0.05,
    axes=_axes(0.25, (4, 16)),
    quality="bpc",
)

CASES = {case.name: case for case in (DIGITS, ADULT, SPEECH, MNIST, TABULAR, WINE, CHAR_LM)}


def case_of(name: str) -> Case:
    """The case of that name.

    Raises:
        InputError: there is none.
    """
    if name not in CASES:
        raise InputError(f"premise: no task {name!r}; allowed are {', '.join(CASES)}")
    return CASES[name]
