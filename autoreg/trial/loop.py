"""Training, scoring and batch-norm re-estimation: the loops of a trial, one page."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from autoreg.tasks.base import Task
from autoreg.tasks.batches import call_model, to_device
from autoreg.tasks.splits import named_sets
from autoreg.trial.run import Run

RE_ESTIMATED_BATCHES = 16  # over which statistics of batch norm are averaged, at most


class NonFiniteLossError(ArithmeticError):
    """The training loss became NaN or infinite: the trial has failed."""


def phase_seed(seed: int, *parts: object) -> int:
    """A seed for one phase, from the trial's seed and the phase's name and index (63 bits)."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Run a phase with its own randomness; torch's global generator is put back afterwards.

    Dropout and ordinary data loaders draw from the global generator, which takes no argument: it is
    seeded here and restored, and what can be passed a generator gets the one that is yielded.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed ^ 0x5DEECE66D)


def make_optimizer(model: nn.Module, settings: Mapping[str, Any], rate: float = 1.0) -> torch.optim.Optimizer:
    """Build the optimizer of a phase over the parameters that are trained.

    Weight decay acts on tensors of two and more dimensions only: decaying gains, biases and learned
    quantizer steps changes what they mean (van Laarhoven, "L2 regularization versus batch and weight normalization",
    2017, arXiv 1706.05350; catalogue 279).

    Args:
        model: its parameters with `requires_grad` are trained.
        settings: lr, weight_decay, optimizer (sgd, adam, adamw) and momentum of the recipe.
        rate: factor on lr.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    lr = settings["lr"] * rate
    if settings["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=settings["momentum"])
    family: Any = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings["optimizer"]]
    optimizer: torch.optim.Optimizer = family(groups, lr=lr, betas=(settings["momentum"], 0.999))
    return optimizer


COOLDOWN = 0.2  # last part of a run in which a constant rate falls; within the 10 to 20 % of the reference below
WARMUP = 0.05  # first part of a run in which the rate of a cosine rises
WARMUP_EPOCHS = 0.5  # the same for a constant rate, in epochs: as long in a long run as in a short one


def learning_rate(step: int, epochs: int, steps_per_epoch: int, schedule: str = "cosine") -> float:
    """Factor on the learning rate at a step of a run.

    `cosine` rises for 5 % of the run and is half a cosine down to 0.01 then. `constant_cooldown` rises for half an
    epoch, stays at 1, and falls by 1 - sqrt over the last fifth of the run, to 0.01: until then it does not depend on
    the length of the run, so that a longer one contains a shorter one, and rungs compare.

    Args:
        step: steps taken so far, from 0.
        epochs: length of the run.
        steps_per_epoch: at least 1.
        schedule: `cosine` or `constant_cooldown`.

    Reference: Haegele et al., "Scaling laws and compute-optimal training beyond fixed training durations", 2024,
    arXiv 2405.18392 (catalogue 246): 10 to 20 % of 1 - sqrt match the cosine.
    """
    progress = min(1.0, step / max(1, epochs * steps_per_epoch))
    if schedule == "constant_cooldown":
        if step < WARMUP_EPOCHS * steps_per_epoch:
            return (step / (WARMUP_EPOCHS * steps_per_epoch) + 0.2) / 1.2
        return max(1.0 - math.sqrt(max(progress - (1.0 - COOLDOWN), 0.0) / COOLDOWN), 0.01)
    if progress < WARMUP:
        return (progress + 0.01) / 0.06
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))


def fit(
    run: Run,
    task: Task,
    loader: Iterable[Any],
    *,
    epochs: Iterable[int],
    device: torch.device,
    between: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    schedule: str = "cosine",
) -> list[float]:
    """Train for the given epochs of a run and return the mean loss of each.

    Args:
        run: methods, model and optimizer; its length gives the learning rate's schedule.
        task: gives the inputs and the loss of a batch.
        loader: batches of the training split; shuffles by itself.
        epochs: indices of the epochs to train, counted from 0 within the run.
        device: where batches go.
        between: a context manager that is held during each epoch (latency is timed between epochs).
        schedule: of the learning rate, see `learning_rate`.

    Raises:
        NonFiniteLossError: the loss of a step is NaN or infinite.
    """
    state = run.state
    optimizer = state.optimizer
    assert optimizer is not None
    rates = [group["lr"] for group in optimizer.param_groups]
    losses: list[float] = []
    for epoch in epochs:
        total, count = 0.0, 0
        with between():
            state.model.train()
            for batch in loader:
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * learning_rate(state.step, state.epochs, state.steps_per_epoch, schedule)
                here = run.batch(to_device(batch, device))
                loss = run.step(_closure(run, task, here))
                value = float(loss)
                if not math.isfinite(value):
                    raise NonFiniteLossError(f"the training loss became {value} in epoch {epoch + 1}")
                total, count = total + value, count + 1
        losses.append(total / max(1, count))
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    return losses


def _closure(run: Run, task: Task, batch: Any) -> Callable[[], torch.Tensor]:
    def closure() -> torch.Tensor:
        state = run.state
        assert state.optimizer is not None
        state.optimizer.zero_grad()
        output = forward(state.model, task, batch)
        loss = run.loss(output, task.loss(output, batch))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return closure


def forward(model: nn.Module, task: Task, batch: Any) -> Any:
    """Call the model with the inputs of a batch: a tensor, a tuple of arguments or a mapping of them."""
    return call_model(model, task.inputs(batch))


@torch.no_grad()
def evaluate(
    model: nn.Module, task: Task, split: Any, device: torch.device, all_outputs: list[Any] | None = None
) -> dict[str, float]:
    """Score a model on a split: the task's metrics over all its batches, dropout and hooks off.

    Args:
        model: put into evaluation mode.
        task: gives inputs and metrics.
        split: a loader, or a mapping from names to loaders (held-out speakers, domains), scored by its mean.
        device: where batches go; metrics are computed on the CPU.
        all_outputs: gets the outputs of every batch, on the CPU.
    """
    model.eval()
    scores = []
    for loader in named_sets(split).values():
        outputs, batches = [], []
        for batch in loader:
            batches.append(to_device(batch, "cpu"))
            outputs.append(to_device(forward(model, task, to_device(batch, device)), "cpu"))
        scores.append({name: float(value) for name, value in task.metrics(outputs, batches).items()})
        if all_outputs is not None:
            all_outputs += outputs
    return {name: sum(score[name] for score in scores) / len(scores) for name in scores[0]}


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def re_estimate(
    model: nn.Module, task: Task, loader: Iterable[Any], device: torch.device, *, batches: int = RE_ESTIMATED_BATCHES
) -> nn.Module:
    """Return a copy of the model whose batch-norm statistics are those of its present weights.

    The statistics of a dense network say nothing of the same network with weights missing, so every model
    is re-normalized before it is scored; on a copy, so that scoring never changes training.

    Reference: Ioffe and Szegedy, "Batch normalization", 2015, arXiv 1502.03167 (catalogue 66); Huang et al.,
    "Distributed pruning towards tiny neural networks in federated learning" (FedTiny), 2022, arXiv 2212.01977
    (catalogue 106), which compares masks after such a re-estimation.

    Args:
        model: left as it is.
        task: gives the inputs of a batch.
        loader: batches of training data.
        device: where batches go.
        batches: at most so many are averaged.
    """
    model = copy.deepcopy(model)
    here = (to_device(batch, device) for batch in itertools.islice(loader, batches))
    re_estimate_in_place(model, here, lambda m, batch: forward(m, task, batch))
    return model.eval()


def has_statistics(model: nn.Module) -> bool:
    """Whether a model holds statistics of batch norm."""
    return bool(_norms(model))


def _norms(model: nn.Module) -> list[Any]:
    return [m for m in model.modules() if isinstance(m, _NORMS) and m.track_running_stats]


def re_estimate_in_place(model: nn.Module, batches: Iterable[Any], call: Callable[[nn.Module, Any], Any]) -> None:
    """Give a model batch-norm statistics of its present weights, and leave it in evaluation mode.

    Args:
        model: is changed in place.
        batches: of training data, on the model's device; all are averaged.
        call: `call(model, batch)`.
    """
    norms = _norms(model)
    model.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average over the batches
        norm.train()
    with torch.no_grad():
        for batch in batches:
            call(model, batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def steps_in(loader: Iterable[Any]) -> int:
    """Number of batches in a loader."""
    try:
        return len(loader)  # type: ignore[arg-type]
    except TypeError:
        return sum(1 for _ in loader)
