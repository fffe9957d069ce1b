"""Several methods in one slot: each in or out, with parameters of its own."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.space import Expression, MethodSpec, Registry, Space, complete_recipe, digest, python
from autoreg.space.any_of import draw
from autoreg.space.nodes import AnyOf, Group
from autoreg.space.transfer import shared

TEXT = """\
regularizer:
  any_of:
    - l1: {strength: [0.001, 0.01]}
    - sam: {rho: 0.1}
    - group_lasso: {strength: 0.001, group: [filter, channel]}
  at_most: 2
"""


PAIRS = [("l1", "sam"), ("l1", "group_lasso"), ("sam", "group_lasso")]


def space_of(text: str, registry: Registry) -> Space:
    return Space.parse(text, "f.yaml").bind(registry)


def test_yaml_and_python_say_the_same() -> None:
    written = Space.parse("x:\n  any_of: [plain, {l1: {strength: {log: [1e-4, 1e-2]}}}]\n  at_most: 1\n")
    made = Space.from_dict(
        {"x": python.any_of("plain", python.option("l1", strength=python.log(1e-4, 1e-2)), at_most=1)}
    )
    assert made == written
    assert Space.parse(made.to_yaml()) == written
    assert made.digest == written.digest


def test_a_limit_that_all_keep_is_none() -> None:
    """Spaces that allow the same have the same digest."""
    free, loose, tight = (Space.from_dict({"x": python.any_of("a", "b", at_most=limit)}) for limit in (None, 5, 1))
    assert free.digest == loose.digest != tight.digest


def test_parameters_are_switches_and_what_they_open(registry: Registry) -> None:
    space = space_of(TEXT, registry)
    mine = [p for p in space.parameters if p.path.startswith("regularizer")]
    assert [(p.path, p.domain, p.condition) for p in mine] == [
        ("regularizer.l1", ("off", "on"), ()),
        ("regularizer.l1.strength", ("0.001", "0.01"), (("regularizer.l1", "on"),)),
        ("regularizer.sam", ("off", "on"), ()),
        ("regularizer.group_lasso", ("off", "on"), ()),
        ("regularizer.group_lasso.group", ("filter", "channel"), (("regularizer.group_lasso", "on"),)),
    ]


def test_the_size_is_that_of_all_subsets_up_to_the_limit() -> None:
    """1 + (2 + 1 + 2) + (2·1 + 2·2 + 1·2) subsets with their parameters."""
    space = Space.parse(TEXT)
    configs = list(space.enumerate())
    assert space.size().count == len(configs) == len({digest(config) for config in configs}) == 1 + 5 + 8
    assert Space.parse(TEXT.replace("at_most: 2", "at_most: 3")).size().count == 1 + 5 + 8 + 4


def test_a_config_of_one_method_has_the_form_that_it_always_had(registry: Registry) -> None:
    several, one = space_of(TEXT, registry), space_of("regularizer: [none, l1, sam, group_lasso]", registry)
    draws = np.random.default_rng(0)
    found = [several.sample(draws) for _ in range(60)]
    assert all(complete_recipe(config, registry) == config for config in found)
    single = [c for c in found if c["regularizer"] == "none" or len(c["regularizer"]) == 1]
    assert 5 < len(single) < 60
    assert all(config in one for config in single)


def test_draws_are_uniform_over_the_subsets_allowed() -> None:
    """7 of the 8 subsets of three have at most two members; 2,100 draws give each 300 (standard deviation 16)."""
    space, rng = Space.parse(TEXT), np.random.default_rng(1)
    drawn = (space.sample(rng)["regularizer"] for _ in range(2100))
    counts = Counter("" if c == "none" else "+".join(c) for c in drawn)
    assert len(counts) == 7
    assert min(counts.values()) > 235
    assert max(counts.values()) < 365


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_drawn_switches_keep_the_limit(count: int, at_most: int, seed: int) -> None:
    node = AnyOf(tuple((f"m{k}", Group(())) for k in range(count)), at_most)
    found = draw(node, "x", np.random.default_rng(seed))
    assert list(found) == [f"x.m{k}" for k in range(count)]
    assert list(found.values()).count("on") <= min(at_most, count)


def test_of_too_many_that_are_on_the_chooser_says_who_leaves() -> None:
    asked: list[tuple[str, Any]] = []

    def choose(path: str, domain: Any) -> Any:
        asked.append((path, domain))
        labels = domain if isinstance(domain, tuple) else ()
        return "sam" if path == "regularizer" else labels[-1]

    config = Space.parse(TEXT).build(choose)
    assert list(config["regularizer"]) == ["l1", "group_lasso"]
    assert [call for call in asked if call[0] == "regularizer"] == [("regularizer", ("l1", "sam", "group_lasso"))]
    with pytest.raises(InputError, match="regularizer: found the label 'nobody'; allowed: l1, sam, group_lasso"):
        Space.parse(TEXT).build(
            lambda path, domain: "nobody" if path == "regularizer" else cast("tuple[str, ...]", domain)[-1]
        )


def test_flat_choices_beyond_the_limit_are_refused_and_codes_beyond_it_are_cut() -> None:
    space = Space.parse(TEXT)
    names = ("l1", "sam", "group_lasso")
    flat = {"regularizer.l1.strength": "0.01", "regularizer.group_lasso.group": "filter"}
    flat |= {f"regularizer.{name}": "on" for name in names}
    with pytest.raises(InputError, match="regularizer: l1 and sam and group_lasso are on; allowed: at most 2"):
        space.unflatten(flat)
    code = np.full(len(space.columns), 1.0)
    for weight, name in zip((0.9, 0.6, 0.8), names, strict=True):
        code[space.columns.index(f"regularizer.{name}=off")] = 0.0
        code[space.columns.index(f"regularizer.{name}=on")] = weight
    assert list(space.decode(code)["regularizer"]) == ["l1", "group_lasso"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"l1": {"strength": 0.01}, "l2": {}}, "found 'l2'; allowed: l1, sam, group_lasso; did you mean 'l1'?"),
        ({}, "allowed: none, or a mapping of l1, sam, group_lasso"),
        ("l1", "found 'l1'; allowed: none, or a mapping of l1, sam, group_lasso"),
        ({"l1": {"strength": 3.0}}, "regularizer.l1.strength: found 3.0"),
        (
            {"l1": {"strength": 0.01}, "sam": {"rho": 0.1}, "group_lasso": {"strength": 0.001, "group": "filter"}},
            "found 3 of l1, sam, group_lasso at once; allowed: at most 2",
        ),
    ],
)
def test_what_is_no_config_is_refused_in_its_place(config: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        Space.parse(TEXT).flatten({"regularizer": config})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ("'l1' in regularizer", [("l1",), ("l1", "sam"), ("l1", "group_lasso")]),
        ("'l1' not in regularizer", [(), ("sam",), ("group_lasso",), ("sam", "group_lasso")]),
        ("regularizer == 'l1' and 'sam' in regularizer", [("l1", "sam")]),
        ("regularizer in ['l1', 'group_lasso']", [("l1",), ("group_lasso",), *PAIRS]),
        ("regularizer == 'none'", [()]),
        ("regularizer.l1.strength < 0.1 and 'group_lasso' in regularizer", [("l1", "group_lasso")]),
    ],
)  # fmt: skip
def test_rules_speak_of_the_methods_that_are_in(rule: str, refused: list[tuple[str, ...]]) -> None:
    space = replace(Space.parse(TEXT), forbidden=(Expression.parse(rule),))
    every = [s for size in range(3) for s in itertools.combinations(("l1", "sam", "group_lasso"), size)]
    configs = {tuple(c["regularizer"]) if c["regularizer"] != "none" else (): c for c in Space.parse(TEXT).enumerate()}
    assert sorted(configs) == sorted(every)
    assert [found for found in every if not space.allowed(configs[found])] == refused


def test_two_methods_that_replace_the_gradient_are_never_together(registry: Registry) -> None:
    owner = MethodSpec("ascent", "regularizer", hooks=("gradient",))
    mine = dict(registry.methods["regularizer"])
    mine |= {"ascent": owner, "sam": replace(mine["sam"], hooks=("gradient",))}
    both = replace(registry, methods={**registry.methods, "regularizer": mine})
    space = space_of("regularizer: {any_of: [l1, sam, ascent]}", both)
    rng = np.random.default_rng(0)
    drawn = {frozenset(c["regularizer"]) for c in (space.sample(rng) for _ in range(200)) if c["regularizer"] != "none"}
    assert {frozenset(("l1", "sam")), frozenset(("l1", "ascent"))} < drawn
    assert not any({"sam", "ascent"} <= names for names in drawn)
    message = "refused: sam and ascent both replace the gradient of a step: at most one method may"
    with pytest.raises(InputError, match=message):
        complete_recipe({"regularizer": {"sam": {}, "ascent": {}}}, both)


def test_a_recipe_of_several_is_a_space_of_one_config(registry: Registry) -> None:
    recipe = complete_recipe({"regularizer": {"sam": {}, "l1": {"strength": 0.01}}}, registry)
    assert recipe["regularizer"] == {"sam": {"rho": 0.155}, "l1": {"strength": 0.01}}
    space = Space.from_dict(recipe).bind(registry)
    assert not space.parameters
    assert list(space.enumerate()) == [recipe]
    assert Space.parse(space.to_yaml()).bind(registry).digest == space.digest
    with pytest.raises(InputError, match="regularizer: found l1; allowed: all of sam, l1"):
        space.flatten({**recipe, "regularizer": {"l1": {"strength": 0.01}}})
    with pytest.raises(InputError, match="regularizer: found any_of; allowed: a single value"):
        complete_recipe({"regularizer": {"any_of": ["l1"]}}, registry)


def test_studies_of_one_method_at_a_time_tell_something_of_several() -> None:
    root = Space.parse(TEXT).root
    found = {name: shared(root, {"regularizer": value}) for name, value in {
        "one": {"l1": {"strength": 0.01}}, "none": "none", "unknown": {"l2": {}}, "no method": 3,
    }.items()}  # fmt: skip
    off = {f"regularizer.{name}": "off" for name in ("l1", "sam", "group_lasso")}
    assert found["one"] == {**off, "regularizer.l1": "on", "regularizer.l1.strength": "0.01"}
    assert found["none"] == found["unknown"] == off
    assert found["no method"] == {}


@given(st.permutations(["l1", "sam", "group_lasso"]), st.integers(0, 3))
def test_the_order_of_a_mapping_changes_no_digest(order: list[str], count: int) -> None:
    one = {"x": {name: {"y": 1} for name in order[:count]}}
    other = {"x": {name: {"y": 1} for name in sorted(order[:count])}}
    assert digest(one) == digest(json.loads(json.dumps(other)))
