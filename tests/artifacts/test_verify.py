"""Outputs of a file against those that a trial recorded."""

from __future__ import annotations

import pytest
import torch

from autoreg.artifacts.verify import MismatchError, compare, record


def test_agreement_by_hand() -> None:
    """Two samples of which one changes its answer; differences 0 and 3."""
    found = compare(torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[1.0, 0.0], [4.0, 2.0]]))
    assert (found.samples, found.top1, found.max_difference, found.scale) == (2, 0.5, 3.0, 2.0)
    assert found.relative_rms == pytest.approx((9 / 4) ** 0.5 / 0.5**0.5)
    assert "50.0%" in str(found.fault(integers=True))
    assert "up to 3" in str(found.fault(integers=False))


def test_float_noise_passes_and_a_wrong_file_does_not() -> None:
    """A thousandth of the largest output is allowed without rounding."""
    one = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    assert compare(one, one + 1e-5).fault(integers=False) is None
    assert compare(one, one + 0.1).fault(integers=False) is not None
    assert compare(one, one + 0.001).fault(integers=True) is None


def test_one_output_is_judged_by_its_spread() -> None:
    """Regression has no largest output."""
    one = torch.arange(10.0).reshape(10, 1)
    assert compare(one, one).top1 is None
    assert compare(one, one + 0.1).fault(integers=True) is None
    assert compare(one, one + 1.0).fault(integers=True) is not None


@pytest.mark.parametrize("other", [torch.zeros(3, 2), torch.full((2, 2), torch.nan)])
def test_other_shapes_and_numbers_that_are_not_finite_are_a_mismatch(other: torch.Tensor) -> None:
    """They are refused at once."""
    with pytest.raises(MismatchError):
        compare(torch.zeros(2, 2), other)


def test_a_record_is_bounded() -> None:
    """The first samples, at least one, of equal shape."""
    batches = [torch.full((4, 3), float(i)) for i in range(10)]
    assert record(batches, limit=30).shape == (10, 3)
    assert record(batches, limit=1).shape == (1, 3)
    assert record([torch.zeros(2, 5, 3), torch.zeros(2, 4, 3)]).shape == (2, 5, 3)
