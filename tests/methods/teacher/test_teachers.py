"""What a network learns from a teacher, in closed form and against other computations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoreg.errors import InputError
from autoreg.methods import State, create
from autoreg.methods.teacher.dampened import truth_weight
from autoreg.methods.teacher.kd import distillation_loss
from autoreg.methods.teacher.ttm import matching_loss

N, CLASSES = 4, 5


def drawn(seed: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(N, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def state(logits: Tensor, teacher: Tensor | None = None, **changes: Any) -> State:
    base = F.cross_entropy(logits, torch.arange(N) % CLASSES) if logits.shape[-1] > 1 else logits.square().mean()
    asked = None if teacher is None else lambda _batch: teacher
    return State(model=nn.Identity(), batch=logits, output=logits, base_loss=base, teacher=asked, **changes)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_gradient_of_distillation_is_the_difference_of_softened_probabilities(temperature: float) -> None:
    """By one sample's logits z it is T (softmax(z / T) − softmax(v / T)), of which the loss is the mean."""
    logits, teacher = drawn(0).requires_grad_(), drawn(1)
    distillation_loss(logits, teacher, temperature).backward()  # type: ignore[no-untyped-call]
    there = torch.softmax(logits.detach() / temperature, 1) - torch.softmax(teacher / temperature, 1)
    torch.testing.assert_close(logits.grad, temperature * there / N)


def test_at_high_temperatures_distillation_is_half_the_squared_distance_of_centred_logits() -> None:
    logits, teacher = drawn(0).requires_grad_(), drawn(1)
    loss = distillation_loss(logits, teacher, 1e4)
    loss.backward()  # type: ignore[no-untyped-call]
    apart = (logits - logits.mean(1, keepdim=True) - teacher + teacher.mean(1, keepdim=True)).detach()
    torch.testing.assert_close(loss.detach(), apart.square().mean() / 2, rtol=1e-3, atol=0.0)
    torch.testing.assert_close(logits.grad, apart / CLASSES / N, rtol=1e-3, atol=1e-5)


def test_there_is_nothing_to_learn_of_a_teacher_that_says_the_same() -> None:
    logits = drawn(0)
    assert float(distillation_loss(logits, logits + 3.0, 2.0)) == pytest.approx(0.0, abs=1e-12)
    assert float(matching_loss(logits, logits + 3.0, 1.0, weighted=False)) == pytest.approx(0.0, abs=1e-12)


def test_matching_is_distillation_and_the_renyi_entropy_of_the_network() -> None:
    """D(p_T ‖ q) = T · D(p_T ‖ q_T) + (T − 1)(H(p_T) − H_1/T(q)), H_a being Rényi's entropy of order a."""
    temperature, logits, teacher = 3.0, drawn(0), drawn(1)
    known, learned = torch.softmax(teacher / temperature, 1), torch.softmax(logits, 1)
    order = 1 / temperature
    renyi = (learned**order).sum(1).log() / (1 - order)
    shannon = -(known * known.log()).sum(1)
    expected = distillation_loss(logits, teacher, temperature) / temperature + (2.0 * (shannon - renyi)).mean()
    torch.testing.assert_close(matching_loss(logits, teacher, temperature, weighted=False), expected)


def test_weighted_matching_counts_samples_by_the_power_sum_of_the_teacher() -> None:
    temperature, logits, teacher = 2.0, drawn(0), drawn(1)
    powers = torch.softmax(teacher, 1) ** (1 / temperature)
    total = 0.0
    for one, said in zip(powers, logits, strict=True):
        total += float(one.sum() * F.kl_div(torch.log_softmax(said, 0), one / one.sum(), reduction="sum")) / N
    assert float(matching_loss(logits, teacher, temperature, weighted=True)) == pytest.approx(total)


def test_the_teacher_takes_its_weight_from_the_targets() -> None:
    logits, teacher = drawn(0), drawn(1)
    at = state(logits, teacher)
    assert at.base_loss is not None
    for weight in (0.0, 0.3, 1.0):
        added = create("teacher", "kd", {"weight": weight, "temperature": 2.0}).loss(at)
        there = (1 - weight) * at.base_loss + weight * distillation_loss(logits, teacher, 2.0)
        torch.testing.assert_close(at.base_loss + added, there)


def test_squared_error_by_hand() -> None:
    numbers, teacher = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0], [0.0], [3.0], [4.0]])
    at = state(numbers, teacher)
    total = float(at.base_loss + create("teacher", "squared_error", {"weight": 0.5}).loss(at))
    assert total == pytest.approx(0.5 * (1 + 4 + 9 + 16) / 4 + 0.5 * 4 / 4)


def test_a_network_learns_from_its_last_epoch_more_and_more() -> None:
    """Targets are (1 − a) the true ones and a what the last epoch's network says, with a = 0.8 t / 4."""
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(N) % CLASSES
    model = nn.Linear(3, CLASSES)
    method = create("teacher", "ps_kd", {"weight": 0.8})
    at = State(model=model, epochs=4, steps_per_epoch=2, batch=x, forward=lambda net, batch: net(batch))

    def total() -> Tensor:
        at.output = model(x)
        at.base_loss = F.cross_entropy(at.output, labels)
        found: Tensor = at.base_loss + method.loss(at)
        return found.detach()

    torch.testing.assert_close(total(), F.cross_entropy(model(x), labels).detach())  # the first has no last one
    at.epoch = 1
    last = torch.softmax(model(x), 1).detach()
    target = 0.6 * F.one_hot(labels, CLASSES) + 0.4 * last  # a = 0.8 · 2 / 4
    torch.testing.assert_close(total(), F.cross_entropy(model(x), target).detach())
    with torch.no_grad():
        model.weight.mul_(-1.0)  # within an epoch the network moves on and its teacher does not
    torch.testing.assert_close(total(), F.cross_entropy(model(x), target).detach())
    at.epoch = 2
    target = 0.4 * F.one_hot(labels, CLASSES) + 0.6 * torch.softmax(model(x), 1).detach()
    torch.testing.assert_close(total(), F.cross_entropy(model(x), target).detach())


def test_the_weight_of_the_truth_is_that_of_the_best_ridge_regression() -> None:
    """By fits to a y + (1 − a) f(y) for many a, each solved by itself, and its error on other data."""
    generator = torch.Generator().manual_seed(3)
    x, other = torch.randn(2, 40, 12, generator=generator, dtype=torch.float64)
    signs = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    y, unseen = (part @ signs + 4 * torch.randn(40, 2, generator=generator, dtype=torch.float64) for part in (x, other))

    def fit(targets: Tensor) -> Tensor:
        found: Tensor = torch.linalg.solve(x.T @ x + 5 * torch.eye(12, dtype=torch.float64), x.T @ targets)
        return found

    first = fit(y)
    found = truth_weight(unseen, other @ first, other @ fit(x @ first))

    def error(a: float) -> float:
        return float((other @ fit(a * y + (1 - a) * x @ first) - unseen).square().mean())

    best = min((k / 100 for k in range(101)), key=error)
    assert 0.0 < best < 1.0
    assert found == pytest.approx(best, abs=0.006)
    assert truth_weight(unseen, other @ first, other @ first) == 1.0  # nothing was learned twice


def test_dampened_targets_mix_the_truth_and_the_teacher() -> None:
    class Teacher:
        truth = 0.3

        def __call__(self, _batch: Tensor) -> Tensor:
            return drawn(1)

    at = state(drawn(0))
    at.teacher = Teacher()
    assert at.base_loss is not None
    target = 0.3 * F.one_hot(torch.arange(N) % CLASSES, CLASSES) + 0.7 * torch.softmax(drawn(1), 1)
    total = at.base_loss + create("teacher", "dampened").loss(at)
    torch.testing.assert_close(total, F.cross_entropy(drawn(0), target))
    with pytest.raises(InputError, match="has no `truth`"):
        create("teacher", "dampened").loss(state(drawn(0), drawn(1)))
    with pytest.raises(InputError, match="again = False"):
        create("teacher", "dampened", {"again": False})


@pytest.mark.parametrize("name", ["kd", "ttm", "ps_kd"])
def test_outputs_that_are_no_classes_are_refused(name: str) -> None:
    numbers = torch.zeros(N, 1)
    with pytest.raises(InputError, match=f"{name}: the model's output has shape \\(4, 1\\); it needs logits"):
        create("teacher", name).loss(state(numbers, numbers))


def test_a_teacher_that_is_missing_or_says_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="there is none to learn from"):
        create("teacher", "kd").loss(state(drawn(0)))
    with pytest.raises(InputError, match=r"outputs have shape \(4, 3\), those of the model \(4, 5\)"):
        create("teacher", "kd").loss(state(drawn(0), torch.zeros(N, 3)))


def test_a_teacher_is_asked_once_a_batch() -> None:
    """Sharpness-aware minimization computes the loss of a batch twice."""
    asked: list[Tensor] = []

    def teacher(batch: Tensor) -> Tensor:
        asked.append(batch)
        return torch.zeros_like(batch)

    at = state(drawn(0))
    at.teacher = teacher
    for _ in range(2):
        create("teacher", "kd").loss(at)
    assert len(asked) == 1
    at.batch = drawn(1)
    create("teacher", "kd").loss(at)
    assert len(asked) == 2
