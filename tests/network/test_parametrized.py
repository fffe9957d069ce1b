"""Parametrized layers cost what the plain ones cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn
from torch.nn.utils import parametrizations

from autoreg.costs.count import count
from autoreg.costs.predict import predict
from autoreg.network.profile import profile
from tests.network.test_any_module import ROWS, SEQUENCE


@pytest.mark.parametrize(
    "wrap", [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal]
)
def test_parametrized_layers_cost_what_the_plain_ones_cost(wrap: Callable[..., nn.Module]) -> None:
    """What computes a weight is baked before anything is deployed, and is no part of the costs."""
    plain = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    expected = count(plain, ROWS)
    wrap(plain[0])
    assert count(plain, ROWS) == expected
    assert predict(profile(plain, ROWS)) == expected


def test_a_parametrized_recurrent_layer_costs_what_the_plain_one_costs() -> None:
    model = nn.LSTM(6, 4, batch_first=True)
    expected = count(model, SEQUENCE)
    parametrizations.weight_norm(model, "weight_ih_l0")
    assert count(model, SEQUENCE) == expected


def test_the_older_spectral_norm_costs_what_the_plain_layer_costs() -> None:
    model = nn.Sequential(nn.Linear(6, 5))
    expected = count(model, ROWS)
    nn.utils.spectral_norm(model[0])
    assert count(model, ROWS) == expected
