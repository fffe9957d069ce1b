"""Every method that the package has meets the contract that users' methods must meet."""

from __future__ import annotations

import pytest

from autoreg.methods import METHOD_KINDS, method_class, registry
from autoreg.methods.testing import check_method

METHODS = [(kind, name) for kind, named in registry().methods.items() for name in named]


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=[f"{kind}-{name}" for kind, name in METHODS])
def test_method_meets_the_contract(kind: str, name: str) -> None:
    check_method(method_class(kind, name))


def test_there_is_a_method_of_every_kind_and_none_of_another() -> None:
    assert {kind for kind, _ in METHODS} == set(METHOD_KINDS)


def test_every_hook_of_a_training_step_is_used_by_some_method() -> None:
    used = {hook for named in registry().methods.values() for spec in named.values() for hook in spec.hooks}
    assert used == {"prepare", "batch", "observe", "loss", "gradient", "after_step", "finish"}
