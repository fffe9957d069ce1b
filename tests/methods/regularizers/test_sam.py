"""Sharpness-aware minimization, step by step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from autoreg.methods import State, create
from autoreg.methods.regularizers.sam import ascent
from autoreg.methods.testing import tiny_batches, tiny_model
from autoreg.network.weights import weight_of


def closure_of(model: nn.Module, seen: list[list[Tensor]], fail_at: int = -1) -> Callable[[], Tensor]:
    """A closure that notes the weights at every call."""
    images, labels = tiny_batches(1)[0]

    def closure() -> Tensor:
        model.zero_grad()
        seen.append([p.detach().clone() for p in model.parameters()])
        if len(seen) == fail_at:
            raise RuntimeError("out of memory")
        loss = nn.functional.cross_entropy(model(images), labels)
        torch.autograd.backward(loss)
        return loss

    return closure


def test_ascent_has_length_rho_over_all_tensors_together() -> None:
    steps = ascent([torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])], 0.1)
    assert steps is not None
    torch.testing.assert_close(steps[0], torch.tensor([0.06, 0.0]))
    torch.testing.assert_close(steps[1], torch.tensor([[0.08]]))


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_ascent_does_nothing_without_a_usable_gradient(bad: float) -> None:
    assert ascent([torch.tensor([bad])], 0.1) is None


@pytest.mark.parametrize("rho", [0.01, 0.3])
def test_second_pass_is_at_distance_rho_up_the_gradient_and_weights_come_back_exactly(rho: float) -> None:
    model = tiny_model()
    seen: list[list[Tensor]] = []
    start = [p.detach().clone() for p in model.parameters()]
    loss = create("regularizer", "sam", {"rho": rho}).gradient(State(model=model), closure_of(model, seen))
    assert len(seen) == 2
    moved = torch.cat([(b - a).flatten() for a, b in zip(*seen, strict=True)])
    assert float(moved.norm()) == pytest.approx(rho, rel=1e-4)
    assert all(torch.equal(p, s) for p, s in zip(model.parameters(), start, strict=True))
    second: list[list[Tensor]] = []
    again = closure_of(model, second)
    assert float(again().detach()) == float(loss.detach())  # the loss returned is the unperturbed one
    grads = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert float(torch.nn.functional.cosine_similarity(moved, grads, dim=0)) == pytest.approx(1.0, abs=1e-4)


def test_gradient_of_a_quadratic_is_taken_at_the_perturbed_point() -> None:
    """f(w) = ½ Σ a w²: the gradient is a·(w + rho·aw/‖aw‖)."""
    model = nn.Linear(2, 1, bias=False)
    a, w = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, -1.0]])
    with torch.no_grad():
        model.weight.copy_(w)

    def closure() -> Tensor:
        model.zero_grad()
        loss = 0.5 * (a * model.weight.square()).sum()
        torch.autograd.backward(loss)
        return loss

    create("regularizer", "sam", {"rho": 0.2}).gradient(State(model=model), closure)
    first = a * w
    assert model.weight.grad is not None
    torch.testing.assert_close(model.weight.grad, a * (w + 0.2 * first / first.norm()))


def test_batch_norm_statistics_are_those_of_the_first_pass_alone() -> None:
    plain, sharp = tiny_model(), tiny_model()
    sharp.load_state_dict(plain.state_dict())
    closure_of(plain, [])()
    create("regularizer", "sam", {"rho": 0.5}).gradient(State(model=sharp), closure_of(sharp, []))
    for (name, a), (_, b) in zip(plain.named_buffers(), sharp.named_buffers(), strict=True):
        assert torch.equal(a, b), name
    assert int(sharp.get_buffer("1.num_batches_tracked")) == 1


def test_frozen_weights_do_not_move_and_an_error_in_the_second_pass_restores_all() -> None:
    model = tiny_model()
    weight_of(model[0]).requires_grad_(False)
    start = [p.detach().clone() for p in model.parameters()]
    seen: list[list[Tensor]] = []
    with pytest.raises(RuntimeError, match="out of memory"):
        create("regularizer", "sam").gradient(State(model=model), closure_of(model, seen, fail_at=2))
    assert torch.equal(seen[1][0], start[0])
    assert all(torch.equal(p, s) for p, s in zip(model.parameters(), start, strict=True))
