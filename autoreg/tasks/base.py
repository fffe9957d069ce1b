"""The base class of all tasks."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks import fingerprint as _fingerprint
from autoreg.tasks.batches import inputs_of, logits_of, repeat, take, targets_of, to_device
from autoreg.tasks.params import suggestion
from autoreg.tasks.splits import named_sets, seed_loaders

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")

TRAINING_DEFAULTS: dict[str, Any] = {
    "lr": 0.05,
    "weight_decay": 1e-4,
    "epochs": 10,
    "finetune_epochs": 4,
    "qat_epochs": 2,
    "optimizer": "sgd",
}
OPTIONAL_TRAINING_KEYS = ("start", "momentum", "batch_size", "schedule")


class Task:
    """A model and its data, with loss and metrics: what a recipe is applied to.

    A task of your own defines `build_model` and `loaders`, and what differs from these defaults,
    which are those of classification. A task does not change once it is made: what depends on
    settings takes them as arguments of its constructor, where `load_task` checks them against
    their annotations and `fingerprint` finds them.

    Attributes:
        name: one word, for tables and folders; the class's name in snake case unless given.
        quality: the metric to minimize, a key of what `metrics` returns.
        folds: names that `loaders` is called with; a trial is scored by its mean over them.
        training: defaults for the recipe's section `training`; what a subclass leaves out is inherited.
        latency_batch: samples in one timed call. At batch 1 a small network spends its time on
            calls, not on arithmetic, so that removed channels would not be seen.
        note: what a reader of results should know of this task; it stands on the page of every study.
        needs: what a parameter without a default is, by its name: shown when it is missing.
        locations: parameters that say only where data is; the fingerprint ignores them (it holds the data).
    """

    name: ClassVar[str] = "task"
    quality: str = "error"
    folds: tuple[str, ...] = ("all",)
    training: ClassVar[Mapping[str, Any]] = TRAINING_DEFAULTS
    latency_batch: int = 64
    needs: ClassVar[Mapping[str, str]] = {}
    note: ClassVar[str] = ""
    locations: ClassVar[tuple[str, ...]] = ("path",)

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    _factory: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__.removesuffix("Task") or "Task").lower()
        given = vars(cls).get("training")
        if isinstance(given, Mapping):
            allowed = (*TRAINING_DEFAULTS, *OPTIONAL_TRAINING_KEYS)
            for key in given:
                if key not in allowed:
                    raise InputError(f"task {cls.name}: training has no {key!r}{suggestion(key, allowed)}")
            inherited = next(base.training for base in cls.__mro__[1:] if hasattr(base, "training"))
            cls.training = {**inherited, **given}

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the object and keep the arguments, for `parameters` and `fingerprint`."""
        if cls.__init__ is object.__init__ and (args or kwargs):
            raise TypeError(f"{cls.__name__} takes no arguments")
        self = super().__new__(cls)
        object.__setattr__(self, "_arguments", (args, kwargs))
        return self

    # what a task must define

    def build_model(self) -> nn.Module:
        """A new, untrained (or pretrained) model on the CPU; random only through torch's global generator."""
        raise NotImplementedError(f"task {self.name}: define build_model()")

    def loaders(self, fold: str) -> dict[str, Any]:
        """Loaders of "train", "calibration", "validation" and "test" for one of `folds`, disjoint.

        A loader is any iterable of batches that can be iterated again; "validation" and "test" may
        also be mappings from names to loaders. Each call gives new loaders that start alike.
        Shuffling is a function of `set_seed(int)` where the loader has it (`BatchLoader`), or else
        of the loader's `generator` or torch's global generator, which the trainer seeds per phase.
        """
        raise NotImplementedError(f"task {self.name}: define loaders(fold)")

    # what it may redefine

    def pretrained(self) -> Mapping[str, Tensor] | None:
        """Trained weights that recipes with `start: pretrained` begin with, as a state dict of `build_model()`.

        None, as here: the dense network is trained once with the task's own settings, and shared.
        """
        return None

    @property
    def chance(self) -> float:
        """Quality at chance level; for the error rate, that of always naming the most frequent training class.

        A subclass may simply say `chance = 0.9`.
        """
        if self.quality != "error":
            raise InputError(f"task {self.name}: define `chance`, the {self.quality} of a model that knows nothing")
        loader = self.loaders(self.folds[0])["train"]
        seed_loaders(loader, 0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            counts = torch.bincount(torch.cat([targets_of(batch).flatten() for batch in loader]))
        return 1.0 - float(counts.max()) / float(counts.sum())

    def inputs(self, batch: Any) -> Any:
        """What the model is called with: the first entry of a tuple; tensors and mappings as they are."""
        return inputs_of(batch)

    def targets(self, batch: Any) -> Any:
        """The last entry of a tuple, or a mapping's `labels`."""
        return targets_of(batch)

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean cross entropy in nats of logits [..., classes] and targets [...]; a model's own `.loss` goes first."""
        own = getattr(output, "loss", None)
        if own is not None:
            return torch.as_tensor(own)
        logits, targets = logits_of(output), self.targets(batch)
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    def metrics(self, outputs: list[Any], batches: list[Any]) -> dict[str, float]:
        """Figures of one split, among them the one that `quality` names.

        Args:
            outputs: what the model gave for each batch.
            batches: the batches themselves, on the device of the outputs.

        Returns:
            "error", the fraction of wrong answers in [0, 1], and "loss", the mean cross entropy in nats.
        """
        wrong = count = 0
        nats = 0.0
        for output, batch in zip(outputs, batches, strict=True):
            logits, targets = logits_of(output), self.targets(batch)
            size = targets.numel()
            wrong += int((logits.argmax(dim=-1) != targets).sum())
            nats += float(self.loss(output, batch)) * size
            count += size
        return {"error": wrong / count, "loss": nats / count}

    def example_input(self) -> Any:
        """What the model is called with for one sample (batch of 1): the first of the validation data."""
        split = named_sets(self.loaders(self.folds[0])["validation"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            batch = next(iter(next(iter(split.values()))))
        return to_device(take(self.inputs(batch), slice(0, 1)), "cpu")

    def latency_input(self) -> Any:
        """What the model is called with when it is timed: `latency_batch` copies of the example."""
        return repeat(self.example_input(), self.latency_batch)

    # what holds for all

    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments by name, defaults included."""
        if type(self).__init__ is object.__init__:
            return {}
        args, kwargs = self._arguments
        bound = inspect.signature(type(self).__init__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def data_digest(self) -> str:
        """Digest of the data of every split of every fold, 16 hex digits.

        It reads all data once. A task on very large data redefines it: a version, or file names and times.
        """
        return _fingerprint.data_digest(self)

    def fingerprint(self) -> str:
        """Identity of the task, 64 hex digits: its class, parameters, data, model and the source of all these.

        Equal in every process and on every machine where these are equal. Computed once.
        """
        known: str | None = vars(self).get("_fingerprint")
        if known is None:
            known = _fingerprint.fingerprint(self)
            object.__setattr__(self, "_fingerprint", known)
        return known

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.parameters().items())
        return f"{type(self).__name__}({arguments})"


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2.0)
