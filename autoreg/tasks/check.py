"""Whether a task keeps its contract, before anything is trained on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks.base import Task
from autoreg.tasks.batches import batch_size_of, call_model, tensors_of
from autoreg.tasks.fingerprint import initial_model, tensor_digest
from autoreg.tasks.params import suggestion
from autoreg.tasks.splits import SPLITS, named_sets, seed_loaders

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

MAX_EQUAL_FRACTION = 0.5  # natural data holds some equal samples; more than this is one split given twice


def check_task(task: Task, *, samples: int = 20_000) -> list[str]:
    """Check splits, model, loss and metrics of a task on a few batches; nothing is trained.

    Args:
        task: the task.
        samples: splits that cannot be told apart by their indices are compared by content, up to so many samples each.

    Returns:
        Notes on what could not be checked, and on equal samples in different splits; mostly empty.

    Raises:
        InputError: naming what is wrong: a missing or empty split, splits that overlap, a model that does not
            run on `example_input()` or on a batch, a loss that is no finite scalar, metrics without a finite
            value of `quality`, `folds` or `chance` that make no sense.
    """
    if not task.folds or len(set(task.folds)) != len(task.folds):
        raise InputError(f"task {task.name}: folds are {task.folds!r}; expected one name or more, each once")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        notes: list[str] = []
        for fold in task.folds:
            loaders = task.loaders(fold)
            _check_splits(f"task {task.name}, fold {fold!r}", loaders)
            seed_loaders(loaders, 0)
            notes += check_disjoint(f"task {task.name}, fold {fold!r}", loaders, samples)
        _check_model(task)
    if not math.isfinite(task.chance) or task.chance <= 0:
        raise InputError(f"task {task.name}: chance is {task.chance!r}; expected a positive number")
    return notes


def _check_splits(place: str, loaders: Any) -> None:
    if not isinstance(loaders, Mapping):
        raise InputError(
            f"{place}: loaders() gave a {type(loaders).__name__}; expected a mapping of {', '.join(SPLITS)}"
        )
    for split in SPLITS:
        if split not in loaders:
            raise InputError(
                f"{place}: no split {split!r} among {', '.join(map(str, loaders))}; expected {', '.join(SPLITS)}"
            )
    for split in loaders:
        if split not in SPLITS:
            raise InputError(f"{place}: split {split!r} is unknown{suggestion(split, SPLITS)}")
        if split in ("train", "calibration") and isinstance(loaders[split], Mapping):
            raise InputError(f"{place}: split {split!r} is a mapping; only validation and test may be several")
        for name, loader in named_sets(loaders[split]).items():
            if iter(loader) is loader:
                raise InputError(f"{place}: split {split}/{name} is an iterator; expected what can be iterated again")
            if next(iter(loader), None) is None:
                raise InputError(f"{place}: split {split}/{name} is empty")


def check_disjoint(place: str, loaders: Mapping[str, Any], samples: int) -> list[str]:
    """Raise `InputError` if two splits share samples; return notes on pairs that could not be compared.

    Splits that index the same data set are compared by index, others by content: there it takes half
    of the smaller one, and less is a note, since natural data holds some samples twice.
    """
    sets = [(f"{split}/{name}", loader) for split in loaders for name, loader in named_sets(loaders[split]).items()]
    notes: list[str] = []
    contents: dict[str, set[str] | None] = {}
    for position, (left, a) in enumerate(sets):
        for right, b in sets[position + 1 :]:
            by_index = _shared_indices(a, b)
            if by_index is not None:
                if by_index:
                    raise InputError(f"{place}: {left} and {right} share {by_index} samples; splits must be disjoint")
                continue
            for name, loader in ((left, a), (right, b)):
                if name not in contents:
                    contents[name] = _contents(loader, samples)
            one, two = contents[left], contents[right]
            if one is None or two is None:
                notes.append(f"{place}: more than {samples} samples; {left} and {right} were not compared")
            elif one & two:
                same = f"{place}: {left} and {right} share {len(one & two)} samples"
                if len(one & two) > MAX_EQUAL_FRACTION * min(len(one), len(two)):
                    raise InputError(f"{same}; splits must be disjoint")
                notes.append(f"{same} of equal content")
    return notes


def _rows(loader: Any) -> tuple[Any, set[int]] | None:
    """The data that a loader draws from and the rows it takes, if it can say so."""
    data = getattr(loader, "dataset", None)
    indices = getattr(data, "indices", None)
    if data is None or indices is None:
        return None
    rows = set(indices.tolist() if hasattr(indices, "tolist") else map(int, indices))
    if hasattr(data, "tensors"):
        return tuple((t.data_ptr(), t.shape) for t in data.tensors), rows
    return id(getattr(data, "dataset", None)), rows


def _shared_indices(a: Any, b: Any) -> int | None:
    one, two = _rows(a), _rows(b)
    if one is None or two is None or one[0] != two[0]:
        return None
    return len(one[1] & two[1])


def _contents(loader: Iterable[Any], samples: int) -> set[str] | None:
    found: set[str] = set()
    count = 0
    for batch in loader:
        tensors = tensors_of(batch)
        for row in range(batch_size_of(batch)):
            found.add("".join(tensor_digest(tensor[row]) for tensor in tensors if tensor.dim() > 0))
            count += 1
            if count > samples:
                return None
    return found


def _check_model(task: Task) -> None:
    place = f"task {task.name}"
    model = initial_model(task)
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"{place}: build_model() gave a {type(model).__name__}; expected a torch.nn.Module")
    loaders = task.loaders(task.folds[0])
    seed_loaders(loaders, 0)
    batch = next(iter(loaders["train"]))
    model.train()
    output = _run(f"{place}: the model on a training batch", model, task.inputs(batch))
    try:
        loss = task.loss(output, batch)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{place}: loss(output, batch) raised {type(error).__name__}: {error}") from error
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not bool(torch.isfinite(loss)):
        raise InputError(f"{place}: loss(output, batch) gave {loss!r}; expected one finite number, as a tensor")
    if not loss.requires_grad:
        raise InputError(f"{place}: the loss has no gradient; are all parameters frozen?")
    model.eval()
    with torch.no_grad():
        _run(f"{place}: the model on example_input()", model, task.example_input())
        batch = next(iter(next(iter(named_sets(loaders["validation"]).values()))))
        metrics = task.metrics([_run(f"{place}: the model on a validation batch", model, task.inputs(batch))], [batch])
    if task.quality not in metrics:
        raise InputError(
            f"{place}: metrics() gave no {task.quality!r}, the task's quality{suggestion(task.quality, metrics)}"
        )
    for name, value in metrics.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(f"{place}: metrics() gave {name} = {value!r}; expected a finite number")


def _run(what: str, model: torch.nn.Module, inputs: Any) -> Any:
    try:
        return call_model(model, inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{what} raised {type(error).__name__}: {error}") from error
