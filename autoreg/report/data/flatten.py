"""Configs as flat tables: one path of labels a parameter, whatever the space was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoreg.space.any_of import OFF, ON

METHOD_SLOTS = frozenset(
    (
        "regularizer",
        "noise",
        "reparam",
        "teacher",
        "averaging",
        "sparsity",
        "criterion",
        "allocation",
        "rank",
        "schedule",
        "quantizer",
        "train",
        "drop",
        "blocks",
        "inherit",
    )
)


def flatten_configs(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Flatten configs of one study: `{"regularizer": {"l1": {"strength": 1e-4}}}` becomes
    `{"regularizer": "l1", "regularizer.l1.strength": 1e-4}`.

    Whether `{name: {...}}` is a choice among methods or a section is not written in a config; it is a
    choice where the slot is one of autoreg's own, where it holds nothing but an empty mapping, or where
    other configs of the study have a plain value or another single name in the same place.
    Where some config of the study has several methods in such a place, each is a switch, as the space has it:
    `{"regularizer": {"l1": {...}, "sam": {}}}` becomes `{"regularizer.l1": "on", "regularizer.sam": "on"}` with the
    parameters.

    Args:
        configs: the complete configs of all trials.

    Returns:
        One flat mapping a config, in the same order; values are numbers, strings, booleans, or JSON text for lists.
    """
    seen: dict[str, set[str]] = {}
    plain: set[str] = set()
    for config in configs:
        _survey(config, "", seen, plain)
    choices = {path for path, labels in seen.items() if path in plain or len(labels) > 1}
    switches: dict[str, list[str]] = {}
    for config in configs:
        _find_several(config, "", plain, switches)
    for path in switches:
        switches[path] += sorted(seen.get(path, set()) - {*switches[path]})
    return [dict(_items(config, "", choices, switches)) for config in configs]


def _survey(node: Mapping[str, Any], path: str, seen: dict[str, set[str]], plain: set[str]) -> None:
    for key, value in node.items():
        here = f"{path}.{key}" if path else str(key)
        if not isinstance(value, Mapping):
            plain.add(here)
            continue
        if _is_method(value):
            seen.setdefault(here, set()).add(next(iter(value)))
            _survey(value[next(iter(value))], f"{here}.{next(iter(value))}", seen, plain)
        else:
            _survey(value, here, seen, plain)


def _find_several(node: Mapping[str, Any], path: str, plain: set[str], switches: dict[str, list[str]]) -> None:
    """Note the places that hold several methods at once, with the methods found there."""
    for key, value in node.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            slot = key in METHOD_SLOTS or here in plain
            if slot and len(value) > 1 and all(isinstance(inner, Mapping) for inner in value.values()):
                known = switches.setdefault(here, [])
                known += [str(name) for name in value if name not in known]
            _find_several(value, here, plain, switches)


def _is_method(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and isinstance(next(iter(value.values())), Mapping) and "per_layer" not in value


def _items(
    node: Mapping[str, Any], path: str, choices: set[str], switches: Mapping[str, Sequence[str]]
) -> Iterable[tuple[str, Any]]:
    for key, value in node.items():
        here = f"{path}.{key}" if path else str(key)
        if here in switches:
            held = value if isinstance(value, Mapping) else {}
            yield from ((f"{here}.{name}", ON if name in held else OFF) for name in switches[here])
            for name, inner in held.items():
                yield from _items(inner, f"{here}.{name}", choices, switches)
        elif not isinstance(value, Mapping):
            yield here, json.dumps(value) if isinstance(value, list | tuple) else value
        elif _is_method(value) and (here in choices or key in METHOD_SLOTS or not next(iter(value.values()))):
            label = str(next(iter(value)))
            yield here, label
            yield from _items(value[label], f"{here}.{label}", choices, switches)
        else:
            yield from _items(value, here, choices, switches)
