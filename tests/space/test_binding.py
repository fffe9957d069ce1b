"""Binding to a registry, recipes, layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoreg.errors import InputError
from autoreg.space import LayerInfo, Range, Registry, Space, complete_recipe, digest, layer_values, load_recipe
from autoreg.space.layers import matches

Layers = tuple[LayerInfo, ...]

DEFAULT = {
    "regularizer": "none",
    "reparam": "none",
    "sparsity": "none",
    "quantization": {
        "quantizer": {"rtn": {}},
        "weights": {"bits": 32, "granularity": "tensor", "symmetric": True},
        "activations": {"bits": 32},
    },
    "layers": {"train": {"all": {}}, "drop": "none"},
    "training": {
        "start": "scratch", "lr": 0.01, "weight_decay": 1e-4, "epochs": 10, "finetune_epochs": 4, "qat_epochs": 2,
        "optimizer": "sgd",
    },
}  # fmt: skip


def test_the_example_of_the_design_binds_and_samples(example: str, registry: Registry, layers: Layers) -> None:
    space = Space.parse(example, "cnn.yaml").bind(registry, layers)
    assert space.size().combinations == (1 + 2 + 1) * (1 + 12 + 4 + 2) * (4 * 2 * 2) * (1 + 6 + 1) * (1 + 2 + 2) * 2
    rng = np.random.default_rng(0)
    for _ in range(100):
        config = space.sample(rng)
        assert config in space
        assert digest(complete_recipe(json.loads(json.dumps(config)), registry, layers)) == digest(config)


def test_binding_twice_changes_nothing(example: str, registry: Registry, layers: Layers) -> None:
    once = Space.parse(example).bind(registry, layers)
    assert once.bind(registry, layers) == once
    assert Space.parse(once.to_yaml()).bind(registry, layers) == once


def test_an_empty_space_binds_to_the_defaults(registry: Registry) -> None:
    space = Space.from_dict({}).bind(registry)
    assert space.parameters == ()
    assert space.size().count == 1
    assert space.sample(np.random.default_rng(0)) == DEFAULT


def test_defaults_of_a_task_override_those_of_the_registry(registry: Registry) -> None:
    defaults = {"training.lr": 1, "layers.train": {"fisher": {"count": 2}}}
    config = Space.from_dict({}).bind(registry, defaults=defaults).sample(np.random.default_rng(0))
    assert config["training"]["lr"] == 1.0
    assert isinstance(config["training"]["lr"], float)
    assert config["layers"]["train"] == {"fisher": {"count": 2}}
    given = Space.from_dict({"training": {"lr": 0.5}}).bind(registry, defaults=defaults)
    assert given.sample(np.random.default_rng(0))["training"]["lr"] == 0.5


def test_a_bare_method_takes_its_default_ranges(registry: Registry) -> None:
    bare = Space.from_dict({"sparsity": ["none", "weight"]}).bind(registry)
    assert [parameter.path for parameter in bare.parameters] == [
        "sparsity", "sparsity.weight.criterion", "sparsity.weight.allocation", "sparsity.weight.amount",
    ]  # fmt: skip
    assert bare.parameters[3].domain == Range("uniform", 0.1, 0.9)
    assert bare.parameters[3].condition == (("sparsity", "weight"),)
    assert Space.from_dict({"sparsity": ["none", {"weight": {}}]}).bind(registry) == bare


def test_what_is_mentioned_is_taken_and_the_rest_keeps_its_range(registry: Registry) -> None:
    space = Space.from_dict({"regularizer": [{"group_lasso": {"group": "filter"}}, "none"]}).bind(registry)
    assert [parameter.path for parameter in space.parameters] == ["regularizer", "regularizer.group_lasso.strength"]
    fixed = Space.from_dict({"regularizer": {"l1": {"strength": 1e-3}}}).bind(registry)
    assert fixed.parameters == ()
    assert fixed.sample(np.random.default_rng(0))["regularizer"] == {"l1": {"strength": 1e-3}}
    varied = Space.from_dict({"regularizer": "l1"}).bind(registry)
    assert [(parameter.path, parameter.condition) for parameter in varied.parameters] == [
        ("regularizer.l1.strength", ())
    ]


def test_constants_may_be_written_as_literals(registry: Registry) -> None:
    space = Space.from_dict(
        {"training": {"epochs": {"value": 3}}, "quantization": {"weights": {"bits": [{"int": [2, 4]}, 8]}}}
    )
    bound = space.bind(registry)
    assert bound.sample(np.random.default_rng(0))["training"]["epochs"] == 3
    assert bound.size().count == 4


def test_rules_may_name_what_the_space_leaves_out(registry: Registry) -> None:
    rules = [
        "sparsity.channel.amount > 0.5",
        "sparsity['2:4'].criterion == 'magnitude'",
        "training.start == 'pretrained'",
    ]
    space = Space.from_dict({"sparsity": ["none", "2:4"], "forbidden": rules}).bind(registry)
    assert [config["sparsity"] for config in space.enumerate()] == ["none", {"2:4": {"criterion": {"wanda": {}}}}]


def test_conflicts_of_methods_are_kept_from_samples_and_recipes(registry: Registry) -> None:
    space = Space.from_dict(
        {"reparam": ["none", "compander"], "sparsity": {"weight": {"amount": 0.5, "allocation": "erk"}}}
    )
    bound = space.bind(registry)
    pairs = [(c["reparam"], next(iter(c["sparsity"]["weight"]["criterion"]))) for c in bound.enumerate()]
    assert pairs == [("none", "magnitude"), ("none", "wanda"), ({"compander": {}}, "wanda")]
    assert bound.size().count == 3
    refused = {"reparam": "compander", "sparsity": {"weight": {"criterion": "magnitude"}}}
    with pytest.raises(InputError, match="recipe: refused: compander opposes magnitude sparsity"):
        complete_recipe(refused, registry)
    assert complete_recipe({**refused, "reparam": "none"}, registry)["reparam"] == "none"


def test_each_layer_becomes_one_parameter_per_layer(registry: Registry, layers: Layers) -> None:
    space = Space.from_dict({"quantization": {"weights": {"bits": {"each_layer": [4, 8]}}}})
    bound = space.bind(registry, layers)
    names = [parameter.path for parameter in bound.parameters]
    assert names == [f'quantization.weights.bits["{layer.name}"]' for layer in layers[:3]] + [
        "quantization.weights.bits.head"
    ]
    assert bound.size().count == 16
    config = bound.sample(np.random.default_rng(0))
    assert list(config["quantization"]["weights"]["bits"]["per_layer"]) == [layer.name for layer in layers]
    with pytest.raises(InputError, match=r"quantization\.weights\.bits: each_layer needs the layers of a task"):
        _ = space.bind(registry).parameters


def test_a_rule_over_layers_holds_when_it_does_for_one(registry: Registry, layers: Layers) -> None:
    data = {"quantization": {"weights": {"bits": {"per_layer": {"type:Linear": [4, 8], "*": [4, 8]}}}}}
    space = Space.from_dict({**data, "forbidden": ["quantization.weights.bits == 4"]}).bind(registry, layers)
    assert [c["quantization"]["weights"]["bits"]["per_layer"] for c in space.enumerate()] == [
        {"type:Linear": 8, "*": 8}
    ]


@pytest.mark.parametrize(
    ("pattern", "indices"),
    [
        ("*", [0, 1, 2, 3]), ("stem.*", [0]), ("head", [3]), ("blocks.?.conv", [1, 2]), ("*.conv", [0, 1, 2]),
        ("type:Linear", [3]), ("type:Conv*", [0, 1, 2]), ("[0:2]", [0, 1]), ("[1:]", [1, 2, 3]), ("[:-1]", [0, 1, 2]),
        ("[-1:]", [3]), ("[9:]", []), ("Head", []), ("blocks", []),
    ],
)  # fmt: skip
def test_patterns_name_layers(pattern: str, indices: list[int], layers: Layers) -> None:
    assert matches(pattern, layers) == indices


def test_the_first_pattern_that_matches_wins(layers: Layers) -> None:
    value = {"per_layer": {"[0:1]": 8, "type:Conv2d": 4, "*": 2}}
    assert layer_values(value, layers) == {"stem.conv": 8, "blocks.0.conv": 4, "blocks.1.conv": 4, "head": 2}
    assert layer_values(3, layers) == dict.fromkeys([layer.name for layer in layers], 3)
    with pytest.raises(InputError, match="no pattern matches the layer 'head'"):
        layer_values({"per_layer": {"type:Conv2d": 4}}, layers)


def test_an_empty_recipe_is_completed_to_the_defaults(registry: Registry) -> None:
    assert complete_recipe({}, registry) == DEFAULT
    assert complete_recipe(DEFAULT, registry) == DEFAULT
    changed = complete_recipe({"sparsity": {"weight": {"amount": 0.8}}}, registry, defaults={"training.epochs": 3})
    assert changed["training"]["epochs"] == 3
    assert changed["sparsity"]["weight"] == {
        "criterion": {"magnitude": {}}, "allocation": {"uniform": {}}, "amount": 0.8, "schedule": {"one_shot": {}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {lr: {log: [1e-3, 1]}}", r"r\.yaml:1: training\.lr: found a range; allowed: a single value"),
        ("a: 1\n", r"r\.yaml:1: a: unknown name 'a'"),
        (
            "quantization:\n  weights: {bits: [4, 8]}",
            r"r\.yaml:2: quantization\.weights\.bits: found a list of options",
        ),
        (
            "sparsity:\n  weight:\n    amount: 1.5",
            r"r\.yaml:3: sparsity\.weight\.amount: found 1\.5, which is out of bounds",
        ),
        ("sparsity: {wieght: {}}", "unknown structure 'wieght'; .*did you mean 'weight'"),
        ("name: x", r"r\.yaml:1: name: unknown name 'name'"),
        ("[1]", r"r\.yaml:1: found \[1\]; allowed: a mapping: a recipe"),
        ("quantization: {weights: {bits: {each_layer: 4}}}", "each_layer needs the layers"),
    ],
)
def test_wrong_recipes_are_refused_with_their_line(text: str, message: str, registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        complete_recipe(load_recipe(file), registry)


def test_recipes_are_read_from_yaml_and_json_alike(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(DEFAULT))
    (tmp_path / "r.yaml").write_text("training: {lr: 0.01}")
    one, other = (complete_recipe(load_recipe(tmp_path / name), registry) for name in ("r.json", "r.yaml"))
    assert digest(one) == digest(other) == digest(DEFAULT)
    assert len(digest(one)) == 16


def test_the_order_of_patterns_is_part_of_a_recipe() -> None:
    patterns = [{"bits": {"per_layer": {"a": 1, "*": 2}}}, {"bits": {"per_layer": {"*": 2, "a": 1}}}]
    assert digest(patterns[0]) != digest(patterns[1])
