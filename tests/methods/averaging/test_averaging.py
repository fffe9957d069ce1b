"""Averages of weights against numpy, on a path of weights that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods import create, registry
from autoreg.methods.averaging.ema import decay_per_step
from autoreg.methods.averaging.weights import load_average
from autoreg.methods.discovery import method_class
from autoreg.methods.sparsity.masks import attach_masks
from autoreg.methods.state import State
from autoreg.methods.testing import check_method
from autoreg.space import complete_recipe

EPOCHS, STEPS = 8, 3
PATH = torch.randn(EPOCHS * STEPS + 1, 2, 4, generator=torch.Generator().manual_seed(0))
"""Weights before the first step and after each."""
ENDS = PATH[STEPS::STEPS].double().numpy()
"""Weights at the ends of the epochs."""


def averages(name: str, **params: Any) -> list[Any]:
    """The average after each step along the path."""
    method, model = create("averaging", name, params), nn.Linear(4, 2, bias=False)
    state = State(model=model, epochs=EPOCHS, steps_per_epoch=STEPS)
    found: list[Any] = []

    def put(weight: Tensor) -> None:
        with torch.no_grad():
            model.weight.copy_(weight)

    put(PATH[0])
    if hasattr(method, "prepare"):
        method.prepare(state)
    for step, weight in enumerate(PATH[1:]):
        put(weight)
        state.epoch = step // STEPS
        if hasattr(method, "after_step"):
            method.after_step(state)
        state.step = step + 1
        average = method.average(state)
        found.append(None if average is None else average["weight"])
    assert torch.equal(model.weight.detach(), PATH[-1])  # what is trained stays as it is
    return found


def test_ema_is_the_closed_form_of_its_recursion() -> None:
    """a^t w0 + (1 - a) sum a^(t-i) w_i."""
    decay = decay_per_step(0.7, STEPS)
    assert decay == pytest.approx(np.exp(-1 / (0.7 * STEPS)))
    path = PATH.double().numpy()
    for step, average in enumerate(averages("ema", horizon=0.7), 1):
        powers = (1 - decay) * decay ** np.arange(step - 1, -1, -1)
        expected = decay**step * path[0] + np.tensordot(powers, path[1 : step + 1], 1)
        np.testing.assert_allclose(average, expected, rtol=0, atol=1e-6)


def test_lawa_is_the_mean_of_the_last_epochs_ends() -> None:
    found = averages("lawa", count=3)
    assert found[: STEPS - 1] == [None] * (STEPS - 1)
    for epoch in range(1, EPOCHS + 1):
        expected = ENDS[max(0, epoch - 3) : epoch].mean(axis=0)
        np.testing.assert_allclose(found[epoch * STEPS - 1], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("start", "first"), [(0.5, 4), (0.75, 6), (0.9, 7), (1.0, 7), (0.0, 0)])
def test_swa_is_the_mean_of_all_epochs_ends_after_its_start(start: float, first: int) -> None:
    found = averages("swa", start=start)
    before = first * STEPS + STEPS - 1
    assert found[:before] == [None] * before
    np.testing.assert_allclose(found[-1], ENDS[first:].mean(axis=0), rtol=0, atol=1e-6)


def test_bcwi_lies_between_the_weights_before_and_after() -> None:
    expected = 0.3 * PATH[0].double() + 0.7 * PATH[-1].double()
    np.testing.assert_allclose(averages("bcwi", old=0.3)[-1], expected, rtol=0, atol=1e-6)


def test_bcwi_is_refused_where_training_begins_with_random_weights() -> None:
    with pytest.raises(InputError, match="random where it begins from scratch"):
        complete_recipe({"averaging": "bcwi"}, registry())
    complete_recipe({"averaging": "bcwi", "training": {"start": "pretrained"}}, registry())


@pytest.mark.parametrize("name", registry().methods["averaging"])
def test_weights_that_are_not_trained_stay_exactly_what_they_are(name: str) -> None:
    method, model = create("averaging", name), nn.Linear(4, 2)
    state = State(model=model, epochs=3, steps_per_epoch=5)
    run: dict[str, Callable[[State], None]] = {h: getattr(method, h, lambda s: None) for h in ("prepare", "after_step")}
    run["prepare"](state)
    for state.step in range(15):
        run["after_step"](state)
    average = method.average(state)
    assert all(torch.equal(average[name], p) for name, p in model.named_parameters())


def test_what_is_masked_stays_zero() -> None:
    layer = nn.Linear(4, 2)
    model = nn.Sequential(layer)
    mask = torch.tensor([[True, False, True, False]] * 2)
    attach_masks(model, {"0": mask})
    load_average(model, {"0.parametrizations.weight.original": torch.full((2, 4), 3.0)})
    assert torch.equal(layer.weight.detach(), 3.0 * mask)


@pytest.mark.parametrize("name", registry().methods["averaging"])
def test_they_meet_the_contract(name: str) -> None:
    check_method(method_class("averaging", name))
