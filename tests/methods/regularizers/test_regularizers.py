"""Terms of the loss, by hand and against other implementations."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

from autoreg.errors import InputError
from autoreg.methods import State, create
from autoreg.methods.regularizers.activation_kurtosis import kurtosis
from autoreg.methods.regularizers.group_lasso import group_norms, group_penalty, shrink_groups
from autoreg.methods.regularizers.l1 import mean_absolute
from autoreg.methods.regularizers.orthogonality import gram_deviation
from autoreg.methods.sparsity.masks import attach_masks
from autoreg.methods.testing import tiny_batches, tiny_model, train_steps
from autoreg.network.weights import weight_of


def linear(*rows: list[float]) -> nn.Sequential:
    weight = torch.tensor(rows)
    model = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0], bias=False))
    with torch.no_grad():
        weight_of(model[0]).copy_(weight)
    return model


def test_l1_is_the_mean_over_all_elements_of_all_layers() -> None:
    """Doubling the network by a copy of itself leaves the term as it is."""
    one, other = torch.tensor([[1.0, -2.0]]), torch.tensor([[4.0], [0.0]])
    assert float(mean_absolute([one, other])) == pytest.approx(7 / 4)
    assert float(mean_absolute([one, other, one, other])) == pytest.approx(7 / 4)
    model = linear([1.0, -2.0], [0.0, 3.0])
    loss = create("regularizer", "l1", {"strength": 8.0}).loss(State(model=model))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(8 * 6 / 4)
    gradient = weight_of(model[0]).grad
    assert gradient is not None
    assert gradient.tolist() == [[2.0, -2.0], [0.0, 2.0]]  # strength / 4 · sign, 0 at 0


def test_l1_reads_weights_through_their_mask() -> None:
    model = linear([1.0, -2.0])
    attach_masks(model, {"0": torch.tensor([[True, False]])})
    assert float(create("regularizer", "l1", {"strength": 1.0}).loss(State(model=model)).detach()) == 0.5


def test_group_norms_by_hand() -> None:
    weight = torch.zeros(2, 2, 1, 2)
    weight[0, 0, 0] = torch.tensor([3.0, 4.0])
    weight[1, 0, 0, 1] = 12.0
    assert group_norms(weight, "filter").tolist() == [5.0, 12.0]
    assert group_norms(weight, "channel").tolist() == [13.0, 0.0]
    torch.testing.assert_close(group_norms(weight, "shape"), torch.tensor([[[3.0, math.sqrt(160.0)]], [[0.0, 0.0]]]))
    with pytest.raises(InputError, match="group = 'row'; allowed: filter, channel, shape"):
        group_norms(weight, "row")


def test_group_lasso_with_groups_of_one_weight_is_l1() -> None:
    model = linear([1.0], [-2.0], [4.0])
    params = {"strength": 3.0}
    lasso = create("regularizer", "group_lasso", {**params, "group": "filter"}).loss(State(model=model))
    assert float(lasso.detach()) == pytest.approx(
        float(create("regularizer", "l1", params).loss(State(model=model)).detach())
    )


def test_group_penalty_weighs_groups_by_the_root_of_their_size() -> None:
    weight = torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    assert float(group_penalty(weight, "filter")) == pytest.approx(2 * 5.0)


def test_gradient_of_a_group_of_zeros_is_zero() -> None:
    weight = torch.zeros(2, 3, requires_grad=True)
    torch.autograd.backward(group_norms(weight, "filter").sum())
    assert weight.grad is not None
    assert not weight.grad.any()


@pytest.mark.parametrize(("group", "threshold"), [("filter", 1.5), ("channel", 1.6), ("shape", 0.8)])
def test_proximal_step_equals_a_numerical_minimizer(group: str, threshold: float) -> None:
    """prox(v) minimizes ½‖w − v‖² + t·Σ‖w_g‖ over w."""
    value = torch.randn(3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.tensor(flat.reshape(value.shape), requires_grad=True)
        # the norm is smoothed a little, so that a quasi-Newton method can solve it near zero groups
        dims = {"filter": (1, 2), "channel": (0, 2), "shape": (0,)}[group]
        norms = (w.square().sum(dims) + 1e-14).sqrt()
        total = 0.5 * (w - value).square().sum() + threshold * norms.sum()
        torch.autograd.backward(total)
        assert w.grad is not None
        return float(total.detach()), w.grad.numpy().reshape(-1)

    found = optimize.minimize(
        objective, value.numpy().reshape(-1), jac=True, method="L-BFGS-B", options={"ftol": 1e-15}
    )
    shrunk = shrink_groups(value, group, threshold)
    np.testing.assert_allclose(shrunk.numpy().reshape(-1), found.x, atol=2e-4)
    norms = group_norms(shrunk, group)
    assert bool((norms == 0).any())  # some groups are exactly zero
    assert bool((norms > 0).any())


def test_proximal_step_acts_after_the_optimizer_with_its_rate_and_makes_exact_zeros() -> None:
    """One filter of norm 5, one of 0.05; threshold = lr · strength · √|g| / numel = 0.1 · 2 · √2 / 4."""
    model = linear([3.0, 4.0], [0.03, 0.04])
    method = create("regularizer", "group_lasso", {"strength": 2.0, "group": "filter", "step": "proximal"})
    state = State(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    assert float(method.loss(state)) == 0.0
    method.after_step(state)
    factor = 1 - 0.1 * 2.0 * math.sqrt(2) / 4 / 5
    torch.testing.assert_close(weight_of(model[0]).detach(), torch.tensor([[3.0 * factor, 4.0 * factor], [0.0, 0.0]]))
    assert weight_of(model[0])[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_proximal_training_ends_at_the_minimum_of_loss_and_penalty_whatever_the_momentum(momentum: float) -> None:
    """½‖w − a‖² + λ‖w‖ with λ = strength · √|g| / numel = 1.5 has its minimum at a · (1 − 1.5 / ‖a‖)."""
    model, target = linear([0.0, 0.0]), torch.tensor([[3.0, 4.0]])
    method = create("regularizer", "group_lasso", {"strength": 1.5 * math.sqrt(2), "step": "proximal"})
    state = State(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.01, momentum=momentum))
    assert state.optimizer is not None
    for _ in range(2000):
        state.optimizer.zero_grad()
        torch.autograd.backward(0.5 * (weight_of(model[0]) - target).square().sum())
        state.optimizer.step()
        method.after_step(state)
    torch.testing.assert_close(weight_of(model[0]).detach(), 0.7 * target, rtol=0.02, atol=0.0)


def test_proximal_step_of_a_transposed_convolution_shrinks_its_outputs() -> None:
    model = nn.Sequential(nn.ConvTranspose1d(4, 6, 3, groups=2, bias=False))
    before = weight_of(model[0]).detach().clone()
    with torch.no_grad():
        weight_of(model[0])[:2, 0] *= 1e-4  # output 0 of the first group of two inputs
    method = create("regularizer", "group_lasso", {"strength": 100.0, "group": "filter", "step": "proximal"})
    method.after_step(State(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=1e-3)))
    after = weight_of(model[0])
    assert not after[:2, 0].any()
    assert bool((after[2:, 0] != 0).all())
    ratio = after[2:] / before[2:]
    torch.testing.assert_close(ratio[:, 1], ratio[:1, 1, :1].expand(2, 3))  # one factor per output


def test_parameters_that_are_not_optimized_are_not_shrunk() -> None:
    model = linear([0.03, 0.04])
    other = nn.Linear(1, 1)
    method = create("regularizer", "group_lasso", {"strength": 100.0, "step": "proximal"})
    method.after_step(State(model=model, optimizer=torch.optim.SGD(other.parameters(), lr=1.0)))
    assert weight_of(model[0]).tolist() == [[pytest.approx(0.03), pytest.approx(0.04)]]


def test_orthogonality_is_zero_on_orthonormal_rows_and_columns() -> None:
    square = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    for weight in (square[:4], square[:, :4], square[:4].reshape(4, 2, 3)):
        assert float(gram_deviation(weight).abs().max()) < 1e-12
    assert gram_deviation(square[:, :4]).shape == (4, 4)


def test_orthogonality_by_hand() -> None:
    """W = [[1, 1], [0, 2]]: WWᵀ − I = [[1, 2], [2, 3]], so the mean square is 18 / 4."""
    model = linear([1.0, 1.0], [0.0, 2.0])
    loss = create("regularizer", "orthogonality", {"strength": 2.0}).loss(State(model=model))
    assert float(loss.detach()) == pytest.approx(9.0)


def test_kurtosis_of_known_distributions() -> None:
    values = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(kurtosis(values)) == pytest.approx(3.0, abs=0.05)
    assert float(kurtosis(7 * values - 2)) == pytest.approx(float(kurtosis(values)))
    even = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    assert float(kurtosis(even)) == pytest.approx(1.8, abs=1e-3)
    assert float(kurtosis(torch.full((5,), 3.0))) == 0.0


def test_kurtosis_of_a_two_valued_sample_is_its_closed_form() -> None:
    """A share p of ones: (1 − 3p(1 − p)) / (p(1 − p))."""
    values = torch.zeros(10, dtype=torch.float64)
    values[:2] = 1.0
    assert float(kurtosis(values)) == pytest.approx((1 - 3 * 0.16) / 0.16)


def test_activation_kurtosis_is_the_mean_over_the_layers_that_were_seen_last() -> None:
    method = create("regularizer", "activation_kurtosis", {"strength": 2.0})
    state = State(model=nn.Linear(1, 1))
    sparse = torch.zeros(10, dtype=torch.float64)
    sparse[:2] = 1.0
    for _ in range(2):  # a second pass replaces the first
        method.observe(state, "a", None, None, torch.tensor([-1.0, 1.0], dtype=torch.float64))
        method.observe(state, "b", None, None, sparse)
    assert float(method.loss(state)) == pytest.approx(2.0 * (1.0 + 3.25) / 2)
    assert float(method.loss(state)) == 0.0
    with torch.no_grad():
        method.observe(state, "a", None, None, sparse)
    assert float(method.loss(state)) == 0.0


def test_activation_kurtosis_falls_under_training() -> None:
    torch.manual_seed(0)
    batches = tiny_batches(1) * 60

    def after(methods: list[object]) -> float:
        model = copy.deepcopy(start)
        train_steps(model, methods, batches, lr=0.02)
        return float(kurtosis(model[0](batches[0][0])).detach())

    start = tiny_model()
    assert after([create("regularizer", "activation_kurtosis", {"strength": 0.5})]) < after([]) - 0.1


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4)])
@pytest.mark.parametrize("theta", [0.05, 0.4])
def test_label_smoothing_equals_torch(shape: tuple[int, ...], theta: float) -> None:
    """Value and gradient; classes are last, as a language model has them."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(shape[-1], shape[:-1], generator=generator).reshape(-1)
    flat = logits.reshape(-1, shape[-1])
    base = nn.functional.cross_entropy(flat, labels)
    method = create("regularizer", "label_smoothing", {"theta": theta, "switch_off": 1.0})
    ours = base + method.loss(State(model=nn.Linear(1, 1), output=logits, base_loss=base))
    theirs = nn.functional.cross_entropy(flat, labels, label_smoothing=theta)
    torch.testing.assert_close(ours, theirs)
    mine, other = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(mine, other)


def test_label_smoothing_is_switched_off_at_its_share_of_training() -> None:
    method = create("regularizer", "label_smoothing", {"theta": 0.2, "switch_off": 0.5})
    state = State(model=nn.Linear(1, 1), epochs=2, steps_per_epoch=5, output=torch.randn(2, 3))
    state.base_loss = torch.tensor(1.0)
    for step in range(10):
        state.step = step
        assert (float(method.loss(state)) == 0.0) == (step >= 5)


def test_label_smoothing_refuses_outputs_without_classes() -> None:
    method = create("regularizer", "label_smoothing")
    state = State(model=nn.Linear(1, 1), output=torch.zeros(4, 1), base_loss=torch.tensor(1.0))
    with pytest.raises(InputError, match=r"shape \(4, 1\); it needs logits over two or more classes"):
        method.loss(state)
