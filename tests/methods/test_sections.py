"""The sections of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from autoreg.errors import InputError
from autoreg.methods import method_class, registry
from autoreg.methods.base import check_value
from autoreg.space.nodes import Choice, Range
from autoreg.space.spec import Param, Section


def parameters(items: Mapping[str, Param | Section], path: str = "") -> Iterator[tuple[str, Param]]:
    for name, item in items.items():
        if isinstance(item, Section):
            yield from parameters(item.items, f"{path}{name}.")
        else:
            yield f"{path}{name}", item


ALL = dict(parameters(registry().sections))


def test_recipe_has_the_sections_of_the_design() -> None:
    assert set(ALL) == {
        "regularizer",
        "noise",
        "reparam",
        "teacher",
        "averaging",
        "sparsity",
        "quantization.quantizer",
        "quantization.weights.bits",
        "quantization.weights.granularity",
        "quantization.weights.symmetric",
        "quantization.weights.allocation",
        "quantization.activations.bits",
        "quantization.activations.symmetric",
        "layers.train",
        "layers.drop",
        "network.width",
        "network.blocks",
        "network.inherit",
        "training.start",
        "training.lr",
        "training.weight_decay",
        "training.epochs",
        "training.finetune_epochs",
        "training.qat_epochs",
        "training.optimizer",
        "training.momentum",
        "training.schedule",
        "training.share",
    }


@pytest.mark.parametrize("path", ALL)
def test_default_is_allowed_and_search_range_lies_inside_what_is_allowed(path: str) -> None:
    param = ALL[path]
    if param.type == "slot":
        assert param.default == "none" or method_class(str(param.slot_kind), param.default)
        return
    assert check_value(path, param, param.default) == param.default
    if isinstance(param.node, Range):
        assert param.low <= param.node.low < param.node.high <= param.high
    if isinstance(param.node, Choice):
        for option in param.node.options:
            check_value(path, param, option.node.value)  # type: ignore[union-attr]


def test_defaults_are_those_of_the_contract() -> None:
    defaults = {path: param.default for path, param in ALL.items()}
    assert {
        p: defaults[p] for p in ("regularizer", "noise", "reparam", "teacher", "sparsity", "layers.drop")
    } == dict.fromkeys(("regularizer", "noise", "reparam", "teacher", "sparsity", "layers.drop"), "none")
    assert (defaults["layers.train"], defaults["quantization.quantizer"]) == ("all", "rtn")
    assert (defaults["quantization.weights.bits"], defaults["quantization.activations.bits"]) == (32, 32)
    assert defaults["quantization.weights.granularity"] == "channel"
    assert defaults["quantization.weights.symmetric"] is True
    assert defaults["quantization.activations.symmetric"] is False
    assert ALL["sparsity"].slot_kind == "structure"


@pytest.mark.parametrize("part", ["weights", "activations"])
def test_bits_are_two_to_eight_or_thirty_two_and_may_be_given_per_layer(part: str) -> None:
    param = ALL[f"quantization.{part}.bits"]
    assert param.options == (2, 3, 4, 5, 6, 7, 8, 32)
    assert check_value("bits", param, {"per_layer": {"*": 3}}) == {"per_layer": {"*": 3}}
    for wrong in (1, 9, 16, 8.0, "8", True):
        with pytest.raises(InputError, match="bits"):
            check_value("bits", param, wrong)


def test_epochs_may_be_zero_but_not_negative() -> None:
    for name in ("epochs", "finetune_epochs", "qat_epochs"):
        assert check_value(name, ALL[f"training.{name}"], 0) == 0
        with pytest.raises(InputError, match=f"{name} = -1"):
            check_value(name, ALL[f"training.{name}"], -1)
