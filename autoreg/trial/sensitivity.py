"""Distortion curves of a task's dense network: measured once, kept in the store."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.costs.predict import groups_after
from autoreg.costs.structure import drop_blocks, remove_channels
from autoreg.methods import create
from autoreg.methods.sparsity.counts import kept_count
from autoreg.methods.sparsity.structures import group_scores
from autoreg.methods.state import weight_of
from autoreg.plan import content_hash
from autoreg.sensitivity.curve import Curve
from autoreg.sensitivity.curves import Dense, Variant, curves, weights_set
from autoreg.tasks.batches import batch_size_of, logits_of, tensors_of
from autoreg.trial.loop import forward, re_estimate, steps_in
from autoreg.trial.setup import Setup
from autoreg.trial.store import Entry

SHARES = (0.0, 0.3, 0.5, 0.65, 0.75, 0.82, 0.88, 0.92, 0.95, 0.97, 0.985, 1.0)
"""Shares removed at which every layer is measured; at the last as much goes as can."""
FORWARD = 1 / 3
"""What a sample costs that is only looked at, in samples that are trained on: no gradient is taken."""

Scored = Mapping[str, Sequence[float]]
Variants = dict[str, dict[int, Variant | None]]


def measured_curves(
    model: nn.Module,
    setup: Setup,
    batches: list[Any],
    structure: tuple[str, Mapping[str, Any]],
    scores: Mapping[str, Tensor],
    dropped: tuple[str, ...] = (),
) -> tuple[dict[str, Curve], dict[str, float]]:
    """Distortion curves of a trained network for a structure that an allocation shares out.

    Outputs are compared on the calibration split; batch-norm statistics are estimated on it, of the dense network as of
    every compressed one. What is measured is kept in the store under the content of weights, batches and levels.

    Args:
        model: the dense network; left as it is.
        setup: task and store.
        batches: the calibration split, on the device.
        structure: name and parameters: `weight` or `channel`.
        scores: of every weight by the structure's criterion, by layer.
        dropped: blocks that are gone when channels are removed.

    Returns:
        By layer (`weight`) or channel group (`channel`) its curve; and what was paid now: `seconds`, and `epochs`,
        passes over the training split that would take as much work. Nothing where the store had it.
    """
    counts = _counts(setup, structure, dropped)
    key = content_hash(["curves", setup.base, _digest(model, scores, batches), structure[0], list(dropped), counts])
    found = setup.store.get(key) if setup.options.cache else None
    spent = {"seconds": 0.0, "epochs": 0.0}
    if found is None or found.tensors.keys() != counts.keys():
        if dropped and structure[0] == "channel":
            model = copy.deepcopy(model)
            drop_blocks(model, dropped, setup.example_input)
        variants = _variants(setup, structure, counts, scores, dropped)
        found, spent = _measured(model, setup, batches, variants)
        if setup.options.cache:
            setup.store.put(key, found)
    rows = {name: found.tensors[name].tolist() for name in counts}
    return {
        name: Curve(tuple(int(n) for n in at), tuple(mse), tuple(kl)) for name, (at, mse, kl) in rows.items()
    }, spent


def guessed_curves(
    setup: Setup, structure: tuple[str, Mapping[str, Any]], scores: Mapping[str, Tensor], dropped: tuple[str, ...] = ()
) -> dict[str, Curve]:
    """Curves without a look at any output: the share of squared scores that goes, times the layer's share of them.

    For checks before anything trains, which need levels that could be, at no cost.
    """
    found: dict[str, Curve] = {}
    for name, counts in _counts(setup, structure, dropped).items():
        values = _score_of(name, setup, structure, scores, dropped).flatten().double().square().sort(descending=True)[0]
        tail = values.sum() - values.cumsum(0)
        gone = tuple(max(0.0, float(tail[kept - 1])) for kept in counts)
        found[name] = Curve(tuple(counts), gone, gone)
    return found


def _counts(setup: Setup, structure: tuple[str, Mapping[str, Any]], dropped: tuple[str, ...]) -> dict[str, list[int]]:
    """How many weights of each layer, or channels of each group, stay at the levels that are measured, all first."""
    shares = [min(share, 1 - 1e-9) for share in SHARES]
    if structure[0] != "channel":
        layers = [layer for layer in setup.profile.layers if not layer.shared]
        found = {layer.name: {kept_count(layer.weights, share) for share in shares} for layer in layers}
    else:
        rule = create("structure", *structure)
        groups = [group for group in groups_after(setup.profile, dropped) if group.removable]
        found = {group.id: {rule.kept(group.size, share, group.width) for share in shares} for group in groups}
    return {name: sorted(counts, reverse=True) for name, counts in found.items()}


def _score_of(
    name: str,
    setup: Setup,
    structure: tuple[str, Mapping[str, Any]],
    scores: Mapping[str, Tensor],
    dropped: tuple[str, ...],
) -> Tensor:
    if structure[0] != "channel":
        return scores[name]
    (group,) = [group for group in groups_after(setup.profile, dropped) if group.id == name]
    return group_scores(scores, group.members, group.size, spans=group.spans)


def _variants(
    setup: Setup,
    structure: tuple[str, Mapping[str, Any]],
    counts: Mapping[str, Sequence[int]],
    scores: Mapping[str, Tensor],
    dropped: tuple[str, ...],
) -> Variants:
    rule = create("structure", *structure)

    @contextlib.contextmanager
    def masked(model: nn.Module, *, layer: str, score: Tensor, kept: int) -> Iterator[nn.Module]:
        weight = weight_of(model.get_submodule(layer)).detach()
        with weights_set(model, {layer: weight * rule.mask(score, kept)}):
            yield model

    @contextlib.contextmanager
    def removed(model: nn.Module, *, group: str, score: Tensor, kept: int) -> Iterator[nn.Module]:
        small = copy.deepcopy(model)
        lowest = torch.argsort(score, stable=True)[: len(score) - kept]
        remove_channels(small, setup.example_input, {group: sorted(lowest.tolist())})
        yield small

    found: Variants = {}
    for name, levels in counts.items():
        score = _score_of(name, setup, structure, scores, dropped)
        one = (
            partial(removed, group=name, score=score)
            if structure[0] == "channel"
            else partial(masked, layer=name, score=score)
        )
        found[name] = {kept: None if kept == levels[0] else partial(one, kept=kept) for kept in levels}
    return found


def _measured(model: nn.Module, setup: Setup, batches: list[Any], variants: Variants) -> tuple[Entry, dict[str, float]]:
    task = setup.task
    looked = 0

    def repair(network: nn.Module) -> nn.Module:
        nonlocal looked
        looked += 1
        return re_estimate(network, task, batches, setup.device)

    begun = time.perf_counter()
    with setup.lock.shared():
        dense = Dense(repair(model), batches, lambda m, b: logits_of(forward(m, task, b)))
        found = curves(model, dense, variants, repair=repair)
    tensors = {
        name: torch.tensor([curve.levels, curve.mse, curve.kl], dtype=torch.float64) for name, curve in found.items()
    }
    train = setup.loaders(task.folds[0])["train"]
    samples = sum(batch_size_of(batch) for batch in batches)
    trained = steps_in(train) * batch_size_of(next(iter(train)))
    passes = looked * (2 if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()) else 1)
    spent = {"seconds": time.perf_counter() - begun, "epochs": FORWARD * passes * samples / trained}
    return Entry(tensors, {"spent": spent}), spent


def _digest(model: nn.Module, scores: Mapping[str, Tensor], batches: list[Any]) -> str:
    """Content of a network's state, of its scores and of batches."""
    digest = hashlib.sha256()
    parts = [*sorted(model.state_dict().items()), *sorted(scores.items())]
    parts += [(f"batch {k}", tensor) for k, batch in enumerate(batches) for tensor in tensors_of(batch)]
    for name, tensor in parts:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
