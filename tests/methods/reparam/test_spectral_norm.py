"""Spectral normalization."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoreg.methods import State, create, weighted_layers
from autoreg.methods.testing import tiny_batches, tiny_model, train_steps
from autoreg.methods.weights import raw_weight
from autoreg.network.weights import weight_of


def largest_singular_value(module: nn.Module) -> float:
    return float(torch.linalg.matrix_norm(weight_of(module).detach().flatten(1), 2))


def test_baked_weights_have_spectral_norm_one() -> None:
    model = tiny_model()
    train_steps(model, [create("reparam", "spectral_norm", {"iterations": 50})], tiny_batches(), lr=1e-3)
    for name, module in weighted_layers(model):
        assert largest_singular_value(module) == pytest.approx(1.0, abs=1e-3), name
        assert type(module.weight) is nn.Parameter


def test_baking_keeps_the_outputs_that_evaluation_saw() -> None:
    model = tiny_model()
    state = State(model=model, generator=torch.Generator().manual_seed(0))
    method = create("reparam", "spectral_norm")
    method.prepare(state)
    images = tiny_batches(1)[0][0]
    with torch.no_grad():
        raw_weight(model[6]).normal_()  # another power iteration would change the norm
    before = model.eval()(images)
    model.train()
    method.finish(state)
    assert model.training
    torch.testing.assert_close(model.eval()(images), before)
    assert not any(key.startswith("parametrizations") for key in model.state_dict())


def test_first_vectors_come_from_the_given_generator_and_the_global_one_is_left_alone() -> None:
    def vectors(seed: int) -> list[float]:
        model = nn.Sequential(nn.Linear(6, 5))
        with torch.no_grad():
            weight_of(model[0]).copy_(torch.arange(30.0).reshape(5, 6).sin())
        before = torch.get_rng_state()
        create("reparam", "spectral_norm").prepare(State(model=model, generator=torch.Generator().manual_seed(seed)))
        assert torch.equal(torch.get_rng_state(), before)
        found: list[float] = model.state_dict()["0.parametrizations.weight.0._u"].tolist()
        return found

    assert vectors(1) == vectors(1)
    assert vectors(1) != vectors(2)
