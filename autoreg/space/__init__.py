"""The search-space DSL: spaces, recipes, expressions, layer patterns. Imports neither torch nor ray."""

from __future__ import annotations

from autoreg.space.budget import Budget
from autoreg.space.expression import Expression
from autoreg.space.json_schema import schema
from autoreg.space.layers import LayerInfo, layer_values
from autoreg.space.nodes import AnyOf, Choice, Constant, EveryLayer, Group, Node, Option, PerLayer, Range
from autoreg.space.recipe import complete_recipe, digest, load_recipe
from autoreg.space.space import Size, Space
from autoreg.space.spec import MethodSpec, Paper, Param, Registry, Section
from autoreg.space.study_spec import StudySpec
from autoreg.space.tree import Parameter

__all__ = [
    "AnyOf",
    "Budget",
    "Choice",
    "Constant",
    "EveryLayer",
    "Expression",
    "Group",
    "LayerInfo",
    "MethodSpec",
    "Node",
    "Option",
    "Paper",
    "Param",
    "Parameter",
    "PerLayer",
    "Range",
    "Registry",
    "Section",
    "Size",
    "Space",
    "StudySpec",
    "complete_recipe",
    "digest",
    "layer_values",
    "load_recipe",
    "schema",
]
