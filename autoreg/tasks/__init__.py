"""Tasks: a model and its data, what a recipe is applied to.

`import autoreg.tasks` imports no torch; what needs it is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.tasks.base import Task
from autoreg.tasks.batches import batch_size_of, call_model, inputs_of, logits_of, targets_of, to_device
from autoreg.tasks.check import check_task
from autoreg.tasks.locate import task_names
from autoreg.tasks.registry import load_task, task_spec
from autoreg.tasks.splits import named_sets, seed_loaders, split_loaders

if TYPE_CHECKING:
    from autoreg.tasks.loader import BatchLoader

_loader = lazy_module("autoreg.tasks.loader")  # its classes are subclasses of torch's

__all__ = [
    "BatchLoader",
    "Task",
    "batch_size_of",
    "call_model",
    "check_task",
    "inputs_of",
    "load_task",
    "logits_of",
    "named_sets",
    "seed_loaders",
    "split_loaders",
    "targets_of",
    "task_names",
    "task_spec",
    "to_device",
]


def __getattr__(name: str) -> Any:
    if name == "BatchLoader":
        return _loader.BatchLoader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
