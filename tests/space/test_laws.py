"""Laws that hold for every space, over randomly generated ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.space import Registry, Space, digest
from autoreg.space.nodes import Range
from autoreg.space.testing import space_data, spaces

LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 2**32 - 1)


def close(left: Any, right: Any) -> bool:
    """Equal up to the rounding of numbers, and of the same types throughout."""
    if isinstance(left, dict):
        return isinstance(right, dict) and list(left) == list(right) and all(close(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(close, left, right))
    if isinstance(left, float):
        return type(right) is float and math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-6)
    return type(left) is type(right) and left == right


def refusal(make: Callable[[], object]) -> str:
    """What `make` is refused with, or nothing; any other error is let through."""
    try:
        make()
    except InputError as error:
        return str(error)
    return ""


@LAW
@given(spaces())
def test_yaml_round_trip_loses_nothing(space: Space) -> None:
    again = Space.parse(space.to_yaml())
    assert again == space
    assert again.digest == space.digest


@LAW
@given(spaces())
def test_dict_and_json_round_trip_lose_nothing(space: Space) -> None:
    assert Space.from_dict(space.to_dict()) == space
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@LAW
@given(spaces())
def test_names_of_parameters_and_columns_are_unique(space: Space) -> None:
    paths = [parameter.path for parameter in space.parameters]
    assert len(set(paths)) == len(paths)
    assert len(set(space.columns)) == len(space.columns)


@LAW
@given(spaces(), seeds)
def test_build_undoes_flatten(space: Space, seed: int) -> None:
    config = space.sample(np.random.default_rng(seed))
    flat = space.flatten(config)
    again = space.unflatten(flat)
    assert digest(again) == digest(config)
    assert space.flatten(again) == flat


@LAW
@given(spaces(), seeds)
def test_a_sample_is_a_member_and_repeats_with_its_seed(space: Space, seed: int) -> None:
    config = space.sample(np.random.default_rng(seed))
    assert config in space
    assert config == space.sample(np.random.default_rng(seed))
    assert {"another name": 1} not in space


@LAW
@given(spaces(), seeds)
def test_exactly_the_active_parameters_are_in_the_flat_config(space: Space, seed: int) -> None:
    flat = space.flatten(space.sample(np.random.default_rng(seed)))
    active = [p.path for p in space.parameters if all(flat.get(path) == label for path, label in p.condition)]
    assert list(flat) == active


@LAW
@given(spaces(), seeds)
def test_decode_undoes_encode_and_inactive_is_nan(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    configs = [space.sample(rng) for _ in range(3)]
    matrix = space.encode_many(configs)
    assert matrix.shape == (3, len(space.columns))
    assert matrix.dtype == np.float64
    for config, row in zip(configs, matrix, strict=True):
        assert np.array_equal(space.encode(config), row, equal_nan=True)
        assert close(space.decode(row), config)
        flat, at = space.flatten(config), 0
        for parameter in space.parameters:
            width = 1 if isinstance(parameter.domain, Range) else len(parameter.domain)
            part, at = row[at : at + width], at + width
            assert np.isnan(part).all() == (parameter.path not in flat)
            assert parameter.path not in flat or ((part >= 0) & (part <= 1)).all()


@LAW
@given(spaces(finite=True, depth=1))
def test_the_count_equals_the_enumeration_of_distinct_configs(space: Space) -> None:
    size = space.size()
    assert size.exact
    if size.count > 3000:
        return
    configs = list(space.enumerate())
    assert len(configs) == size.count == size.combinations
    assert len({digest(config) for config in configs}) == size.count
    assert all(config in space for config in configs[:50])


@LAW
@given(spaces(finite=True, depth=1))
def test_distinct_configs_have_distinct_codes(space: Space) -> None:
    if space.size().count > 3000:
        return
    configs = list(space.enumerate())
    assert len({row.tobytes() for row in space.encode_many(configs)}) == len(configs)


@LAW
@given(spaces(finite=True, depth=1), seeds)
def test_every_sample_of_a_finite_space_is_enumerated(space: Space, seed: int) -> None:
    if space.size().count > 3000:
        return
    config = space.sample(np.random.default_rng(seed))
    assert digest(config) in {digest(each) for each in space.enumerate()}


@LAW
@given(space_data(), space_data())
def test_digests_are_equal_exactly_for_spaces_that_say_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    left, right = Space.from_dict(one), Space.from_dict(other)
    assert left.digest == Space.from_dict(json.loads(json.dumps(one))).digest
    assert len(left.digest) == 16
    assert left != right or left.digest == right.digest
    extended = Space.from_dict({**one, "one more name": {"int": [0, 987]}})
    assert extended.digest != left.digest


@LAW
@given(spaces(), seeds)
def test_configs_are_json_and_come_back_as_members(space: Space, seed: int) -> None:
    config = space.sample(np.random.default_rng(seed))
    again = json.loads(json.dumps(config))
    assert again in space
    assert digest(again) == digest(config)


@pytest.mark.parametrize(
    "data", [{"x": [1, 1.0, True, "one"]}, {"x": [{"a": {"y": [1, 2]}}, "b"], "z": {"log": [1, 10]}}]
)
def test_the_strategy_is_not_needed_for_plain_cases(data: dict[str, Any]) -> None:
    space = Space.from_dict(data)
    assert space.sample(np.random.default_rng(0)) in space


PIECES = st.text(alphabet="{}[]:,-'\"&*!|>#%@ \n\tabe019._~", max_size=4)
WORDS = ["a", "uniform", "log", "int", "log_int", "step", "value", "per_layer", "each_layer", "sparsity", "weight"]
WORDS += ["any_of", "at_most", "regularizer"]
WORDS += ["amount", "training", "lr", "name", "forbidden", ""]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@settings(LAW, max_examples=300)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    data: st.DataObject, example: str, registry: Registry
) -> None:
    text = example
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(PIECES) + text[at + data.draw(st.integers(0, 12)) :]
    message = refusal(lambda: Space.parse(text, "f.yaml").bind(registry).sample(np.random.default_rng(0)))
    assert message == "" or (message.startswith("f.yaml") and "\n" not in message)


@settings(LAW, max_examples=200)
@given(
    data=st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner)
    )
)
def test_any_data_at_all_is_a_space_or_refused(registry: Registry, data: Any) -> None:
    message = refusal(lambda: Space.from_dict(data))
    assert "\n" not in message
    if not message:
        space = Space.from_dict(data)
        assert Space.from_dict(space.to_dict()) == space
        assert Space.parse(space.to_yaml()) == space
        assert "\n" not in refusal(lambda: space.bind(registry))
