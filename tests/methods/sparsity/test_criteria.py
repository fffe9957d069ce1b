"""Scores of weights, and the statistics they read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods import create
from autoreg.methods.sparsity.criteria import Stats, collect
from autoreg.methods.sparsity.criteria.stats import samples
from autoreg.methods.sparsity.masks import attach_masks
from autoreg.methods.testing import cross_entropy, forward, tiny_batches, tiny_model
from autoreg.network.weights import weight_of


def squared_error(output: Tensor, batch: Any) -> Tensor:
    error: Tensor = (output - batch[1]).square().mean()
    return error


def one_layer(rows: list[list[float]]) -> nn.Sequential:
    weight = torch.tensor(rows)
    model = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0], bias=False))
    with torch.no_grad():
        weight_of(model[0]).copy_(weight)
    return model


def test_magnitude_is_the_absolute_value() -> None:
    assert create("criterion", "magnitude").score(torch.tensor([-2.0, 0.5])).tolist() == [2.0, 0.5]


def test_wanda_by_hand() -> None:
    """‖X_1‖ = √(3² + 4²) = 5 and ‖X_2‖ = 2 over two batches: a small weight on a large input wins."""
    model = one_layer([[1.0, -2.0], [0.5, 4.0]])
    stats = collect(model, [(torch.tensor([[3.0, 0.0]]),), (torch.tensor([[4.0, 2.0]]),)], forward, needs=("inputs",))
    assert stats["0"].input_norm is not None
    assert stats["0"].input_norm.tolist() == [5.0, 2.0]
    score = create("criterion", "wanda").score(weight_of(model[0]).detach(), stats["0"])
    assert score.tolist() == [[5.0, 4.0], [2.5, 8.0]]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"padding": 1, "stride": 2},
        {"dilation": 2, "padding": (2, 0)},
        {"padding": "same"},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": 2, "padding_mode": "reflect", "stride": (1, 2)},
        {"padding": 1, "groups": 2},
    ],
)
def test_input_norms_of_a_convolution_equal_those_of_its_patches(options: dict[str, Any]) -> None:
    """The squared norm of what weight [o, i, a, b] multiplies is the gradient of Σ output for squared inputs."""
    layer = nn.Conv2d(4, 6, (3, 2), bias=False, **options)
    model = nn.Sequential(layer)
    images = torch.randn(3, 4, 7, 8)
    stats = collect(model, [(images,)], forward, needs=("inputs",))["0"]
    assert stats.input_norm is not None
    model(images.square()).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(stats.input_norm.expand_as(layer.weight), layer.weight.grad.sqrt())


@pytest.mark.parametrize("dims", [1, 3])
def test_input_norms_in_one_and_three_dimensions_and_of_single_samples(dims: int) -> None:
    layer = {1: nn.Conv1d, 3: nn.Conv3d}[dims](2, 3, 3, padding=1, bias=False)
    model = nn.Sequential(layer)
    images = torch.randn(2, *(4,) * dims)  # no batch dimension
    stats = collect(model, [(images,)], forward, needs=("inputs",))["0"]
    assert stats.input_norm is not None
    model(images.square()).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(stats.input_norm.expand_as(layer.weight), layer.weight.grad.sqrt())


def test_input_norms_of_sequences_and_transposed_convolutions_broadcast_to_the_weight() -> None:
    tokens = torch.randn(2, 5, 3)
    linear = collect(nn.Sequential(nn.Linear(3, 4)), [(tokens,)], forward, needs=("inputs",))["0"].input_norm
    torch.testing.assert_close(linear, tokens.reshape(-1, 3).norm(dim=0))
    layer = nn.ConvTranspose2d(3, 4, 2)
    images = torch.randn(2, 3, 5, 5)
    norm = collect(nn.Sequential(layer), [(images,)], forward, needs=("inputs",))["0"].input_norm
    assert norm is not None
    torch.testing.assert_close(norm[:, 0, 0, 0], images.square().sum((0, 2, 3)).sqrt())
    assert (layer.weight * norm).shape == layer.weight.shape


def test_taylor_by_hand() -> None:
    """Loss (wx − t)², batches x=(1,2), t=0 and x=(1,0), t=1 with w=(1,1): gradients (6, 12) and (0, 0)."""
    model = one_layer([[1.0, 1.0]])
    batches = [
        (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])),
        (torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0]])),
    ]
    stats = collect(model, batches, forward, squared_error, needs=("gradients",))["0"]
    assert stats.gradient is not None
    assert stats.gradient.tolist() == [[3.0, 6.0]]
    weight = torch.tensor([[2.0, -0.5]])
    assert create("criterion", "taylor").score(weight, stats).tolist() == [[6.0, 3.0]]


def test_taylor_score_is_the_change_of_a_linear_loss_when_the_weight_goes() -> None:
    torch.manual_seed(0)
    model, inputs = one_layer([[0.3, -0.7, 0.2]]), torch.randn(4, 3)

    def mean_output(output: Tensor, batch: Any) -> Tensor:
        return output.mean()

    stats = collect(model, [(inputs,)], forward, mean_output, needs=("gradients",))["0"]
    score = create("criterion", "taylor").score(weight_of(model[0]).detach(), stats)
    before = float(model(inputs).detach().mean())
    for j in range(3):
        without = weight_of(model[0]).detach().clone()
        without[0, j] = 0.0
        change = abs(float((inputs @ without.T).mean()) - before)
        assert float(score[0, j]) == pytest.approx(change, abs=1e-6)


def test_gradients_of_opposite_batches_do_not_cancel() -> None:
    model = one_layer([[1.0]])
    batches = [(torch.tensor([[1.0]]), torch.tensor([[0.0]])), (torch.tensor([[1.0]]), torch.tensor([[2.0]]))]
    stats = collect(model, batches, forward, squared_error, needs=("gradients",))["0"]
    assert stats.gradient is not None
    assert stats.gradient.tolist() == [[2.0]]


def test_random_repeats_with_its_generator() -> None:
    random = create("criterion", "random")
    weight = torch.zeros(4, 5)
    a, b, c = (random.score(weight, None, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == weight.shape
    with pytest.raises(InputError, match="needs a generator"):
        random.score(weight)


@pytest.mark.parametrize(("name", "what"), [("wanda", "norms of the inputs"), ("taylor", "gradients")])
def test_criteria_without_their_statistics_say_what_they_need(name: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        create("criterion", name).score(torch.zeros(2, 2), Stats())


def test_collecting_leaves_the_model_as_it_was() -> None:
    model = tiny_model().train()
    model[1].eval()
    weight_of(model[0]).requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    stats = collect(model, tiny_batches(), forward, cross_entropy)
    assert stats["0"].gradient is not None
    assert bool(stats["0"].gradient.any())  # frozen layers are scored, too
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not weight_of(model[0]).requires_grad
    assert [m.training for m in model] == [True, False, True, True, True, True, True]
    assert not any(m._forward_hooks for m in model.modules())


def test_masked_weights_have_no_gradient_so_that_taylor_keeps_them_out() -> None:
    model = one_layer([[1.0, 1.0]])
    attach_masks(model, {"0": torch.tensor([[True, False]])})
    batch = (torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0]]))
    stats = collect(model, [batch], forward, squared_error, needs=("gradients",))["0"]
    assert stats.gradient is not None
    assert stats.gradient.tolist() == [[2.0, 0.0]]


def test_layers_that_no_batch_reaches_score_zero() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(3, 1)})
    stats = collect(model, [(torch.ones(1, 2), 0)], lambda m, b: m.get_submodule("used")(b[0]), lambda o, b: o.sum())
    for found in (stats["idle"].input_norm, stats["idle"].gradient):
        assert found is not None
        assert not found.any()


def test_collect_refuses_unknown_needs_no_batches_and_a_missing_loss() -> None:
    with pytest.raises(InputError, match="criterion needs outputs; allowed: inputs, gradients"):
        collect(tiny_model(), tiny_batches(), forward, needs=("outputs",))
    with pytest.raises(InputError, match="no batches"):
        collect(tiny_model(), [], forward, needs=("inputs",))
    with pytest.raises(InputError, match="no loss"):
        collect(tiny_model(), tiny_batches(), forward, needs=("gradients",))


def test_a_batch_is_split_into_samples_whatever_its_form() -> None:
    x, y = torch.arange(6.0).reshape(3, 2), torch.arange(3)
    for batch in ((x, y), [x, y], {"x": x, "y": y, "note": "kept"}):
        parts = samples(batch)
        assert len(parts) == 3
        assert type(parts[0]) is type(batch)
        first, second = (parts[1]["x"], parts[1]["y"]) if isinstance(batch, dict) else parts[1][:2]
        assert torch.equal(first, x[1:2])
        assert torch.equal(second, y[1:2])
    assert len(samples(x)) == 3
    assert samples("text") == ["text"]
