"""What a space does, on small spaces with known answers."""

from __future__ import annotations

import doctest
import importlib
import math
import pickle
import pkgutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import autoreg.space
from autoreg.errors import InputError
from autoreg.space import Choice, Constant, Parameter, Range, Space, digest
from autoreg.space import python as dsl
from autoreg.space.nodes import RANGE_KINDS

TOY = {
    "x": {"uniform": [0.0, 10.0]},
    "method": ["none", {"l1": {"strength": {"log": [1e-4, 1e-2]}}}, {"sam": {}}],
    "bits": [4, 8],
    "width": 16,
}


@pytest.fixture
def toy() -> Space:
    """One continuous range, one choice among methods, one among values, one constant."""
    return Space.from_dict(TOY, name="toy")


def test_the_flat_list_has_conditions_and_no_constants(toy: Space) -> None:
    assert toy.parameters == (
        Parameter("x", Range("uniform", 0.0, 10.0)),
        Parameter("method", ("none", "l1", "sam")),
        Parameter("method.l1.strength", Range("log", 1e-4, 1e-2), (("method", "l1"),)),
        Parameter("bits", ("4", "8")),
    )


def test_a_config_has_values_as_values_and_methods_as_mappings(toy: Space) -> None:
    picked: dict[str, Any] = {"x": 2.5, "method": "l1", "method.l1.strength": 1e-3, "bits": "4"}
    config = toy.build(lambda path, domain: picked[path])
    assert config == {"x": 2.5, "method": {"l1": {"strength": 1e-3}}, "bits": 4, "width": 16}
    assert toy.flatten(config) == picked
    assert toy.unflatten({"x": 1.0, "method": "none", "bits": "8"})["method"] == "none"
    assert toy.unflatten({"x": 1.0, "method": "sam", "bits": "8"})["method"] == {"sam": {}}


def test_the_vector_of_a_config_is_known(toy: Space) -> None:
    assert toy.columns == ("x", "method=none", "method=l1", "method=sam", "method.l1.strength", "bits=4", "bits=8")
    active = toy.encode({"x": 2.5, "method": {"l1": {"strength": 1e-3}}, "bits": 4, "width": 16})
    assert active == pytest.approx([0.25, 0, 1, 0, 0.5, 1, 0])
    inactive = toy.encode({"x": 10.0, "method": "none", "bits": 8, "width": 16})
    assert inactive == pytest.approx([1, 1, 0, 0, math.nan, 0, 1], nan_ok=True)
    with pytest.raises(InputError, match=r"method\.l1\.strength: is active but NaN"):
        toy.decode(np.array([0.25, 0, 1, 0, math.nan, 1, 0]))
    with pytest.raises(InputError, match=r"found the shape \(3,\); allowed: \(7,\)"):
        toy.decode(np.zeros(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": 11.0}, r"x: found 11\.0; allowed: a number \(float\) from 0\.0 to 10\.0"),
        ({"x": 1}, "x: found 1; allowed: a number"),
        ({"bits": 4.0}, r"bits: found 4\.0; allowed: 4, 8"),
        ({"bits": "4"}, "bits: found '4', where '4' has the form 4"),
        ({"method": "l1"}, r"method: found 'l1', where 'l1' has the form \{l1: \{\.\.\.\}\}"),
        ({"method": "l2"}, "method: found 'l2'; allowed: none, l1, sam; did you mean"),
        ({"method": {"l1": {}}}, r"method\.l1\.strength: is missing"),
        ({"widht": 3}, "unknown name 'widht'; allowed: x, method, bits, width; did you mean 'width'"),
        ({"width": 17}, "width: found 17; allowed: 16"),
    ],
)
def test_what_is_no_config_of_the_space_is_refused(toy: Space, change: dict[str, Any], message: str) -> None:
    config = {"x": 1.0, "method": "none", "bits": 4, "width": 16}
    assert config in toy
    with pytest.raises(InputError, match=message):
        toy.flatten({**config, **change})
    assert {**config, **change} not in toy


def test_sizes_are_exact_where_they_can_be(toy: Space) -> None:
    assert str(toy.size()) == "6 combinations, with 2 continuous parameters"
    assert toy.size().count == math.inf
    finite = {"a": [1, 2, 3], "b": {"uniform": [0, 1], "step": 0.25}, "c": [{"m": {"n": {"int": [1, 4]}}}, "x"]}
    assert Space.from_dict(finite).size().count == 3 * 5 * (4 + 1)
    some = Space.from_dict({**finite, "forbidden": ["a == 1 and c == 'x'", "c.m.n > 2"]})
    assert (some.size().exact, some.size().count) == (True, 3 * 5 * 2 + 2 * 5)
    large = {"a": {"int": [1, 1000]}, "b": {"int": [1, 1000]}, "forbidden": ["a < b"]}
    size = Space.from_dict(large).size()
    assert (size.exact, size.count, str(size)) == (False, 10**6, "at most 1,000,000 configurations")


def test_enumeration_is_refused_at_once_when_it_would_not_end(toy: Space) -> None:
    with pytest.raises(InputError, match=r"cannot be enumerated, since x, method\.l1\.strength is continuous"):
        toy.enumerate()
    with pytest.raises(InputError, match="has 1,000 configurations; allowed: at most 999"):
        Space.from_dict({"a": {"int": [1, 1000]}}).enumerate(999)
    assert list(Space.from_dict({"a": {"int": [1, 7], "step": 3}}).enumerate(3)) == [{"a": 1}, {"a": 4}, {"a": 7}]


def test_forbidden_combinations_are_never_drawn() -> None:
    space = Space.from_dict(
        {"a": [1, 2], "m": ["x", {"y": {"z": [1, 2]}}], "forbidden": ["a == 1 and m == 'x'", "m.y.z == 2"]}
    )
    rng = np.random.default_rng(0)
    drawn = {digest(space.sample(rng)) for _ in range(200)}
    assert drawn == {digest(config) for config in space.enumerate()}
    assert len(drawn) == 3
    assert space.refusal({"a": 1, "m": "x"}) == "forbidden: a == 1 and m == 'x'"
    assert not space.allowed({"a": 2, "m": {"y": {"z": 2}}})


def test_a_space_in_which_nothing_is_allowed_says_so() -> None:
    space = Space.parse("a: [1, 2]\nforbidden:\n  - a >= 1\n", "f.yaml")
    with pytest.raises(
        InputError, match=r"f\.yaml:2: forbidden: the rules allow none of 2000 .* forbidden: a >= 1 \(2000 times\)"
    ):
        space.sample(np.random.default_rng(0))


def test_what_chance_does_not_find_in_a_finite_space_is_found_by_counting() -> None:
    space = Space.from_dict({"a": {"int": [1, 9999]}, "forbidden": ["a != 7777"]})
    assert space.sample(np.random.default_rng(0)) == {"a": 7777}


def test_rules_of_an_unbound_space_are_checked_when_they_are_first_used() -> None:
    space = Space.from_dict({"lr": [0.1, 0.2], "forbidden": ["l == 0.1"]})
    with pytest.raises(InputError, match="unknown name 'l'"):
        space.sample(np.random.default_rng(0))
    with pytest.raises(InputError, match=r"lr is never 0\.3; allowed: 0\.1, 0\.2"):
        Space.from_dict({"lr": [0.1, 0.2], "forbidden": ["lr == 0.3"]}).size()


def test_one_one_and_true_are_different_values() -> None:
    space = Space.from_dict({"a": [1, 1.0, True]})
    assert space.parameters[0].domain == ("1", "1.0", "true")
    assert [space.flatten({"a": value})["a"] for value in (1, 1.0, True)] == ["1", "1.0", "true"]
    assert len({Space.from_dict({"a": value}).digest for value in (1, 1.0, True, "1")}) == 4
    assert Constant(1) != Constant(True)
    assert len({Constant(1), Constant(1.0), Constant(True), Constant(1)}) == 3


def test_a_choice_with_one_option_equals_the_constant() -> None:
    one, constant = Space.from_dict({"a": [4]}), Space.from_dict({"a": 4})
    assert one.parameters == constant.parameters == ()
    assert one.digest == constant.digest
    assert one.to_dict() == {"a": [4]}
    lone = Space.from_dict({"a": [{"int": [1, 3]}], "b": [{"m": {"c": [1, 2]}}]})
    assert [parameter.path for parameter in lone.parameters] == ["a", "b.m.c"]
    assert lone.parameters[1].condition == ()


def test_the_digest_follows_what_is_said_and_not_how() -> None:
    base = Space.parse("a: [1, 2]\nb: {log: [1, 10]}\n")
    assert Space.parse("name: other\nb: {log: [1.0, 1e1]}\na:\n  - 1\n  - 2\n").digest == base.digest
    others = ["a: [2, 1]\nb: {log: [1, 10]}", "a: [1, 2]\nb: {uniform: [1, 10]}", "a: [1, 2]\nb: {log: [1, 11]}"]
    others.append("a: [1, 2]\nb: {log: [1, 10]}\nforbidden: [a == 1]")
    assert len({base.digest, *(Space.parse(other).digest for other in others)}) == 5
    patterns = [{"a": {"per_layer": {"x": [1, 2], "*": [3, 4]}}}, {"a": {"per_layer": {"*": [3, 4], "x": [1, 2]}}}]
    assert Space.from_dict(patterns[0]).digest != Space.from_dict(patterns[1]).digest


def test_ranges_among_options_and_names_that_need_brackets() -> None:
    space = Space.from_dict(
        {"a": ["off", {"uniform": [0, 1]}], "b.c": {"d": [1, 2]}, "e": {"per_layer": {"stem.*": [1, 2]}}}
    )
    assert [p.path for p in space.parameters] == ["a", "a.uniform", '["b.c"].d', 'e["stem.*"]']
    assert space.flatten({"a": 0.5, "b.c": {"d": 1}, "e": {"per_layer": {"stem.*": 2}}})["a.uniform"] == 0.5
    ruled = Space.from_dict({**space.to_dict(), "forbidden": ['["b.c"].d == 1', "e == 2", "a == 'off'"]})
    assert [config for config in map(ruled.sample, [np.random.default_rng(0)]) if config["b.c"]["d"] == 1] == []
    twice = Space.from_dict({"a": [{"int": [1, 2]}, {"int": [5, 9]}]})
    assert twice.parameters[0].domain == ("int 1 to 2", "int 5 to 9")


def test_the_python_face_makes_the_same_tree() -> None:
    made = Space.from_dict(
        {
            "lr": dsl.log(1e-4, 1e-1),
            "x": dsl.uniform(0, 1, step=0.5),
            "n": dsl.integer(1, 5),
            "w": dsl.log_integer(8, 64),
            "m": dsl.choice("none", dsl.option("l1", strength=dsl.log(1e-5, 1e-2)), np.int64(3)),
            "v": dsl.value([1, 2]),
            "g": dsl.group({"a": 1}, b=dsl.choice(1, 2)),
            "p": dsl.per_layer({"stem.*": 8, "*": dsl.choice(4, 8)}),
            "e": dsl.each_layer(dsl.uniform(0, 1)),
        }
    )
    written = Space.parse("""
        lr: {log: [1e-4, 1e-1]}
        x: {uniform: [0, 1], step: 0.5}
        n: {int: [1, 5]}
        w: {log_int: [8, 64]}
        m: [none, {l1: {strength: {log: [1e-5, 1e-2]}}}, 3]
        v: {value: [1, 2]}
        g: {a: 1, b: [1, 2]}
        p: {per_layer: {stem.*: 8, "*": [4, 8]}}
        e: {each_layer: {uniform: [0, 1]}}
    """)
    assert made == written
    assert isinstance(dsl.choice(1, 2), Choice)
    with pytest.raises(InputError, match=r"low 2\.0 is not below high 1\.0"):
        dsl.uniform(2, 1)
    with pytest.raises(InputError, match=r"e: each_layer needs the layers of a task"):
        made.sample(np.random.default_rng(0))


BELOW_TEN = {
    "uniform": 9 / 99,
    "log": 0.5,
    "int": 9 / 100,
    "log_int": math.log(9.5 / 0.5) / math.log(100.5 / 0.5),  # each number from half a step below to half above
}


@pytest.mark.parametrize("kind", RANGE_KINDS)
def test_draws_are_even_on_the_scale_of_the_range(kind: Any) -> None:
    space = Space.from_dict({"a": {kind: [1, 100]}})
    rng = np.random.default_rng(1)
    drawn = np.array([space.sample(rng)["a"] for _ in range(4000)])
    assert drawn.min() >= 1
    assert drawn.max() <= 100
    assert (drawn < 10).mean() == pytest.approx(BELOW_TEN[kind], abs=0.03)


def test_numbers_are_moved_to_the_grid_and_refused_outside() -> None:
    space = Space.from_dict({"a": {"uniform": [0.1, 0.7], "step": 0.2}})
    values = (0.1, 0.29, 0.31, 0.7, np.float32(0.7))
    assert [space.unflatten({"a": value})["a"] for value in values] == [0.1, 0.3, 0.3, 0.7, 0.7]
    with pytest.raises(InputError, match=r"a: found 0\.8; allowed: a number from 0\.1 to 0\.7"):
        space.build(lambda path, domain: 0.8)
    assert {"a": 0.30000000000000004} in space
    assert {"a": 0.4} not in space


def test_spaces_travel_between_processes(toy: Space) -> None:
    space = Space.from_dict({**TOY, "forbidden": ["bits == 4"]})
    assert space.size().exact is False
    config = space.sample(np.random.default_rng(0))
    assert space.unflatten(space.flatten(config)) == config  # what is worked out of the tree does not travel
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert again.sample(np.random.default_rng(0)) == space.sample(np.random.default_rng(0))
    assert len({toy, Space.from_dict(TOY, name="toy")}) == 1


def test_a_space_comes_from_whatever_a_caller_has(toy: Space, tmp_path: Any) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(toy.to_yaml())
    assert Space.of(toy) is toy
    assert Space.of(TOY) == Space.from_dict(TOY)
    assert Space.of(file) == Space.of(str(file)) == toy
    with pytest.raises(InputError, match="space: found int; allowed: a Space"):
        Space.of(3)  # type: ignore[arg-type]


def test_the_room_imports_neither_torch_nor_ray_nor_optuna() -> None:
    code = "import sys, autoreg.space.python; print({'torch', 'ray', 'optuna', 'pandas'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("module", [module.name for module in pkgutil.iter_modules(autoreg.space.__path__)])
def test_examples_in_docstrings_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"autoreg.space.{module}")).failed == 0
