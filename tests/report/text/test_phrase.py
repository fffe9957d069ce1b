"""Recipes in a few words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from autoreg.report.text.phrase import number, recipe_phrase
from tests.report.conftest import DENSE


def recipe(**changes: Any) -> dict[str, Any]:
    """The dense recipe with some sections changed."""
    return {**copy.deepcopy(DENSE), **changes}


def test_a_recipe_says_what_it_does_and_leaves_out_what_it_leaves_alone() -> None:
    """The phrase names structure, amount, criterion, allocation, bits, regularizer and dropped blocks."""
    channel = {
        "channel": {
            "criterion": {"magnitude": {}},
            "allocation": {"uniform": {}},
            "amount": 0.4,
            "schedule": {"one_shot": {}},
        }
    }
    bits = {"quantizer": {"rtn": {}}, "weights": {"bits": 8}, "activations": {"bits": 8}}
    full = recipe(
        sparsity=channel,
        quantization=bits,
        regularizer={"l1": {"strength": 1e-4}},
        layers={"train": {"all": {}}, "drop": {"last": {"count": 1}}},
    )
    assert recipe_phrase(full) == "channel 40% magnitude/uniform · 8/8 bits · l1 1e-4 · drop last 1"
    assert recipe_phrase(DENSE) == "dense"
    assert recipe_phrase({**DENSE, "training": {"start": "pretrained", "share": 0.1}}) == (
        "from pretrained · on 10% of the data"
    )


def test_values_by_layer_are_written_as_a_range() -> None:
    """Amounts and bits that differ by layer show the lowest and the highest."""
    amount = {"per_layer": {"conv1": 0.3, "conv2": 0.8}}
    weight = {
        "weight": {
            "criterion": {"wanda": {}},
            "allocation": {"each_layer": {}},
            "amount": amount,
            "schedule": {"gradual": {}},
        }
    }
    bits = {"quantizer": {"lsq": {}}, "weights": {"bits": {"per_layer": {"a": 2, "*": 8}}}, "activations": {"bits": 32}}
    phrase = recipe_phrase(recipe(sparsity=weight, quantization=bits))
    assert phrase == "weight 30–80% by layer wanda/each_layer gradual · 2–8 by layer/32 bits lsq"


def test_a_config_of_another_kind_lists_its_values() -> None:
    """A Python objective's config has no slots: names and values."""
    assert recipe_phrase({"x": 0.25, "kind": "a", "opt": {"sgd": {"lr": 0.001}}}) == "x=0.25 · kind=a · opt=sgd 0.001"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-4, "1e-4"), (0.4, "0.4"), (12, "12"), (0.00123, "0.00123"), (1.25e-7, "1.25e-7"), (True, "True")],
)
def test_numbers_are_short(value: Any, text: str) -> None:
    """At most three digits, small ones with an exponent."""
    assert number(value) == text


def test_several_methods_of_a_slot_each_have_their_words() -> None:
    """A cocktail reads as its parts do alone."""
    several = {"l1": {"strength": 0.1}, "sam": {"rho": 0.05}}
    alone = [recipe_phrase(recipe(regularizer={name: params})) for name, params in several.items()]
    assert recipe_phrase(recipe(regularizer=several)) == " · ".join(alone) == "l1 0.1 · sam 0.05"
