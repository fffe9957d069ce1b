"""The mathematics of quantization."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autoreg.errors import InputError
from autoreg.methods.functional.affine import (
    dequantize,
    fake_quantize,
    integer_range,
    mean_nonzero,
    quantize,
    range_parameters,
)
from autoreg.methods.quantization.lsq import lsq, lsq_step

VALUES = st.lists(st.floats(-1e3, 1e3, width=32).filter(lambda v: v == 0 or abs(v) > 1e-3), min_size=1, max_size=20)
ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)


def test_codes_by_hand() -> None:
    """−1 to 2 on 4 levels: scale 1, zero point 1."""
    scale, zero = range_parameters(torch.tensor(-1.0), torch.tensor(2.0), 2, symmetric=False)
    assert (float(scale), float(zero)) == (1.0, 1.0)
    codes = quantize(torch.tensor([-5.0, -1.0, 0.0, 0.6, 1.5, 2.0, 9.0]), scale, zero, 0, 3)
    assert codes.tolist() == [0, 0, 1, 2, 3, 3, 3]
    assert dequantize(codes, scale, zero).tolist() == [-1, -1, 0, 1, 2, 2, 2]
    scale, zero = range_parameters(torch.tensor(-4.0), torch.tensor(2.0), 8, symmetric=True)
    assert float(scale) == pytest.approx(4 / 127)
    assert float(zero) == 0.0


@settings(deadline=None)
@given(VALUES, st.integers(2, 8), st.booleans())
def test_error_is_at_most_half_a_step_and_zero_stays_zero(values: list[float], bits: int, symmetric: bool) -> None:
    tensor = torch.tensor([*values, 0.0], dtype=torch.float64)
    scale, zero = range_parameters(tensor.amin(), tensor.amax(), bits, symmetric=symmetric)
    low, high = integer_range(bits, symmetric=symmetric)
    codes = quantize(tensor, scale, zero, low, high)
    back = dequantize(codes, scale, zero)
    assert float((back - tensor).abs().max()) <= float(scale) * (0.5 + 1e-9)
    assert float(back[-1]) == 0.0
    assert float(zero) == round(float(zero))
    assert len(set(codes.tolist())) <= 2**bits


def test_a_constant_zero_has_a_usable_scale() -> None:
    for symmetric in (True, False):
        scale, zero = range_parameters(torch.zeros(2), torch.zeros(2), 4, symmetric=symmetric)
        assert scale.tolist() == [1.0, 1.0]
        assert zero.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("bits", [1, 9, 32, 8.0, True])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match=r"bits = .*; allowed: 2 to 8"):
        integer_range(bits, symmetric=True)


def test_gradient_of_fake_quantization_passes_straight_through_what_is_not_clamped() -> None:
    values = torch.tensor([-9.0, -0.4, 0.3, 9.0], requires_grad=True)
    out = fake_quantize(values, torch.tensor(0.5), torch.tensor(0.0), -3, 3)
    torch.autograd.backward(out.sum())
    assert out.tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def surrogate(values: Tensor, step: Tensor, residual: Tensor, low: int, high: int) -> Tensor:
    """What LSQ differentiates: rounding adds a residual that is held fixed, clipping is real."""
    return (torch.clamp(values / step, low, high) + residual) * step


@pytest.mark.parametrize(("low", "high"), [(-8, 7), (0, 15), (-2, 1)])
def test_lsq_gradients_equal_finite_differences_of_the_surrogate_and_the_paper(low: int, high: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = (4 * torch.randn(200, generator=generator, dtype=torch.float64)).requires_grad_()
    step = torch.tensor(0.37, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(200, generator=generator, dtype=torch.float64)
    out = lsq(values, step, ZERO, low, high, ONE)
    by_values, by_step = torch.autograd.grad((out * upstream).sum(), [values, step])

    v, s, eps = values.detach(), step.detach(), 1e-6
    ratio = torch.clamp(v / s, low, high)
    residual = torch.round(ratio) - ratio
    assert torch.equal(out.detach(), torch.round(ratio) * s)
    up, down = (surrogate(v, s + d, residual, low, high) for d in (eps, -eps))
    numeric = float(((up - down) / (2 * eps) * upstream).sum())
    assert float(by_step) == pytest.approx(numeric, rel=1e-6)
    up, down = (surrogate(v + d, s, residual, low, high) for d in (eps, -eps))
    torch.testing.assert_close(by_values, (up - down) / (2 * eps) * upstream, rtol=1e-6, atol=1e-8)

    inside = (v / s > low) & (v / s < high)
    closed = torch.where(inside, torch.round(v / s) - v / s, torch.where(v / s <= low, float(low), float(high)))
    assert float(by_step) == pytest.approx(float((closed * upstream).sum()))  # equation 3
    torch.testing.assert_close(by_values, upstream * inside)  # equation 5
    assert bool(inside.any())
    assert not bool(inside.all())


def test_lsq_scales_the_gradient_of_the_step_alone() -> None:
    values = torch.tensor([0.3, 9.0], dtype=torch.float64, requires_grad=True)
    step = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    out = lsq(values, step, ZERO, -4, 3, torch.tensor(0.25, dtype=torch.float64))
    assert out.tolist() == [0.0, 3.0]
    by_values, by_step = torch.autograd.grad(out.sum(), [values, step])
    assert by_values.tolist() == [1.0, 0.0]
    assert float(by_step) == pytest.approx(0.25 * (-0.3 + 3.0))


def test_lsq_with_a_zero_point_is_a_shifted_range_and_equals_its_codes_without_gradients() -> None:
    values = torch.linspace(-3, 9, 50, dtype=torch.float64, requires_grad=True)
    step, zero = torch.tensor(0.5, dtype=torch.float64), torch.tensor(4.0, dtype=torch.float64)
    out = lsq(values, step, zero, 0, 15, ONE)
    assert float(out.detach().min()) == -2.0  # Q_n = 4
    assert float(out.detach().max()) == 5.5  # Q_p = 11
    with torch.no_grad():
        assert torch.equal(lsq(values, step, zero, 0, 15, ONE), out)


def test_first_step_is_the_papers() -> None:
    assert float(lsq_step(torch.tensor(3.0), torch.tensor(7.0))) == pytest.approx(2 * 3 / 7**0.5)
    assert float(lsq_step(torch.tensor(0.0), torch.tensor(7.0))) == 1.0


def test_mean_size_leaves_out_what_a_mask_removed() -> None:
    values = torch.tensor([[1.0, -3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert mean_nonzero(values, (1,)).tolist() == [2.0, 0.0]
