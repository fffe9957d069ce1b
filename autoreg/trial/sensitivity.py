"""Distortion curves of a task's dense network: measured once, kept in the store."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.costs.predict import groups_after
from autoreg.methods import create
from autoreg.methods.modules.quantizers import WeightQuantizer
from autoreg.methods.quantization.rtn import Rtn
from autoreg.methods.quantization.settings import scale_axis
from autoreg.methods.sparsity.counts import retained_count
from autoreg.methods.sparsity.structures import group_scores
from autoreg.methods.weights import weight_of
from autoreg.network.surgery.apply import drop_blocks, remove_channels
from autoreg.plan import content_hash
from autoreg.sensitivity.curve import Curve
from autoreg.sensitivity.curves import Dense, Variant, curves, weights_set
from autoreg.tasks.batches import batch_size_of, logits_of, tensors_of
from autoreg.trial.loop import forward, re_estimate, steps_in
from autoreg.trial.setup import Setup
from autoreg.trial.store import StoreEntry

SHARES = (0.0, 0.3, 0.5, 0.65, 0.75, 0.82, 0.88, 0.92, 0.95, 0.97, 0.985, 1.0)
"""Shares removed at which every layer is measured; at the last as much goes as can."""
FORWARD = 1 / 3
"""What a sample costs that is only looked at, in samples that are trained on: no gradient is taken."""

BITS = (8, 7, 6, 5, 4, 3, 2)

Subject = tuple[str, Mapping[str, Any]]
"""What is measured: `weight` or `channel` with the structure's parameters, or `bits` with how weights are quantized."""


def measured_curves(
    model: nn.Module,
    setup: Setup,
    batches: list[Any],
    subject: Subject,
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
        By layer, or by channel group, its curve; and what was paid now: `seconds`, and `epochs`, passes over the
        training split that would take as much work. Nothing where the store had it.
    """
    ladder = _ladder(setup, subject, scores, dropped)
    key = content_hash(["curves", setup.base, _digest(model, scores, batches), *subject, list(dropped), ladder.levels])
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
    setup: Setup, subject: Subject, scores: Mapping[str, Tensor], dropped: tuple[str, ...] = ()
) -> dict[str, Curve]:
    """Curves without a look at any output: the squared scores that go, or a quarter of them for each further bit.

    For checks before anything trains, which need levels that could be, at no cost.
    """
    ladder = _ladder(setup, subject, scores, dropped)
    found: dict[str, Curve] = {}
    for name, levels in ladder.levels.items():
        values = ladder.scores[name].flatten().double().square().sort()[0]
        if subject[0] == "bits":
            gone = tuple(float(values.sum()) * 4.0**-level for level in levels)
        else:
            gone = tuple(float(values[: len(values) - level].sum()) for level in levels)
        found[name] = Curve(tuple(levels), gone, gone)
    return found


@dataclass(frozen=True)
class _Ladder:
    """By layer or group its levels, from most to least, its scores, and what compresses it to a level."""

    levels: Mapping[str, list[int]]
    scores: Mapping[str, Tensor]
    compress: Callable[..., AbstractContextManager[nn.Module]]
    whole: bool
    """Whether the first level is the dense network."""

    def variants(self) -> dict[str, dict[int, Variant | None]]:
        """How every layer is brought to every level."""
        return {
            name: {
                level: None
                if self.whole and level == levels[0]
                else partial(self.compress, name=name, score=self.scores[name], level=level)
                for level in levels
            }
            for name, levels in self.levels.items()
        }


def _ladder(setup: Setup, subject: Subject, scores: Mapping[str, Tensor], dropped: tuple[str, ...]) -> _Ladder:
    kind, parameters = subject
    layers = {layer.name: layer for layer in setup.profile.layers if not layer.shared}
    shares = [min(share, 1 - 1e-9) for share in SHARES]
    if kind == "bits":
        return _Ladder({name: list(BITS) for name in layers}, scores, partial(_rounded, **parameters), whole=False)
    rule = create("structure", kind, parameters)
    if kind == "channel":
        groups = {group.id: group for group in groups_after(setup.profile, dropped) if group.removable}
        counts = {name: {rule.kept(g.size, share, g.width) for share in shares} for name, g in groups.items()}
        scores = {name: group_scores(scores, g.members, g.size, spans=g.spans) for name, g in groups.items()}
        compress: Any = partial(_without, example_input=setup.example_input)
    else:
        counts = {name: {retained_count(layer.weights, share) for share in shares} for name, layer in layers.items()}
        compress = partial(_masked, rule=rule)
    levels = {name: sorted(found, reverse=True) for name, found in counts.items()}
    return _Ladder(levels, scores, compress, whole=True)


@contextlib.contextmanager
def _masked(model: nn.Module, *, rule: Any, name: str, score: Tensor, level: int) -> Iterator[nn.Module]:
    weight = weight_of(model.get_submodule(name)).detach()
    with weights_set(model, {name: weight * rule.mask(score, level)}):
        yield model


@contextlib.contextmanager
def _without(model: nn.Module, *, example_input: Any, name: str, score: Tensor, level: int) -> Iterator[nn.Module]:
    small = copy.deepcopy(model)
    lowest = torch.argsort(score, stable=True)[: len(score) - level]
    remove_channels(small, example_input, {name: sorted(lowest.tolist())})
    yield small


@contextlib.contextmanager
def _rounded(
    model: nn.Module, *, granularity: str, symmetric: bool, name: str, score: Tensor, level: int
) -> Iterator[nn.Module]:
    module = model.get_submodule(name)
    weight, axis = weight_of(module).detach(), scale_axis(module, granularity)
    with weights_set(model, {name: WeightQuantizer(weight, level, axis, symmetric=symmetric, rule=Rtn())(weight)}):
        yield model


def _measured(
    model: nn.Module, setup: Setup, batches: list[Any], ladder: _Ladder
) -> tuple[StoreEntry, dict[str, float]]:
    task = setup.task
    looked = 0

    def repair(network: nn.Module) -> nn.Module:
        nonlocal looked
        looked += 1
        return re_estimate(network, task, batches, setup.device)

    begun = time.perf_counter()
    with setup.lock.shared():
        dense = Dense(repair(model), batches, lambda m, b: logits_of(forward(m, task, b)))
        found = curves(model, dense, ladder.variants(), repair=repair)
    tensors = {
        name: torch.tensor([curve.levels, curve.mse, curve.kl], dtype=torch.float64) for name, curve in found.items()
    }
    train = setup.loaders(task.folds[0])["train"]
    samples = sum(batch_size_of(batch) for batch in batches)
    trained = steps_in(train) * batch_size_of(next(iter(train)))
    passes = looked * (2 if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()) else 1)
    spent = {"seconds": time.perf_counter() - begun, "epochs": FORWARD * passes * samples / trained}
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
