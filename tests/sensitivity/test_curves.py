"""Distortion of one layer at a time, against closed forms on a linear network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.sensitivity.curves import NOT_FINITE, Dense, Distortion, curves, weights_set


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 3, bias=False)).double()


def batches(sizes: tuple[int, ...] = (5, 2)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 4, generator=generator, dtype=torch.float64) for size in sizes]


def outputs(model: nn.Module, batch: Tensor) -> Tensor:
    found: Tensor = model(batch)
    return found


@contextlib.contextmanager
def scaled(model: nn.Module, *, name: str, factor: float) -> Iterator[nn.Module]:
    with weights_set(model, {name: model.get_parameter(f"{name}.weight").detach() * factor}):
        yield model


def test_distortions_are_means_over_all_samples_of_unequal_batches() -> None:
    model, parts = network(), batches()
    dense = Dense(model, parts, outputs)
    first = model(torch.cat(parts)).detach()
    with scaled(model, name="0", factor=0.5):
        found = dense.distortion(model)
        logits = outputs(model, torch.cat(parts)).detach()
    divergence = nn.functional.kl_div(logits.log_softmax(-1), first.softmax(-1), reduction="batchmean")
    assert found == pytest.approx(Distortion(float((first - logits).square().mean()), float(divergence)), rel=1e-5)
    assert dense.distortion(model) == Distortion(0.0, 0.0)  # the weight is back


def test_only_some_batches_are_looked_at() -> None:
    model, parts = network(), batches()
    second = Dense(model, parts[1:], outputs)
    with scaled(model, name="1", factor=0.0):
        assert Dense(network(), parts, outputs).distortion(model, [1]) == second.distortion(model)


def test_one_layer_at_a_time_in_a_linear_network() -> None:
    """f(x) = BAx: with A at factor c, the outputs move by (1 - c)f(x); so they do with B."""
    model, parts = network(), batches()
    energy = float(outputs(model, torch.cat(parts)).detach().square().mean())
    factors = {10: 1.0, 5: 0.5, 1: 0.1}
    variants = {
        name: {level: None if c == 1.0 else partial(scaled, name=name, factor=c) for level, c in factors.items()}
        for name in ("0", "1")
    }
    seen: list[tuple[int, int]] = []
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = curves(model, Dense(model, parts, outputs), variants, progress=lambda *at: seen.append(at))
    for curve in found.values():
        assert curve.levels == (10, 5, 1)
        assert curve.mse == pytest.approx((0.0, 0.25 * energy, 0.81 * energy), rel=1e-6)
        assert curve.distortion == curve.kl
        assert curve.kl[0] == 0.0 < curve.kl[1] < curve.kl[2]
    assert seen == [(k, 6) for k in range(1, 7)]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_single_output_is_judged_by_its_squared_difference() -> None:
    model = nn.Linear(4, 1, bias=False).double()
    variants = {"": {2: None, 1: partial(_doubled)}}
    curve = curves(model, Dense(model, batches(), outputs), variants)[""]
    assert curve.kl == (0.0, 0.0)
    assert curve.distortion == curve.mse
    assert curve.mse[1] == pytest.approx(float(outputs(model, torch.cat(batches())).detach().square().mean()))


@contextlib.contextmanager
def _doubled(model: nn.Module) -> Iterator[nn.Module]:
    twice = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        twice.weight.copy_(2 * model.get_parameter("weight"))
    yield twice


def test_what_is_not_finite_is_as_bad_as_can_be_and_refused_of_the_dense_network() -> None:
    model = network()
    dense = Dense(model, batches(), outputs)
    with scaled(model, name="0", factor=math.nan):
        assert dense.distortion(model) == Distortion(NOT_FINITE, NOT_FINITE)
        with pytest.raises(InputError, match="are not finite"):
            Dense(model, batches(), outputs)
    with pytest.raises(InputError, match="no calibration batch"):
        Dense(model, [], outputs)
