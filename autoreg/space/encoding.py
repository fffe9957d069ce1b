"""Configs as vectors of fixed width: ranges from 0 to 1, choices one-hot, NaN where inactive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autoreg.space import ranges
from autoreg.space.any_of import ON, SWITCH
from autoreg.space.nodes import Range
from autoreg.space.paths import child
from autoreg.space.problems import problem
from autoreg.space.tree import Domain, Parameter


def columns(parameters: Sequence[Parameter]) -> tuple[str, ...]:
    """The names of the columns: the path of a range, `path=label` for each label of a choice."""
    names: list[str] = []
    for parameter in parameters:
        if isinstance(parameter.domain, Range):
            names.append(parameter.path)
        else:
            names += [f"{parameter.path}={label}" for label in parameter.domain]
    return tuple(names)


def _width(domain: Domain) -> int:
    return len(domain) if isinstance(domain, tuple) else 1


def offsets(parameters: Sequence[Parameter]) -> dict[str, int]:
    """The first column of each parameter."""
    found, at = {}, 0
    for parameter in parameters:
        found[parameter.path] = at
        at += _width(parameter.domain)
    return found


def encode(parameters: Sequence[Parameter], flats: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Encode flat configs.

    Args:
        parameters: the parameters of the space, in order.
        flats: for each config its active parameters, path -> number or label.

    Returns:
        float64 [len(flats), width]; all columns of an inactive parameter are NaN.
    """
    at = 0
    matrix = np.full((len(flats), len(columns(parameters))), np.nan)
    for parameter in parameters:
        rows = [index for index, flat in enumerate(flats) if parameter.path in flat]
        found = [flats[index][parameter.path] for index in rows]
        if isinstance(parameter.domain, Range):
            matrix[rows, at] = ranges.scale(parameter.domain, np.asarray(found, dtype=np.float64))
        else:
            codes = {label: code for code, label in enumerate(parameter.domain)}
            matrix[np.ix_(rows, range(at, at + len(codes)))] = 0.0
            matrix[rows, [at + codes[label] for label in found]] = 1.0
        at += _width(parameter.domain)
    return matrix


def chooser(parameters: Sequence[Parameter], vector: np.ndarray) -> Any:
    """A `choose(path, domain)` that reads a vector: the largest of a one-hot, the number of a range.

    Raises:
        InputError: when the vector has another width; while choosing, when an active parameter is NaN.
    """
    vector = np.asarray(vector, dtype=np.float64)
    width = len(columns(parameters))
    if vector.shape != (width,):
        raise problem("vector", f"found the shape {vector.shape}", allowed=f"({width},)")
    starts = offsets(parameters)

    def choose(path: str, domain: Domain) -> Any:
        if path not in starts and isinstance(domain, tuple):  # too many are on: the one that is least so leaves
            return min(domain, key=lambda name: float(vector[starts[child(path, name)] + SWITCH.index(ON)]))
        part = vector[starts[path] : starts[path] + _width(domain)]
        if np.isnan(part).any():
            raise problem(path, "is active but NaN in the vector", allowed="numbers for every active parameter")
        return ranges.unscale(domain, part[0]) if isinstance(domain, Range) else domain[int(np.argmax(part))]

    return choose
