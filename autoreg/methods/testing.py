"""The contract every method must meet, as code: run `check_method` on a method of your own.

from autoreg.methods.testing import check_method

def test_my_penalty_meets_the_contract():
    check_method(MyPenalty)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.costs.count import count
from autoreg.costs.predict import predict
from autoreg.errors import InputError
from autoreg.methods.discovery import create, method_class, spec_of
from autoreg.methods.layers.selectors import select_parameters
from autoreg.methods.quantization import Quantization, attach_quantizers, bake_quantizers, calibrate
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.criteria import collect
from autoreg.methods.sparsity.masks import bake_masks, masks
from autoreg.methods.sparsity.structures.structure import CurveSubject, Network, Target
from autoreg.methods.tiny_training import (
    Watch,
    WatchedState,
    cross_entropy,
    forward,
    tiny_batches,
    tiny_model,
    train_steps,
)
from autoreg.methods.weights import weighted_layers
from autoreg.network.profile import profile
from autoreg.network.surgery.factorize import spectrum
from autoreg.network.weights import weight_of
from autoreg.sensitivity.curve import Curve
from autoreg.space.nodes import Choice, Constant, Range
from autoreg.space.spec import Param

__all__ = ["check_method", "cross_entropy", "forward", "tiny_batches", "tiny_model", "train_steps"]


def check_method(cls: type[Any]) -> None:
    """Check a method against its contract: what it declares, and that it runs on a tiny network.

    Args:
        cls: a class made by `@method`.

    Raises:
        AssertionError: naming the method and what is wrong.
    """
    spec = spec_of(cls)
    place = f"{spec.kind} {spec.name!r}"
    assert method_class(spec.kind, spec.name) is cls, f"{place}: another class is registered under this name"
    assert spec.summary.endswith("."), f"{place}: the class needs a docstring that begins with a sentence"
    assert spec.paper is not None, f"{place}: names no paper"
    complete = bool(spec.paper.title) and bool(spec.paper.authors) and spec.paper.year > 1900
    assert complete, f"{place}: the paper needs title, authors and year"
    assert spec.paper.arxiv or spec.paper.doi, f"{place}: the paper has neither arXiv number nor DOI"
    assert spec.paper.checked, f"{place}: does not say what was checked"
    for name, param in spec.params.items():
        _check_param(place, spec.kind, spec.name, name, param)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        _RUNS[spec.kind](create(spec.kind, spec.name), place)


def _check_param(place: str, kind: str, method: str, name: str, param: Param) -> None:
    node = param.node
    if param.type == "slot":
        if isinstance(node, Choice):
            for option in node.options:
                method_class(str(param.slot_kind), option.label)
        return
    create(kind, method, {name: param.default})  # the default is allowed
    if isinstance(node, Range):
        assert math.isfinite(node.high - node.low), f"{place}: {name} is searched without bounds"
        assert param.low <= node.low <= node.high <= param.high, f"{place}: {name} is searched beyond what is allowed"
        assert param.low > -math.inf, f"{place}: {name} has no lower bound"
        _refused(place, kind, method, name, param.low - 1 if param.type == "int" else param.low - 1e-3)
        if param.high < math.inf:
            _refused(place, kind, method, name, param.high + 1)
    elif isinstance(node, Choice):
        for option in node.options:
            assert isinstance(option.node, Constant), f"{place}: {name} offers {option.label}, which is no value"
            create(kind, method, {name: option.node.value})


def _refused(place: str, kind: str, method: str, name: str, value: float) -> None:
    try:
        create(kind, method, {name: value})
    except InputError:
        return
    raise AssertionError(f"{place}: {name} = {value} should be refused")


def _run_in_training(method: Any, place: str) -> None:
    model = tiny_model()
    names = set(model.state_dict())
    watch = Watch()
    losses = train_steps(model, [method, watch], tiny_batches(), state_class=WatchedState)
    if spec_of(method).resumable:
        watch.check(place)
    assert all(math.isfinite(loss) for loss in losses), f"{place}: the loss became {losses}"
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters()), f"{place}: weights are not finite"
    assert set(model.state_dict()) == names, f"{place}: `finish` leaves parametrizations behind"
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks, f"{place}: `finish` leaves forward hooks behind"


def _run_teacher(method: Any, place: str) -> None:
    """It trains beside a teacher that always says the same, and names forms of outputs that there are."""
    forms = set(method.outputs)
    assert forms, f"{place}: takes no form of outputs"
    assert forms <= {"classes", "values"}, f"{place}: outputs are {sorted(forms)}; allowed: classes, values"
    _run_in_training(method, place)


@dataclass(frozen=True)
class _Sparsified:
    """A model and the record of what was done to it, as structures ask for one."""

    model: nn.Module
    removed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    trained: tuple[str, ...] | None = None

    def with_model(self, model: nn.Module, **changes: Any) -> _Sparsified:
        return replace(self, model=model, **changes)


class _TinyReference:
    """A dense reference that was never trained; its curves are guessed."""

    def __init__(self, model: nn.Module, network: Network, example: Tensor) -> None:
        self.model, self.network, self.example = model, network, example

    def scores(self, criterion: Any) -> dict[str, Tensor]:
        return _scores(self.model, criterion)

    def spectra(self, names: Sequence[str]) -> dict[str, Tensor]:
        return {name: spectrum(weight_of(self.model.get_submodule(name))) for name in names}

    def curves(self, subject: CurveSubject, dropped: tuple[str, ...] = ()) -> dict[str, Curve]:
        ladder = subject.ladder(self.network, self.scores(subject.criterion), self.example)
        guessed = {name: tuple(ladder.guessed(name)) for name in ladder.levels}
        return {name: Curve(tuple(levels), guessed[name], guessed[name]) for name, levels in ladder.levels.items()}


def _scores(model: nn.Module, criterion: Any) -> dict[str, Tensor]:
    stats = collect(model, tiny_batches(), forward, cross_entropy, criterion.needs) if criterion.needs else {}
    generator = torch.Generator().manual_seed(0)
    return {
        name: criterion.score(weight_of(module).detach(), stats.get(name), generator)
        for name, module in weighted_layers(model)
    }


def _run_averaging(method: Any, place: str) -> None:
    model, plain, watch = tiny_model(), tiny_model(), Watch()
    plain.load_state_dict(model.state_dict())
    train_steps(plain, [], tiny_batches())
    train_steps(model, [watch, method], tiny_batches(), state_class=WatchedState)
    if spec_of(method).resumable:
        watch.check(place)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[name]), f"{place}: changes {name} while it is trained"
    average = method.average(watch.state)
    assert average is not None, f"{place}: no average after an epoch"
    for name, parameter in model.named_parameters():
        assert average[name].shape == parameter.shape, f"{place}: the average of {name} has another shape"
        assert bool(torch.isfinite(average[name]).all()), f"{place}: the average of {name} is not finite"


def _run_structure(method: Any, place: str) -> None:
    """It costs what its levels say: applied at once, and reached while the model is trained."""
    model, example = tiny_model(), tiny_batches(1)[0][0][:1]
    network = Network("tiny", profile(model, example))
    levels = method.resolve(network, _TinyReference(copy.deepcopy(model), network, example))
    predicted = predict(network.profile, levels)
    dense = predict(network.profile)
    assert (predicted.bytes, predicted.params) < (dense.bytes, dense.params), f"{place}: {levels} saves nothing"
    criterion = getattr(method, "criterion", None)
    target = Target(levels, network.profile, example, lambda now: _scores(now, criterion))
    masked: list[nn.Module] = []
    if not method.changes_shape:
        trained = copy.deepcopy(model)
        train_steps(trained, method.hooks(target), tiny_batches())
        masked.append(trained)
    applied = method.apply(_Sparsified(model), target).model
    for now in (*masked, applied):
        found = {name: mask.clone() for name, mask in masks(now).items()}
        bake_masks(now)
        counted = count(now, example, found, levels)
        for name in ("flops", "effective_flops", "bops", "weights", "params", "bytes"):
            here, there = getattr(counted, name), getattr(predicted, name)
            assert here == there, f"{place}: {name} is {here:,} of the model and {there:,} by its levels"
        for name, mask in found.items():
            zeros = weight_of(now.get_submodule(name))[~mask]
            assert not zeros.any(), f"{place}: masked weights of {name} are not zero"


def _run_criterion(method: Any, place: str) -> None:
    model = tiny_model()
    stats = collect(model, tiny_batches(), forward, cross_entropy, method.needs) if method.needs else {}
    assert method.comparison in ("layer", "row"), f"{place}: comparison is {method.comparison!r}"
    for name, module in weighted_layers(model):
        weight: Tensor = module.weight.detach()  # type: ignore[operator]
        score = method.score(weight, stats.get(name), torch.Generator().manual_seed(0))
        assert score.shape == weight.shape, f"{place}: scores of {name} are not shaped like the weight"
        assert bool(torch.isfinite(score).all()), f"{place}: scores of {name} are not finite"


def _run_allocation(method: Any, place: str) -> None:
    weights = {name: module.weight.detach() for name, module in weighted_layers(tiny_model())}  # type: ignore[operator]
    layers = [LayerShape(name, tuple(weight.shape)) for name, weight in weights.items()]
    found: dict[str, Any] = {name: weight.abs() for name, weight in weights.items()}
    if "curves" in method.needs:
        found = {layer.name: _curve(layer.numel) for layer in layers}
    levels = method.levels(layers, 0.5, found)
    assert set(levels) == set(weights), f"{place}: levels for {sorted(levels)}, not {sorted(weights)}"
    assert all(0.0 <= level < 1.0 for level in levels.values()), f"{place}: levels outside [0, 1): {levels}"
    share = sum(levels[layer.name] * layer.numel for layer in layers) / sum(layer.numel for layer in layers)
    assert abs(share - 0.5) < 0.01, f"{place}: removes {share:.3f} of all weights where 0.5 was asked"


def _curve(count: int) -> Curve:
    """Distortion of a layer of `count` weights that grows with the square of what is gone."""
    levels = sorted({max(1, count * share // 8) for share in range(9)}, reverse=True)
    gone = tuple((1 - level / count) ** 2 for level in levels)
    return Curve(tuple(levels), gone, gone)


def _run_rank(method: Any, place: str) -> None:
    weights = {name: module.weight.detach() for name, module in weighted_layers(tiny_model())}  # type: ignore[operator]
    layers = [LayerShape(name, tuple(weight.shape)) for name, weight in weights.items()]
    spectra = {name: torch.linalg.svdvals(weight.flatten(1)).square() for name, weight in weights.items()}
    ranks = method.ranks(layers, spectra if "spectra" in method.needs else None)
    assert set(ranks) == set(weights), f"{place}: ranks for {sorted(ranks)}, not {sorted(weights)}"
    for name, rank in ranks.items():
        most = spectra[name].numel()
        assert isinstance(rank, int), f"{place}: the rank of {name} is {rank!r}, which is no whole number"
        assert 1 <= rank <= most, f"{place}: the rank of {name} is {rank}; allowed: 1 to {most}"


def _run_schedule(method: Any, place: str) -> None:
    values = [method.fraction(i / 100) for i in range(101)]
    assert all(0.0 <= v <= 1.0 for v in values), f"{place}: leaves [0, 1]"
    assert values == sorted(values), f"{place}: does not grow"
    assert values[-1] == 1.0, f"{place}: ends at {values[-1]}"


def _run_quantizer(method: Any, place: str) -> None:
    model = tiny_model()
    bits = {name: 4 for name, _ in weighted_layers(model)}
    attach_quantizers(model, Quantization(bits, bits, quantizer=method))
    missing = calibrate(model, tiny_batches(), forward)
    assert not missing, f"{place}: {missing} were not calibrated"
    losses = train_steps(model, [], tiny_batches())
    assert all(math.isfinite(loss) for loss in losses), f"{place}: the loss became {losses}"
    for name, module in weighted_layers(model):
        values = weight_of(module).detach().flatten(1)
        most = max(row.unique().numel() for row in values)  # one scale for each output
        assert most <= 2**4, f"{place}: an output of {name} holds {most} values at 4 bits"
    if not method.integers:
        return
    found = bake_quantizers(model)
    low, high = method.codes(4, symmetric=True, weights=True)
    for name, params in found.items():
        integers = params.ints
        assert low <= int(integers.min()) <= int(integers.max()) <= high, f"{place}: codes of {name} leave their range"
        values = (integers - params.zero_point) * params.scale
        torch.testing.assert_close(weight_of(dict(weighted_layers(model))[name]).detach(), values)


def _run_train(method: Any, place: str) -> None:
    model = tiny_model()
    chosen = select_parameters(method, model, tiny_batches(), forward, cross_entropy)
    names = {name for name, _ in model.named_parameters()}
    assert chosen, f"{place}: trains nothing"
    assert chosen <= names, f"{place}: {sorted(chosen - names)} are no parameters"


def _run_drop(method: Any, place: str) -> None:
    blocks = ["a", "b", "c"]
    chosen = method.select(blocks, {"a": 0.3, "b": 0.1, "c": 0.2})
    assert set(chosen) < set(blocks), f"{place}: drops {chosen} of {blocks}"
    assert list(chosen) == [name for name in blocks if name in chosen], f"{place}: not in the order of the network"


def _run_blocks(method: Any, place: str) -> None:
    blocks = ["a", "b", "c"]
    scores: dict[str, float] | None = None
    if "loss" in method.needs:
        model, batch = tiny_model(), tiny_batches(1)[0]
        layers = dict(zip(blocks, ([weight_of(module)] for _, module in weighted_layers(model)), strict=False))
        scores = method.score(cross_entropy(forward(model, batch), batch), layers)
        assert scores.keys() == layers.keys(), f"{place}: scores {sorted(scores)}, not {sorted(layers)}"
        assert all(map(math.isfinite, scores.values())), f"{place}: scores are not finite: {scores}"
        blocks = list(layers)
    chosen = method.select(blocks, scores)
    keep = len(blocks) if method.keep is None else method.keep
    assert len(chosen) == keep, f"{place}: keeps {chosen}, not {keep} of {blocks}"
    assert list(chosen) == [name for name in blocks if name in chosen], f"{place}: not in the order of the network"


def _run_inherit(method: Any, place: str) -> None:
    for keep in (1, 3, 4, 8):
        chosen = method.select(8, keep, torch.arange(8.0))
        assert chosen == sorted(set(chosen)), f"{place}: {chosen} are not sorted and distinct"
        assert len(chosen) == keep, f"{place}: takes {len(chosen)} channels where {keep} stay"
        assert set(chosen) <= set(range(8)), f"{place}: takes {chosen} of 8 channels"


_RUNS: dict[str, Callable[[Any, str], None]] = {
    "regularizer": _run_in_training,
    "noise": _run_in_training,
    "reparam": _run_in_training,
    "teacher": _run_teacher,
    "averaging": _run_averaging,
    "structure": _run_structure,
    "criterion": _run_criterion,
    "allocation": _run_allocation,
    "rank": _run_rank,
    "schedule": _run_schedule,
    "quantizer": _run_quantizer,
    "train": _run_train,
    "drop": _run_drop,
    "blocks": _run_blocks,
    "inherit": _run_inherit,
}
