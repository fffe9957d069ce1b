"""A recipe in a few words: `channel 40% magnitude/uniform · 8/8 bits · l1 1e-4 · drop last 1`."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from autoreg.methods.discovery import find_class, spec_of
from autoreg.space.spec import MethodSpec

_TRAINED_WITH = ("regularizer", "noise", "reparam", "teacher", "averaging")
_SECTIONS = frozenset((*_TRAINED_WITH, "sparsity", "quantization", "layers", "network", "training"))


def recipe_phrase(config: Mapping[str, Any]) -> str:
    """Say what a config does, leaving out what it leaves alone.

    Args:
        config: a recipe (canonical task config), or the config of a Python objective, which is listed as `name=value`.

    Returns:
        Phrases joined by ` · `; `dense` for a recipe that changes nothing.
    """
    if not config:
        return "no parameters"
    if not _SECTIONS & set(config):
        return " · ".join(_plain(config))
    parts = [
        *_network(config.get("network"), config.get("training")),
        _method("structure", config.get("sparsity", "none")),
        _quantization(config.get("quantization")),
        *(phrase for slot in _TRAINED_WITH for phrase in _methods(slot, config.get(slot, "none"))),
        *_layers(config.get("layers")),
        *_training(config.get("training")),
        *_plain({k: v for k, v in config.items() if k not in _SECTIONS}),
    ]
    return " · ".join(p for p in parts if p) or "dense"


def number(value: Any) -> str:
    """Write a number with at most three digits: `0.4`, `1e-4`, `12`, `1.2e-5`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    mantissa, _, exponent = text.partition("e")
    if not exponent and 0 < abs(value) < 0.001:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _split(value: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and parameters of a choice among methods."""
    if isinstance(value, Mapping) and len(value) == 1:
        name, params = next(iter(value.items()))
        return str(name), params if isinstance(params, Mapping) else {}
    return ("none" if value is None else str(value)), {}


def _methods(kind: str, value: Any) -> list[str]:
    """What stands in a slot that takes several methods, each in its own words."""
    several = isinstance(value, Mapping) and len(value) > 1
    return [_method(kind, {name: value[name]}) for name in value] if several else [_method(kind, value)]


def _method(kind: str, value: Any, word: str = "") -> str:
    """What stands in a method slot, in the words that the method declares; empty where there is nothing to say."""
    name, params = _split(value)
    if name == "none":
        return ""
    cls = find_class(kind, name)
    spec = None if cls is None else spec_of(cls)
    if spec is None or spec.phrase is None:
        return " ".join([*([word] if word else []), name, *(_value(v) for v in params.values())])
    parts = [_part(part, spec, params) for part in spec.phrase]
    return " ".join(part for part in ([word] if word and any(parts) else []) + parts if part)


def _part(part: str, spec: MethodSpec, params: Mapping[str, Any]) -> str:
    """One part of a method's phrase, filled in; empty where one of its parameters is absent or not mentioned."""
    filled: list[str] = []
    for text, name, unit, _ in Formatter().parse(part):
        filled.append(text)
        if name is not None:
            if name not in params:
                return ""
            kind = spec.params[name].slot_kind
            said = _spread(params[name], percent=unit == "%") if kind is None else _method(kind, params[name])
            if not said:
                return ""
            filled.append(said)
    return "".join(filled)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        if "per_layer" in value:
            return _spread(value)
        name, params = _split(value)
        return " ".join([name, *(_value(v) for v in params.values())])
    return number(value)


def _spread(value: Any, percent: bool = False) -> str:
    """A value that may differ by layer: `40%`, `30–80% by layer`."""
    if isinstance(value, Mapping) and isinstance(value.get("per_layer"), Mapping):
        inner = list(value["per_layer"].values())
        numbers = [v for v in inner if isinstance(v, int | float) and not isinstance(v, bool)]
        if inner and len(numbers) == len(inner):
            low, high = min(numbers), max(numbers)
            if low == high:
                return _spread(low, percent)
            scale, unit = (100, "%") if percent else (1, "")
            return f"{number(_round(low * scale))}–{number(_round(high * scale))}{unit} by layer"
        return "/".join(dict.fromkeys(_value(v) for v in inner)) + " by layer"
    if percent and isinstance(value, int | float):
        return f"{number(_round(value * 100))}%"
    return number(value)


def _round(value: float) -> float:
    return round(value) if value >= 10 else round(value, 1)


def _quantization(section: Any) -> str:
    if not isinstance(section, Mapping):
        return ""
    weights = section.get("weights", {}).get("bits", 32)
    activations = section.get("activations", {}).get("bits", 32)
    if weights == 32 and activations == 32:
        return ""
    quantizer = _method("quantizer", section.get("quantizer", "none"))
    return " ".join(filter(None, [f"{_spread(weights)}/{_spread(activations)} bits", quantizer]))


def _network(section: Any, training: Any) -> list[str]:
    if not isinstance(section, Mapping):
        return []
    width = section.get("width", 1)
    pretrained = isinstance(training, Mapping) and training.get("start") == "pretrained"
    return [
        "" if width == 1 else f"width {_spread(width, percent=True)}",
        _method("blocks", section.get("blocks", "all")),
        _method("inherit", section.get("inherit", "none")) if pretrained else "",
    ]


def _layers(section: Any) -> list[str]:
    if not isinstance(section, Mapping):
        return []
    return [_method(kind, section.get(kind, "none"), kind) for kind in ("train", "drop")]


def _training(section: Any) -> list[str]:
    if not isinstance(section, Mapping):
        return []
    share = section.get("share", 1)
    start = "from pretrained" if section.get("start") == "pretrained" else ""
    return [start, "" if share == 1 else f"on {share:.0%} of the data"]


def _plain(config: Mapping[str, Any], path: str = "") -> list[str]:
    parts: list[str] = []
    for key, value in config.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and len(value) == 1 and isinstance(next(iter(value.values())), Mapping):
            parts.append(f"{here}={_value(value)}")
        elif isinstance(value, Mapping):
            parts += _plain(value, here)
        else:
            parts.append(f"{here}={number(value)}")
    return parts
