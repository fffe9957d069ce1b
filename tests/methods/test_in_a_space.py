"""What methods declare is understood by the space: ranges, bounds and rules between options."""

from __future__ import annotations

from typing import Any

import pytest

from autoreg.errors import InputError
from autoreg.methods import create, from_recipe, registry
from autoreg.space import complete_recipe


def recipe(**parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = complete_recipe(parts, registry(), ())
    return found


@pytest.mark.parametrize("kind", ["regularizer", "noise", "reparam", "teacher", "averaging", "sparsity"])
def test_every_method_by_its_bare_name_becomes_a_recipe_that_creates_it(kind: str) -> None:
    kind_of = {"sparsity": "structure"}.get(kind, kind)
    for name in registry().methods[kind_of]:
        complete = recipe(**{kind: name}, training={"start": "pretrained"})  # which some methods ask for
        assert from_recipe(kind_of, complete[kind]) == create(kind_of, name)


def test_rules_of_methods_are_enforced_before_anything_trains() -> None:
    proximal = {"group_lasso": {"strength": 1.0, "group": "filter", "step": "proximal"}}
    with pytest.raises(InputError, match="use step: subgradient"):
        recipe(regularizer=proximal, reparam="spectral_norm")
    recipe(regularizer=proximal)
    for structure in ("weight", "2:4"):
        with pytest.raises(InputError, match="ends after it starts"):
            recipe(sparsity={structure: {"schedule": {"gradual": {"start": 0.6, "end": 0.4}}}})
    with pytest.raises(InputError, match=r"qat_epochs to 1 or more"):
        recipe(quantization={"quantizer": "lsq", "weights": {"bits": 4}}, training={"qat_epochs": 0})
    recipe(quantization={"quantizer": "lsq", "weights": {"bits": 4}}, training={"qat_epochs": 1})
