"""The JSON Schema (draft 2020-12) of space and study files, made from a registry, for editors.

It says what a file may look like; rules between values (low below high, expressions, layer names)
are checked by the parser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from autoreg.space import study_spec
from autoreg.space.nodes import RANGE_KINDS
from autoreg.space.spec import MethodSpec, Param, Registry, Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Json = dict[str, Any]
_STUDY_WORDS = ("task", "objectives", "budget", "space")


def schema(registry: Registry, root: Literal["any", "space", "study"] = "any") -> Json:
    """The JSON Schema of space files, study files, or (by default) either of them.

    A file with one of the keys task, objectives, budget or space is taken for a study.
    """
    definitions: Json = {"space": _space(registry), "study": _study()}
    for kind, methods in registry.methods.items():
        definitions[_slot_name(kind)] = _slot(kind, methods)
    for kind in _kinds_of_several(Section(registry.sections)):
        definitions[f"several_{_slot_name(kind)}"] = _several(kind, registry.methods.get(kind, {}))
    if root == "any":
        study = {"anyOf": [{"required": [word]} for word in _STUDY_WORDS]}
        body: Json = {"if": study, "then": _ref("study"), "else": _ref("space")}
    else:
        body = _ref(root)
    return {
        "$schema": DIALECT,
        "title": f"autoreg {root if root != 'any' else 'space or study'}",
        **body,
        "$defs": definitions,
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _slot_name(kind: str) -> str:
    return f"slot_{kind}"


def _object(properties: Json, required: list[str] | None = None, **more: Any) -> Json:
    found: Json = {"type": "object", "properties": properties, "additionalProperties": False, **more}
    return {**found, "required": required} if required else found


def _expressions(doc: str) -> Json:
    return {"type": "array", "items": {"type": "string", "minLength": 1}, "description": doc}


def _space(registry: Registry) -> Json:
    properties: Json = {"name": {"type": "string", "minLength": 1}}
    for name, item in registry.sections.items():
        properties[name] = _item(item)
    properties["forbidden"] = _expressions("combinations that are refused, such as \"training.start == 'scratch'\"")
    properties["constraints"] = _expressions('what a result must meet, such as "flops <= 0.5 * dense.flops"')
    return _object(properties)


def _item(item: Param | Section) -> Json:
    if isinstance(item, Section):
        found = _object({name: _item(inner) for name, inner in item.items.items()})
        return {**found, "description": item.doc} if item.doc else found
    return _param(item)


def _kinds_of_several(item: Param | Section) -> set[str]:
    if isinstance(item, Section):
        return set().union(*map(_kinds_of_several, item.items.values()))
    return {item.slot_kind} if item.several and item.slot_kind else set()


def _param(param: Param) -> Json:
    if param.type == "slot":
        name = _slot_name(param.slot_kind or "")
        forms = [_ref(name), *([_ref(f"several_{name}")] if param.several else [])]
    else:
        single = _single(param)
        options = {"type": "array", "items": {"anyOf": single}, "minItems": 1, "uniqueItems": True}
        forms = [*single, options, _object({"value": _scalar(param)}, ["value"])]
    if param.per_layer:
        inner = {"anyOf": list(forms)}
        by_pattern = {"type": "object", "additionalProperties": inner, "minProperties": 1}
        forms += [_object({"per_layer": by_pattern}, ["per_layer"]), _object({"each_layer": inner}, ["each_layer"])]
    found: Json = {"anyOf": forms}
    if param.doc:
        found["description"] = param.doc
    return found


def _scalar(param: Param) -> Json:
    if param.options is not None:
        return {"enum": list(param.options)}
    found: Json = {"type": {"float": "number", "int": "integer", "bool": "boolean", "str": "string"}[param.type]}
    if param.type in ("float", "int"):
        found |= {} if math.isinf(param.low) else {"minimum": param.low}
        found |= {} if math.isinf(param.high) else {"maximum": param.high}
    return found


def _single(param: Param) -> list[Json]:
    scalar = _scalar(param)
    kinds = {"float": ("uniform", "log"), "int": ("int", "log_int")}.get(param.type, ())
    if param.options is not None:
        kinds = ("int", "log_int") if param.type == "int" else ()
        return [scalar, *(_range(kind, {"type": "integer"}) for kind in kinds)]
    return [scalar, *(_range(kind, scalar) for kind in kinds)]


def _range(kind: str, bound: Json) -> Json:
    assert kind in RANGE_KINDS
    number = {**bound, "exclusiveMinimum": 0} if kind in ("log", "log_int") else bound
    bounds = {
        "type": "array",
        "items": number,
        "minItems": 2,
        "maxItems": 2,
        "description": "[low, high], both included",
    }
    return _object({kind: bounds, "step": {"type": bound["type"], "exclusiveMinimum": 0}}, [kind])


def _slot(kind: str, methods: Mapping[str, MethodSpec]) -> Json:
    option = _option([*methods, *(["none"] if "none" not in methods else [])], methods)
    return {"anyOf": [*option["anyOf"], _list_of(option)], "description": f"a {kind}, or a list of those to search"}


def _several(kind: str, methods: Mapping[str, MethodSpec]) -> Json:
    switched = _object(
        {"any_of": _list_of(_option(list(methods), methods)), "at_most": {"type": "integer", "minimum": 1}}, ["any_of"]
    )
    together = _object({name: _method(spec) for name, spec in methods.items()}, minProperties=2)
    return {"anyOf": [switched, together], "description": f"each {kind} of a list in or out, or several together"}


def _option(names: list[str], methods: Mapping[str, MethodSpec]) -> Json:
    labelled = [_object({name: _method(spec)}, [name]) for name, spec in methods.items()]
    return {"anyOf": [{"enum": names}, *labelled]}


def _list_of(option: Json) -> Json:
    return {"type": "array", "items": option, "minItems": 1, "uniqueItems": True}


def _method(spec: MethodSpec) -> Json:
    found = _object({name: _param(param) for name, param in spec.params.items()})
    words = [spec.summary]
    if spec.paper is not None:
        words.append(f"{spec.paper.authors}: {spec.paper.title} ({spec.paper.year}).")
    text = " ".join(word for word in words if word)
    return {**found, "description": text} if text else found


def _study() -> Json:
    whole = {"type": "integer", "minimum": 1}
    above = {"type": "number", "exclusiveMinimum": 0}
    task_params = {"type": "object", "additionalProperties": {"type": "object"}, "minProperties": 1, "maxProperties": 1}
    budget = _object({"trials": whole, "minutes": above, "epochs": above}, minProperties=1)
    directions = {"enum": list(study_spec.DIRECTIONS)}
    properties: Json = {
        "name": {"type": "string", "minLength": 1},
        "task": {"anyOf": [{"type": "string", "minLength": 1}, task_params]},
        "space": {"anyOf": [{"type": "string", "minLength": 1}, _ref("space")]},
        "objectives": {"type": "object", "additionalProperties": directions, "minProperties": 1},
        "constraints": _expressions('what a result must meet, such as "error <= 0.2"'),
        "budget": budget,
        "seed": {"type": "integer", "minimum": 0},
        "executor": {"enum": list(study_spec.EXECUTORS)},
        "workers": whole,
        "sampler": {"enum": list(study_spec.SAMPLER_NAMES)},
        "baselines": {"enum": list(study_spec.BASELINE_SETS)},
        "final_seeds": {"type": "integer", "minimum": 0},
        "format": {"enum": list(study_spec.FORMATS)},
        "compress": {"type": "boolean"},
    }
    return _object(properties, ["task", "space", "objectives"])
