"""The published JSON Schema accepts what is right and refuses what is wrong."""

from __future__ import annotations

import jsonschema
import pytest

from autoreg.space import Registry, Space, schema
from autoreg.space.reader import read_yaml

STUDY = """
name: digits
task: {digits: {train_images: 400}}
space: cnn_joint.yaml
objectives: {error: min, flops: min}
constraints: ["error <= 0.2"]
budget: {trials: 60}
seed: 0
executor: local
"""


@pytest.fixture(scope="module")
def validator(registry: Registry) -> jsonschema.Draft202012Validator:
    """A validator of space and study files."""
    made = schema(registry)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def errors(validator: jsonschema.Draft202012Validator, text: str) -> list[str]:
    return [error.message for error in validator.iter_errors(read_yaml(text).data)]


RIGHT = [
    "regularizer: l1", "regularizer: [none, l1]", "regularizer: {l1: {strength: 0.1}}", "sparsity: ['2:4', none]",
    "training: {lr: {log: [1e-3, 1]}, epochs: [5, 10]}", "training: {epochs: {value: 3}}",
    "training: {lr: [0.1, {uniform: [0.2, 0.4], step: 0.1}]}", "quantization: {weights: {bits: {each_layer: [2, 4]}}}",
    "quantization: {weights: {bits: {per_layer: {'type:Linear': 8, '*': [4, 8]}}}}",
    "forbidden: [\"training.lr > 0.1\"]", "regularizer: {l1: {}, sam: {}}",
    "regularizer: {any_of: [l1, {sam: {rho: 0.1}}]}", "regularizer: {any_of: [l1, sam], at_most: 1}",
]  # fmt: skip
WRONG = [
    "sparsty: none", "regularizer: l2", "regularizer: [none, group_laso]", "regularizer: [{l1: {strenght: 1}}]",
    "regularizer: {l1: {}, l2: {}}", "regularizer: {any_of: [l1, l1]}", "regularizer: {any_of: [l1, none]}",
    "regularizer: {any_of: [l1], at_most: 0}", "regularizer: {any_of: []}", "sparsity: {any_of: [weight, channel]}",
    "regularizer: [l1, l1]", "regularizer: 3", "training: {lr: {lgo: [1e-3, 1]}}",
    "training: {lr: {log: [0, 1]}}", "training: {lr: {log: [1e-3]}}", "training: {lr: fast}", "training: {epochs: 2.5}",
    "training: {epochs: -1}", "training: {start: scrach}", "quantization: {weights: {bits: 5}}", "quantization: [none]",
    "layers: {train: {fisher: {count: 99}}}", "quantization: {activations: {bits: {each_layer: [8, 32]}}}",
    "constraints: flops <= 3", "name: 3", "training: {lr: []}", "training: {lr: {uniform: [0, 1], stepp: 1}}",
]  # fmt: skip


def test_the_example_of_the_design_validates(validator: jsonschema.Draft202012Validator, example: str) -> None:
    assert errors(validator, example) == []


@pytest.mark.parametrize("text", RIGHT)
def test_right_spaces_validate_and_bind(
    validator: jsonschema.Draft202012Validator, registry: Registry, layers: tuple[object, ...], text: str
) -> None:
    assert errors(validator, text) == []
    assert Space.parse(text).bind(registry, layers).parameters is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("text", WRONG)
def test_wrong_spaces_neither_validate_nor_bind(
    validator: jsonschema.Draft202012Validator, registry: Registry, text: str
) -> None:
    assert errors(validator, text)
    with pytest.raises(ValueError, match="allowed"):
        Space.parse(text).bind(registry)


def test_a_bound_space_validates_too(
    validator: jsonschema.Draft202012Validator, registry: Registry, example: str
) -> None:
    assert errors(validator, Space.parse(example).bind(registry).to_yaml()) == []


@pytest.mark.parametrize("change", [
    "", "space: {training: {lr: {log: [1e-3, 1]}}}", "task: digits", "budget: {minutes: 1.5, epochs: 100}",
    "baselines: none", "sampler: nsga2", "final_seeds: 0", "workers: 2",
    "{format: safetensors, compress: false}", "format: onnx",
])  # fmt: skip
def test_right_studies_validate(validator: jsonschema.Draft202012Validator, change: str) -> None:
    data = {**read_yaml(STUDY).data, **(read_yaml(change).data if change else {})}
    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize("change", [
    "objectives: {error: minimize}", "objectives: {}", "budget: {trials: -3}", "budget: {trials: many}",
    "budget: {trails: 3}",
    "executor: cluster", "seed: -1", "workers: 0", "taks: digits", "space: {sparsty: none}",
    "sampler: best", "task: {a: {}, b: {}}",
    "space: {training: {lr: fast}}", "baselines: false",
    "format: zip", "compress: 3",
])  # fmt: skip
def test_wrong_studies_do_not_validate(validator: jsonschema.Draft202012Validator, change: str) -> None:
    data = {**read_yaml(STUDY).data, **read_yaml(change).data}
    assert list(validator.iter_errors(data))
