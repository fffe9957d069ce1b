"""Declaring methods, finding them, and building them from a recipe."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pytest

from autoreg.errors import InputError
from autoreg.methods import (
    Paper,
    choice,
    create,
    from_recipe,
    integer,
    log,
    method,
    method_class,
    registry,
    slot,
    spec_of,
    uniform,
)

PAPER = Paper("Title", "Authors", 2024, arxiv="2401.00001")


def declare(name: str = "mine", kind: str = "regularizer", **options: Any) -> type[Any]:
    @method(name, kind=kind, paper=PAPER, **options)
    class Mine:
        """First sentence, on
        two lines.

        More.
        """

        strength: float = log(1e-4, 1e-2)
        count: int = integer(1, 4, max=9)
        flag: bool = choice(True, False)
        word: str = choice("filter", "channel")
        share: float = uniform(0.1, 0.5, min=0.0, max=0.9, per_layer=True)
        criterion: Any = slot("criterion", "magnitude", default="magnitude")
        constant: ClassVar[int] = 3

        def loss(self, state: Any) -> Any:
            return self.strength

        def finish(self, state: Any) -> None:
            return None

    return Mine


def test_declared_class_knows_its_parameters_hooks_and_summary() -> None:
    spec = spec_of(declare(catalogue=[7], conflicts=[("a == 1", "why")], passes=2))
    assert list(spec.params) == ["strength", "count", "flag", "word", "share", "criterion"]
    assert spec.hooks == ("loss", "finish")
    assert spec.summary == "First sentence, on two lines."
    assert (spec.catalogue, spec.conflicts, spec.passes, spec.trains) == ((7,), (("a == 1", "why"),), 2, False)


def test_only_parameters_are_fields_whatever_a_base_declares_for_the_class() -> None:
    for name, spec in registry().methods["structure"].items():
        assert [field.name for field in dataclasses.fields(method_class("structure", name))] == list(spec.params)


def test_instance_takes_defaults_and_is_frozen() -> None:
    mine = declare()()
    assert (mine.strength, mine.count, mine.flag, mine.word) == (pytest.approx(1e-3), 1, True, "filter")
    assert spec_of(mine.criterion).name == "magnitude"
    with pytest.raises(dataclasses.FrozenInstanceError):
        mine.count = 2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"strength": -1.0}, r"regularizer 'mine': strength = -1.0; allowed: a number from 0 to inf"),
        ({"strength": float("nan")}, "strength = nan"),
        ({"strength": True}, "strength = True; allowed: a number"),
        ({"strength": "1e-4"}, "strength = '1e-4'; allowed: a number"),
        ({"count": 2.0}, r"count = 2.0; allowed: a whole number from 1 to 9"),
        ({"count": 10}, "count = 10; allowed: a whole number from 1 to 9"),
        ({"flag": 1}, "flag = 1; allowed: True, False"),
        ({"word": "filtre"}, "word = 'filtre'; allowed: filter, channel; did you mean 'filter'"),
        ({"share": {"per_layer": {"*": 0.95}}}, r"share.per_layer\['\*'\] = 0.95; allowed: a number from 0 to 0.9"),
        ({"share": {"a": 0.5}}, "allowed: a value or {per_layer"),
        ({"criterion": "wand"}, "criterion: 'wand' is unknown; allowed: none, .*; did you mean 'wanda'"),
        ({"criterion": 3}, "criterion: found 3; allowed: a name or"),
        ({"strenght": 1.0}, "unknown parameter 'strenght'; allowed: strength, .*; did you mean 'strength'"),
    ],
)
def test_wrong_values_are_refused_with_place_value_and_what_is_allowed(params: dict[str, Any], message: str) -> None:
    declare()
    with pytest.raises(InputError, match=message):
        create("regularizer", "mine", params)


def test_values_given_layer_by_layer_are_kept_and_whole_numbers_become_floats() -> None:
    declare()
    mine = create("regularizer", "mine", {"strength": 1, "share": {"per_layer": {"a.*": 0, "*": 0.5}}})
    assert isinstance(mine.strength, float)
    assert mine.share == {"per_layer": {"a.*": 0.0, "*": 0.5}}


def test_nested_slots_are_created_from_the_words_of_a_recipe() -> None:
    structure = create(
        "structure", "weight", {"schedule": {"gradual": {"start": 0.1, "end": 0.6}}, "allocation": "erk", "amount": 0.8}
    )
    assert (structure.schedule.start, structure.schedule.end) == (0.1, 0.6)
    assert spec_of(structure.allocation).name == "erk"
    assert structure == from_recipe(
        "structure", {"weight": {"schedule": structure.schedule, "allocation": "erk", "amount": 0.8}}
    )


def test_a_slot_refuses_a_method_of_another_kind() -> None:
    with pytest.raises(InputError, match="'l1', a regularizer; allowed: a criterion"):
        create("structure", "weight", {"criterion": create("regularizer", "l1")})


def test_none_is_no_method_and_takes_no_parameters() -> None:
    assert create("noise", "none") is None
    assert from_recipe("noise", "none") is None
    with pytest.raises(InputError, match="none takes no parameters"):
        create("noise", "none", {"rate": 0.1})


def test_same_name_in_another_kind_is_no_clash() -> None:
    declare("l1", kind="noise")
    assert {"l1"} <= set(registry().methods["noise"])


@pytest.mark.parametrize("name", ["", "none", "a.b"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="a name may not be empty"):
        declare(name)


def test_declaration_mistakes_are_named() -> None:
    with pytest.raises(InputError, match=r"kind 'noize' is unknown; allowed: .*; did you mean 'noise'"):
        declare(kind="noize")
    with pytest.raises(InputError, match="a schedule must define `fraction`"):
        declare(kind="schedule")
    with pytest.raises(InputError, match="x needs an annotation"):

        @method("unannotated", kind="noise", paper=PAPER)
        class Unannotated:
            """No."""

            x = log(1e-3, 1e-1)

    with pytest.raises(InputError, match="y is no parameter"):

        @method("undeclared", kind="noise", paper=PAPER)
        class Undeclared:
            """No."""

            y: float = 0.5


def test_rules_between_parameters_are_checked() -> None:
    with pytest.raises(InputError, match=r"end = 0.25 is not after start = 0.5"):
        create("schedule", "gradual", {"start": 0.5, "end": 0.25})
