"""A registry made by hand, and two layers: what the tests of the space bind to."""

from __future__ import annotations

import pytest

from autoreg.space.layers import LayerInfo
from autoreg.space.spec import MethodSpec, Paper, Param, Registry, Section, choice, fixed, integer, log, slot, uniform


def _methods(kind: str, **specs: MethodSpec | dict[str, Param]) -> dict[str, MethodSpec]:
    found = {}
    for name, spec in specs.items():
        label = name.replace("_colon_", ":").lstrip("n") if "_colon_" in name else name
        found[label] = spec if isinstance(spec, MethodSpec) else MethodSpec(label, kind, spec)
    return found


# long: a registry is one table
def make_registry() -> Registry:
    """The registry of the design's example space, with one rule between methods."""
    strength = log(1e-5, 1e-2, default=1e-4, max=10.0, doc="per element")
    criterion = slot("criterion", "magnitude", "wanda", default="magnitude")
    allocation = slot("allocation", "uniform", "erk", default="uniform")
    schedule = slot("schedule", default="one_shot")
    amount = uniform(0.1, 0.9, min=0.0, max=0.99)
    compander = MethodSpec(
        "compander",
        "reparam",
        conflicts=(("sparsity.weight.criterion == 'magnitude'", "compander opposes magnitude sparsity"),),
        paper=Paper("Weight Compander", "Schwarz et al.", 2024),
    )
    weight = {"criterion": criterion, "allocation": allocation, "amount": amount, "schedule": schedule}
    count = {"count": integer(1, 3, min=1, max=8)}
    return Registry(
        methods={
            "regularizer": _methods(
                "regularizer",
                l1={"strength": strength},
                group_lasso={"strength": strength, "group": choice("filter", "channel", "shape")},
                sam={"rho": uniform(0.01, 0.3, min=0.0, max=2.0)},
            ),
            "reparam": {"compander": compander},
            "structure": _methods(
                "structure",
                weight=dict(weight),
                channel=dict(weight),
                n2_colon_4={"criterion": criterion},
            ),
            "criterion": _methods("criterion", magnitude={}, wanda={}, taylor={}, random={}),
            "allocation": _methods("allocation", uniform={}, erk={}, lamp={}, **{"global": {}}),
            "schedule": _methods(
                "schedule", one_shot={}, gradual={"start": uniform(0.0, 0.5, default=0.0, min=0.0, max=1.0)}
            ),
            "quantizer": _methods("quantizer", rtn={}, lsq={}),
            "train": _methods("train", all={}, fisher=dict(count), norm_only={}),
            "drop": _methods("drop", angular=dict(count), last=dict(count)),
        },
        sections={
            "regularizer": slot("regularizer", "l1", "group_lasso", several=True),
            "reparam": slot("reparam"),
            "sparsity": slot("structure"),
            "quantization": Section(
                {
                    "quantizer": slot("quantizer", default="rtn"),
                    "weights": Section(
                        {
                            "bits": choice(2, 3, 4, 8, 32, default=32, per_layer=True),
                            "granularity": choice("tensor", "channel"),
                            "symmetric": choice(True, False),
                        }
                    ),
                    "activations": Section({"bits": choice(8, 32, default=32)}),
                }
            ),
            "layers": Section({"train": slot("train", default="all"), "drop": slot("drop")}),
            "training": Section(
                {
                    "start": choice("scratch", "pretrained"),
                    "lr": log(1e-4, 1e-1, default=0.01, max=10.0),
                    "weight_decay": log(1e-6, 1.0, default=1e-4),
                    "epochs": fixed(10, min=0),
                    "finetune_epochs": fixed(4, min=0),
                    "qat_epochs": fixed(2, min=0),
                    "optimizer": choice("sgd", "adam"),
                }
            ),
        },
    )


@pytest.fixture(scope="session")
def registry() -> Registry:
    """A registry with the methods of the design's example."""
    return make_registry()


@pytest.fixture(scope="session")
def layers() -> tuple[LayerInfo, ...]:
    """Four weighted layers of a small network."""
    return (
        LayerInfo("stem.conv", "Conv2d"),
        LayerInfo("blocks.0.conv", "Conv2d"),
        LayerInfo("blocks.1.conv", "Conv2d"),
        LayerInfo("head", "Linear"),
    )


EXAMPLE = """\
name: cnn-joint
regularizer:
  - none
  - group_lasso: {strength: {log: [1e-5, 1e-2]}, group: [filter, channel]}
  - sam: {rho: {uniform: [0.01, 0.2]}}
sparsity:
  - none
  - weight:
      {criterion: [magnitude, wanda], allocation: [uniform, erk, lamp], amount: {uniform: [0.3, 0.95]},
       schedule: [one_shot, gradual]}
  - channel: {criterion: [magnitude, taylor], allocation: [uniform, global], amount: {uniform: [0.1, 0.7]}}
  - "2:4": {criterion: [magnitude, wanda]}
quantization:
  weights: {bits: [2, 4, 8, 32], granularity: [tensor, channel]}
  activations: {bits: [8, 32]}
layers:
  train: [all, {fisher: {count: {int: [1, 6]}}}, norm_only]
  drop: [none, {angular: {count: {int: [1, 2]}}}, {last: {count: {int: [1, 2]}}}]
training: {start: [scratch, pretrained], lr: {log: [1e-4, 1e-1]}, weight_decay: {log: [1e-6, 1]},
  epochs: 10, finetune_epochs: 4, qat_epochs: 2}
constraints: ["flops <= 0.5 * dense.flops", "bytes <= 200_000"]
"""


@pytest.fixture(scope="session")
def example() -> str:
    """The space of the design, word for word."""
    return EXAMPLE
