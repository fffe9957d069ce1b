"""Random valid spaces for property tests (needs `hypothesis`, which the test extra brings).

@given(spaces())
def test_something_holds_for_every_space(space): ...
"""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.space.nodes import RANGE_KINDS
from autoreg.space.parser import RESERVED_KEYS, RULE_KEYS
from autoreg.space.space import Space

_RESERVED = {*RANGE_KINDS, *RESERVED_KEYS, *RULE_KEYS}
_ODD = [
    "2:4",
    "none",
    "on",
    "a.b",
    "type:Linear",
    "stem.*",
    "[0:3]",
    "1e-5",
    "a b",
    "é",
    '"',
    "x=1",
    "true",
    "-",
    "#",
    "\n",
]
_WORDS = st.one_of(
    st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), st.sampled_from(_ODD), st.text(min_size=1, max_size=4)
)


def names() -> st.SearchStrategy[str]:
    """Names of parameters and labels: mostly words, some that need quotes or brackets."""
    return _WORDS.filter(lambda name: name not in _RESERVED and not any(0xD800 <= ord(char) < 0xE000 for char in name))


def scalars() -> st.SearchStrategy[Any]:
    """Plain values: truth values, whole and real numbers, text."""
    reals = st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: number + 0.0)
    return st.one_of(
        st.booleans(), st.integers(-1000, 1000), reals, st.sampled_from([0, 0.0, 1, 1.0, True, "none"]), names()
    )


@st.composite
def range_data(draw: st.DrawFn, finite: bool = False) -> dict[str, Any]:
    """A range as data; with `finite`, one that holds a finite number of values."""
    kind = draw(st.sampled_from(["int", "log_int"] + ([] if finite else ["uniform", "log"])))
    if kind in ("int", "log_int"):
        low = draw(st.integers(1 if kind == "log_int" else -20, 20))
        step = draw(st.integers(1, 3))
        high = low + step * draw(st.integers(1, 4))
        return {kind: [low, high], "step": step} if draw(st.booleans()) and kind == "int" else {kind: [low, high]}
    low_real = draw(st.floats(1e-6 if kind == "log" else -100, 10))
    width = draw(st.floats(1e-3, 100))
    data: dict[str, Any] = {kind: [low_real, low_real + width]}
    if kind == "uniform" and draw(st.booleans()):
        steps, size = draw(st.integers(1, 5)), draw(st.sampled_from([0.1, 0.25, 1.0]))
        start = round(low_real, 1)
        data = {kind: [start, round(start + steps * size, 6)], "step": size}
    return data


def literals() -> st.SearchStrategy[Any]:
    """Lists and mappings that are constants."""
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names(), inner, max_size=3)),
        max_leaves=5,
    ).map(lambda value: {"value": value})


def _named(item: Any) -> Any:
    """A method option as it is, or of another name where it is called `none`, which no option of `any_of` may be."""
    if isinstance(item, str):
        return "nothing" if item == "none" else item
    return {"nothing" if name == "none" else name: value for name, value in item.items()}


@functools.cache
def _varied(depth: int, finite: bool) -> st.SearchStrategy[Any]:
    """A node that holds at least one parameter (thinning may take it away again, seldom)."""
    plain = st.lists(st.one_of(scalars(), range_data(finite)), min_size=2, max_size=4)
    if depth == 0:
        return st.one_of(plain, range_data(finite))
    inner, anything = _varied(depth - 1, finite), _nodes(depth - 1, finite)
    group = st.tuples(st.dictionaries(names(), anything, max_size=2), names(), inner).map(
        lambda t: {**t[0], t[1]: t[2]}
    )
    labelled = st.tuples(names(), st.one_of(group, st.just({}))).map(lambda pair: {pair[0]: pair[1]})
    options = st.lists(st.one_of(labelled, labelled, scalars(), range_data(finite)), min_size=2, max_size=4)
    methods = st.one_of(labelled, names()).map(_named)  # a filter would write the whole strategy out when it retries
    switched = st.builds(
        lambda options, at_most: {"any_of": options} | ({"at_most": at_most} if at_most else {}),
        st.lists(methods, min_size=2, max_size=4),
        st.integers(0, 4),
    )
    by_layer = st.dictionaries(names(), _varied(0, finite), min_size=1, max_size=2).map(
        lambda found: {"per_layer": found}
    )
    return st.one_of(options, options, group, plain, range_data(finite), by_layer, switched)


@functools.cache
def _nodes(depth: int, finite: bool) -> st.SearchStrategy[Any]:
    lone = st.one_of(scalars(), range_data(finite)).map(lambda item: [item])
    return st.one_of(_varied(depth, finite), scalars(), literals(), lone)


@st.composite
def space_data(draw: st.DrawFn, finite: bool = False, depth: int = 2) -> dict[str, Any]:
    """A space as plain data; choices whose options cannot be told apart have been thinned out."""
    data = draw(st.dictionaries(names(), _nodes(depth, finite), max_size=2))
    data[draw(names())] = draw(_varied(depth, finite))
    return {name: _thinned(value) for name, value in data.items()}


def _thinned(data: Any) -> Any:
    """Leave out the options of choices that `Space.from_dict` would refuse as not distinct."""
    if isinstance(data, dict):
        fixed = "value" in data or any(isinstance(data.get(kind), list) for kind in RANGE_KINDS)
        return data if fixed else {name: _thinned(value) for name, value in data.items()}
    if not isinstance(data, list):
        return data
    distinct: list[Any] = []
    for item in map(_thinned, data):
        try:
            Space.from_dict({"x": [*distinct, item]})
        except InputError:
            continue
        distinct.append(item)
    return distinct


@st.composite
def spaces(draw: st.DrawFn, finite: bool = False, depth: int = 2) -> Space:
    """A random valid space; with `finite`, one that can be enumerated."""
    return Space.from_dict(draw(space_data(finite, depth)))
