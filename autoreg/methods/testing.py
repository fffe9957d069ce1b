"""The contract every method must meet, as code: run `check_method` on a method of your own.

from autoreg.methods.testing import check_method

def test_my_penalty_meets_the_contract():
    check_method(MyPenalty)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods.discovery import create, method_class, spec_of
from autoreg.methods.layers.selectors import select_parameters
from autoreg.methods.quantization import Quantization, attach_quantizers, bake_quantizers, calibrate
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.criteria import collect
from autoreg.methods.sparsity.masks import attach_masks, bake_masks
from autoreg.methods.state import State
from autoreg.methods.weights import weighted_layers
from autoreg.sensitivity.curve import Curve
from autoreg.space.nodes import Choice, Constant, Range
from autoreg.space.spec import Param


def tiny_model() -> nn.Module:
    """A network for 8×8 images of one channel and three classes, with a norm and two convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 3),
    )


def tiny_batches(count: int = 2, size: int = 6) -> list[tuple[Tensor, Tensor]]:
    """Batches (images, labels) for `tiny_model`, always the same."""
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, 1, 8, 8, generator=generator), torch.randint(3, (size,), generator=generator))
        for _ in range(count)
    ]


def forward(model: nn.Module, batch: Any) -> Tensor:
    """Call a model with the first entry of a batch."""
    output: Tensor = model(batch[0])
    return output


def cross_entropy(output: Tensor, batch: Any) -> Tensor:
    """Mean cross entropy against the last entry of a batch."""
    return nn.functional.cross_entropy(output, batch[-1])


def train_steps(model: nn.Module, methods: Sequence[Any], batches: Sequence[Any], lr: float = 0.05) -> list[float]:
    """Train on each batch once with all hooks called in order; a smallest example of a training loop.

    Args:
        model: changed in place.
        methods: instances; what they registered is baked when it returns.
        batches: (inputs, labels).
        lr: of SGD.

    Returns:
        The loss of each step.
    """
    state = State(model=model, steps_per_epoch=len(batches), generator=torch.Generator().manual_seed(0))
    _call(methods, "prepare", state)
    handles = [module.register_forward_hook(_observer(methods, state, name)) for name, module in state.layers()]
    state.optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model.train()
    losses = []
    for batch in batches:
        for method in methods:
            batch = method.batch(state, batch) if hasattr(method, "batch") else batch
        state.batch = batch
        gradient = next((method.gradient for method in methods if hasattr(method, "gradient")), None)
        closure = _closure(state, methods)
        loss = gradient(state, closure) if gradient else closure()
        losses.append(float(loss.detach()))
        state.optimizer.step()
        _call(methods, "after_step", state)
        state.step += 1
    for handle in handles:
        handle.remove()
    _call(methods, "finish", state)
    return losses


def _call(methods: Sequence[Any], hook: str, state: State) -> None:
    for method in methods:
        if hasattr(method, hook):
            getattr(method, hook)(state)


def _observer(methods: Sequence[Any], state: State, name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        for method in methods:
            if hasattr(method, "observe"):
                method.observe(state, name, module, inputs, output)

    return hook


def _closure(state: State, methods: Sequence[Any]) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        assert state.optimizer is not None
        state.optimizer.zero_grad()
        state.output = forward(state.model, state.batch)
        state.base_loss = cross_entropy(state.output, state.batch)
        total = state.base_loss
        for method in methods:
            total = total + method.loss(state) if hasattr(method, "loss") else total
        total.backward()  # type: ignore[no-untyped-call]
        return total

    return closure


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
    losses = train_steps(model, [method], tiny_batches())
    assert all(math.isfinite(loss) for loss in losses), f"{place}: the loss became {losses}"
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters()), f"{place}: weights are not finite"
    assert set(model.state_dict()) == names, f"{place}: `finish` leaves parametrizations behind"
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks, f"{place}: `finish` leaves forward hooks behind"


def _run_structure(method: Any, place: str) -> None:
    model = tiny_model()
    layers = dict(weighted_layers(model))
    scores = {name: module.weight.detach().abs() for name, module in layers.items()}  # type: ignore[operator]
    if hasattr(method, "rank"):  # removes no weights: layers are factored
        _run_rank(method.rank, place)
        return
    if not hasattr(method, "mask"):
        assert 1 <= method.kept(16, 0.5) <= 16, f"{place}: keeps {method.kept(16, 0.5)} of 16 channels"
        return
    masks = {}
    for name, score in scores.items():
        kept = method.kept(score.shape) if hasattr(method, "kept") else score.numel() // 2
        if kept is not None:
            masks[name] = method.mask(score, kept)
            assert int(masks[name].sum()) == kept, f"{place}: keeps {int(masks[name].sum())} weights, not {kept}"
    attach_masks(model, masks)
    train_steps(model, [], tiny_batches())
    bake_masks(model)
    for name, mask in masks.items():
        zeros = layers[name].weight[~mask]  # type: ignore[index]
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
    if getattr(method, "needs_curves", False):
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
    ranks = method.ranks(layers, spectra if method.needs_weights else None)
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
    train_steps(model, [], tiny_batches())
    found = bake_quantizers(model)
    for name, params in found.items():
        values = (params.ints - params.zero_point) * params.scale
        weight = dict(weighted_layers(model))[name].weight
        torch.testing.assert_close(weight.detach(), values)  # type: ignore[operator]


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


_RUNS: dict[str, Callable[[Any, str], None]] = {
    "regularizer": _run_in_training,
    "noise": _run_in_training,
    "reparam": _run_in_training,
    "structure": _run_structure,
    "criterion": _run_criterion,
    "allocation": _run_allocation,
    "rank": _run_rank,
    "schedule": _run_schedule,
    "quantizer": _run_quantizer,
    "train": _run_train,
    "drop": _run_drop,
}
