"""Distortion curves of a task's dense network: measured once, kept in the store."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.methods.sparsity.structures.structure import CurveSubject
from autoreg.network.surgery.apply import drop_blocks
from autoreg.plan import content_hash
from autoreg.sensitivity.curve import Curve
from autoreg.sensitivity.curves import Dense, curves
from autoreg.sensitivity.ladder import Ladder
from autoreg.tasks.batches import batch_size_of, logits_of, tensors_of
from autoreg.trial.loop import forward, re_estimate, steps_in
from autoreg.trial.setup import Setup
from autoreg.trial.store import StoreEntry

FORWARD_COST = 1 / 3
"""What a sample costs that is only looked at, in samples that are trained on: no gradient is taken."""


def measured_curves(
    model: nn.Module,
    setup: Setup,
    batches: list[Any],
    subject: CurveSubject,
    scores: Mapping[str, Tensor],
    dropped: tuple[str, ...] = (),
) -> tuple[dict[str, Curve], dict[str, float]]:
    """Distortion curves of a trained network for what an allocation shares out.

    Outputs are compared on the calibration split; batch-norm statistics are estimated on it, of the dense network as of
    every compressed one. What is measured is kept in the store under the content of weights, batches and levels.

    Args:
        model: the dense network; left as it is.
        setup: task and store.
        batches: the calibration split, on the device.
        subject: what is measured.
        scores: of every weight by the criterion, by layer.
        dropped: blocks that are gone when channels are removed.

    Returns:
        By layer, or by channel group, its curve; and what was spent now: `seconds`, and `epochs`, passes over the
        training split that would take as much work. Nothing where the store had it.
    """
    ladder = subject.ladder(setup.without_blocks(dropped), scores, setup.example_input)
    content = (*subject.measured, list(dropped), ladder.levels)
    key = content_hash(["curves", setup.base, _digest(model, scores, batches), *content])
    found = setup.store.get(key) if setup.options.cache else None
    spent = {"seconds": 0.0, "epochs": 0.0}
    if found is None or found.tensors.keys() != ladder.levels.keys():
        if dropped:
            model = copy.deepcopy(model)
            drop_blocks(model, dropped, setup.example_input)
        found, spent = _measured(model, setup, batches, ladder)
        if setup.options.cache:
            setup.store.put(key, found)
    by_name: dict[str, Curve] = {}
    for name, levels in ladder.levels.items():
        _, mse, kl = found.tensors[name].tolist()
        by_name[name] = Curve(tuple(levels), tuple(mse), tuple(kl))
    return by_name, spent


def guessed_curves(
    setup: Setup, subject: CurveSubject, scores: Mapping[str, Tensor], dropped: tuple[str, ...] = ()
) -> dict[str, Curve]:
    """Curves without a look at any output: the squared scores that go, or a quarter of them for each further bit.

    For checks before anything trains, which need levels that could be, at no cost.
    """
    ladder = subject.ladder(setup.without_blocks(dropped), scores, setup.example_input)
    guessed = {name: tuple(ladder.guessed(name)) for name in ladder.levels}
    return {name: Curve(tuple(levels), guessed[name], guessed[name]) for name, levels in ladder.levels.items()}


def _measured(
    model: nn.Module, setup: Setup, batches: list[Any], ladder: Ladder
) -> tuple[StoreEntry, dict[str, float]]:
    task = setup.task
    measurements = 0

    def re_estimated(network: nn.Module) -> nn.Module:
        nonlocal measurements
        measurements += 1
        return re_estimate(network, task, batches, setup.device)

    begun = time.perf_counter()
    with setup.lock.shared():
        dense = Dense(re_estimated(model), batches, lambda m, b: logits_of(forward(m, task, b)))
        found = curves(model, dense, ladder.variants(), re_estimate_batch_norm=re_estimated)
    tensors = {
        name: torch.tensor([curve.levels, curve.mse, curve.kl], dtype=torch.float64) for name, curve in found.items()
    }
    train = setup.loaders(task.folds[0])["train"]
    samples = sum(batch_size_of(batch) for batch in batches)
    trained = steps_in(train) * batch_size_of(next(iter(train)))
    passes = measurements * (2 if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()) else 1)
    spent = {"seconds": time.perf_counter() - begun, "epochs": FORWARD_COST * passes * samples / trained}
    return StoreEntry(tensors, {"spent": spent}), spent


def _digest(model: nn.Module, scores: Mapping[str, Tensor], batches: list[Any]) -> str:
    """Content of a network's state, of its scores and of batches."""
    digest = hashlib.sha256()
    parts = [*sorted(model.state_dict().items()), *sorted(scores.items())]
    parts += [(f"batch {k}", tensor) for k, batch in enumerate(batches) for tensor in tensors_of(batch)]
    for name, tensor in parts:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
