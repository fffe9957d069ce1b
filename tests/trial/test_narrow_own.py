"""A narrow network for a loop of one's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import autoreg
from autoreg.errors import InputError
from tests.trial.conftest import TinyTask

EXAMPLE = torch.zeros(1, 1, 8, 8)
HALF: dict[str, Any] = {"network": {"width": 0.5, "blocks": {"first": {"keep": 1}}}, "regularizer": "l1"}


def attach(model: nn.Module, recipe: dict[str, Any]) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return autoreg.attach(model, optimizer, recipe, epochs=1, steps_per_epoch=1)


def test_a_fresh_one_is_drawn_anew_and_attached() -> None:
    torch.manual_seed(0)
    whole = TinyTask().build_model()
    model = autoreg.narrow(whole, EXAMPLE, HALF)
    assert model.get_parameter("0.0.weight").shape == (4, 1, 3, 3)
    assert isinstance(model.get_submodule("1.1"), nn.Identity)
    assert model(EXAMPLE).shape == (1, 10)
    assert whole.get_parameter("0.0.weight").shape == (8, 1, 3, 3)
    again, other = autoreg.narrow(whole, EXAMPLE, HALF), autoreg.narrow(whole, EXAMPLE, HALF, seed=1)
    assert torch.equal(model.get_parameter("4.weight"), again.get_parameter("4.weight"))
    assert not torch.equal(model.get_parameter("4.weight"), other.get_parameter("4.weight"))
    assert attach(model, HALF).methods  # the rest of the recipe


def test_with_a_pretrained_start_it_has_the_models_own_weights() -> None:
    torch.manual_seed(0)
    whole = TinyTask().build_model()
    inherit: dict[str, Any] = {"width": 0.5, "inherit": "importance"}
    with torch.no_grad():
        whole.get_parameter("0.0.weight").mul_(torch.tensor([0.1, 9, 0.1, 9, 0.1, 9, 9, 0.1]).view(8, 1, 1, 1))
        whole.get_parameter("4.weight").mul_(torch.tensor([0.1, 9, 0.1, 9, 0.1, 9, 9, 0.1]))
    model = autoreg.narrow(whole, EXAMPLE, {"network": inherit, "training": {"start": "pretrained"}})
    assert torch.equal(model.get_parameter("4.weight"), whole.get_parameter("4.weight")[:, [1, 3, 5, 6]])


def test_another_model_than_that_of_the_recipe_is_refused() -> None:
    whole = TinyTask().build_model()
    other = autoreg.narrow(whole, EXAMPLE, {"network": {"width": 0.25}})
    for model in (whole, other):
        with pytest.raises(InputError, match=r"attach: network: .* autoreg.narrow\(model, example_input, recipe\)"):
            attach(model, HALF)
    for neutral in ({}, {"network": {"width": 1.0}}):
        copied = autoreg.narrow(whole, EXAMPLE, neutral)
        assert attach(copied, {**neutral, "regularizer": "l1"}).methods


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"network": {"blocks": "snip"}}, "network.blocks: snip looks at data"),
        ({"network": {"width": 0.5, "inherit": "subcloning"}, "training": {"start": "pretrained"}}, "subcloning looks"),
        ({"network": {"blocks": {"first": {"keep": 5}}}}, "keep = 5, but the network has 2 blocks"),
    ],
)
def test_what_a_model_alone_cannot_answer_is_refused(recipe: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        autoreg.narrow(TinyTask().build_model(), EXAMPLE, recipe)
