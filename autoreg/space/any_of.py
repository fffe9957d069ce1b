"""Several methods in one slot: which are in, how many ways there are, and what a config says of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from autoreg.space.nodes import AnyOf, Group
from autoreg.space.paths import child
from autoreg.space.problems import problem, show

OFF, ON = "off", "on"
SWITCH = (OFF, ON)
"""The values of a switch, the parameter that says whether a method is in; its path is that of the method."""

Members = tuple[tuple[str, Group], ...]


def ask(node: AnyOf, choose: Callable[[str, tuple[str, ...]], Any], path: str) -> Members:
    """The methods that are in.

    Each switch is asked for. While more are on than may be, `choose` is asked under the path of the slot, among the
    names of those that are on, for one that leaves: a sampler that draws evenly favours none by its place.

    Raises:
        InputError: `choose` answers with something else.
    """
    if node.all_in:
        return node.items
    names = [name for name, _ in node.items if _answer(choose, child(path, name), SWITCH) == ON]
    while len(names) > node.limit:
        names.remove(_answer(choose, path, tuple(names)))
    return tuple(item for item in node.items if item[0] in names)


def _answer(choose: Callable[[str, tuple[str, ...]], Any], path: str, labels: tuple[str, ...]) -> str:
    found = choose(path, labels)
    if found not in labels:
        raise problem(path, f"found the label {show(found)}", allowed=labels, wrong=str(found))
    return str(found)


def members(node: AnyOf, config: Any, path: str) -> Members:
    """The methods that are in by a config.

    Raises:
        InputError: the config is no mapping of methods, names another, or holds too many or too few.
    """
    names = [name for name, _ in node.items]
    if isinstance(config, str) and config == "none":
        config = {}
    elif not isinstance(config, Mapping) or not config:
        wrong = config if isinstance(config, str) else None
        raise problem(path, f"found {show(config)}", allowed=f"none, or a mapping of {', '.join(names)}", wrong=wrong)
    for name in config:
        if name not in names:
            raise problem(path, f"found {show(name)}", allowed=names, wrong=str(name))
    found = tuple(item for item in node.items if item[0] in config)
    if len(found) > node.limit:
        raise problem(path, f"found {len(found)} of {', '.join(names)} at once", allowed=f"at most {node.limit}")
    if node.all_in and len(found) < len(names):
        raise problem(path, f"found {', '.join(config) or 'none'}", allowed=f"all of {', '.join(names)}")
    return found


def count(node: AnyOf, counts: Sequence[float]) -> float:
    """How many ways there are when each method has so many configs of its own: a sum over the subsets allowed.

    Example:
        >>> count(AnyOf((("a", Group(())), ("b", Group(())), ("c", Group(()))), at_most=2), [1, 1, 10])
        34
    """
    if node.all_in:
        return math.prod(counts)
    ways: list[float] = [1, *([0] * node.limit)]  # by how many are in
    for mine in counts:
        for size in range(node.limit, 0, -1):
            ways[size] += ways[size - 1] * mine if ways[size - 1] else 0  # nothing of an infinite range is nothing
    return sum(ways)


def subsets(node: AnyOf) -> Iterator[Members]:
    """Every subset that is allowed, the smaller ones first."""
    sizes = [len(node.items)] if node.all_in else range(node.limit + 1)
    return itertools.chain.from_iterable(itertools.combinations(node.items, size) for size in sizes)


def draw(node: AnyOf, path: str, rng: np.random.Generator) -> dict[str, str]:
    """The switches by path, every subset that is allowed having the same chance."""
    ways = np.array([math.comb(len(node.items), size) for size in range(node.limit + 1)], dtype=float)
    size = int(rng.choice(len(ways), p=ways / ways.sum()))
    drawn = set(rng.choice(len(node.items), size=size, replace=False).tolist())
    return {child(path, name): ON if k in drawn else OFF for k, (name, _) in enumerate(node.items)}
