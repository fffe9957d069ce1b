"""Outputs of a file against those that a trial recorded."""

from __future__ import annotations

import pytest
import torch

from autoreg.artifacts.verify import MismatchError, compare, quality_fault, record


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
    assert compare(one, one + 0.1).fault(integers=True) is None  # 3.5 % of the spread
    assert compare(one, one + 1.0).fault(integers=True) is not None


def test_the_same_answers_are_not_enough() -> None:
    """A file that is 21 % off and answers alike is not the trial's model."""
    one = torch.tensor([[4.0, 0.0], [0.0, 4.0]]).repeat(20, 1)
    found = compare(one, one + torch.tensor([0.42, 0.42]))
    assert (found.top1, round(found.relative_rms, 2)) == (1.0, 0.21)
    assert "21.0%" in str(found.fault(integers=True))


def test_quality_may_differ_by_single_answers() -> None:
    """A hundredth of the way to chance, or two standard errors of the share: by hand, of 400 answers with 40 wrong."""
    standard = 2 * ((42 / 404) * (362 / 404) / 404) ** 0.5
    assert quality_fault(0.1, 0.1 + standard - 1e-9, 0.9, answers=400) is None
    assert quality_fault(0.1, 0.1 + standard + 1e-9, 0.9, answers=400) is not None
    assert quality_fault(0.1, 0.1 - standard - 1e-9, 0.9, answers=400) is not None
    assert quality_fault(2.0, 2.019, 4.0, answers=None) is None
    assert quality_fault(2.0, 2.021, 4.0, answers=None) is not None
    assert quality_fault(0.0, 1 / 50, 0.9, answers=50) is None
    assert quality_fault(0.1, float("nan"), 0.9, answers=400) is not None


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
