"""How YAML is read and written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from autoreg.space.reader import read_json, read_yaml
from autoreg.space.testing import literals
from autoreg.space.writer import to_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1E5", 1e5), ("-.5", -0.5), ("3.", 3.0), ("12", 12), ("-7", -7), ("+3", 3), ("0x1F", 31),
        ("0o17", 15), ("017", 17), ("2:4", "2:4"), ("none", "none"), ("None", "None"), ("on", "on"), ("yes", "yes"),
        ("off", "off"), ("true", True), ("TRUE", True), ("False", False), ("tRue", "tRue"), ("200_000", "200_000"),
        ("2024-01-01", "2024-01-01"), ("1:30", "1:30"), ('"4"', "4"), ("'true'", "true"), ("1.2.3", "1.2.3"),
        ("stem.*", "stem.*"), ('"null"', "null"), ("=", "="), ("0b11", "0b11"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_rules_of_yaml_1_2(text: str, value: Any) -> None:
    found = read_yaml(f"a: {text}\n").data["a"]
    assert found == value
    assert type(found) is type(value)


@given(literals())
def test_what_is_written_is_read_back_here_and_by_another_reader(value: Any) -> None:
    text = to_yaml({"a": value, "long": [value, {"label": value}] * 3})
    data = read_yaml(text).data
    assert repr(data["a"]) == repr(value)
    assert data["long"] == [value, {"label": value}] * 3
    assert repr(YAML(typ="safe", pure=True).load(text)["a"]) == repr(value)


def test_long_keys_survive_in_blocks_lists_and_lines() -> None:
    """A reader of YAML looks 1,024 characters ahead for the colon of a key, and escapes count."""
    key = "\u0100" * 300
    data = {key: key, "list": [{key: 1}, {key: [1, 2]}], "line": [1, {key: 2, "b": 3}]}
    assert read_yaml(to_yaml(data)).data == data
    assert YAML(typ="safe", pure=True).load(to_yaml(data)) == data


@given(st.text())
def test_any_text_survives(text: str) -> None:
    if not any(0xD800 <= ord(char) < 0xE000 for char in text):
        assert read_yaml(to_yaml({text or "x": text})).data == {text or "x": text}


def test_lines_are_remembered_for_every_part() -> None:
    places = read_yaml("a:\n  - x\n  - y:\n      z: 1\nb: 2\n", "f").places
    assert [
        places.line(path) for path in [("a",), ("a", 0), ("a", 1), ("a", 1, "y", "z"), ("b",), ("b", "unknown")]
    ] == [1, 2, 3, 4, 5, 5]
    assert places.under("a", 1).at(("y",)) == "f:3: a[1].y"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' is given twice"),
        ('{"a": null}', "f.json: a: found nothing"),
        ('{"a": NaN}', "found NaN"),
        ('{"a": 1e999}', "found inf"),
        ('{"a": 1,\n"b": }', "f.json:2: not valid JSON"),
    ],
)
def test_json_is_held_to_the_same_rules(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_json(text, "f.json")
