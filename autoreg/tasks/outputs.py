"""What form the outputs of a task's network have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks.batches import call_model, logits_of, to_device
from autoreg.tasks.splits import seed_loaders

if TYPE_CHECKING:
    import torch
    from torch import nn

    from autoreg.tasks.base import Task
else:
    torch = lazy_module("torch")


def output_form(task: Task, model: nn.Module) -> str:
    """What a task's network gives: `classes` (logits over them), `values` (numbers), or `unknown`.

    By one training batch: targets that are whole numbers name classes in the last dimension of the logits,
    floating-point ones shaped like the outputs are numbers.

    Args:
        task: gives the batch.
        model: of the task, on the CPU; its weights do not matter.
    """
    loader = task.loaders(task.folds[0])["train"]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        seed_loaders(loader, 0)
        batch = to_device(next(iter(loader)), "cpu")
        try:
            logits, targets = logits_of(call_model(model.eval(), task.inputs(batch))), task.targets(batch)
        except InputError:
            return "unknown"
    if not isinstance(targets, torch.Tensor) or not logits.is_floating_point():
        return "unknown"
    if not targets.is_floating_point():
        return "classes" if logits.ndim > 1 and logits.shape[-1] > 1 else "unknown"
    return "values" if targets.squeeze(-1).shape == logits.squeeze(-1).shape else "unknown"
