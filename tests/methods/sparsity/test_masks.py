"""Masks on a model."""

from __future__ import annotations

import copy

import pytest
import torch

from autoreg.errors import InputError
from autoreg.methods import weighted_layers
from autoreg.methods.quantization import Quantization, attach_quantizers, bake_quantizers
from autoreg.methods.sparsity.masks import attach_masks, bake_masks, masks
from autoreg.methods.testing import tiny_batches, tiny_model, train_steps
from autoreg.methods.weights import raw_weight, weight_steps
from autoreg.network.weights import weight_of


def half_masks(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(raw_weight(module).shape, generator=generator) < 0.5 for name, module in weighted_layers(model)
    }


def test_masked_weights_stay_zero_through_training_and_baking() -> None:
    model = tiny_model()
    wanted = half_masks(model)
    attach_masks(model, wanted)
    train_steps(model, [], tiny_batches() * 3)
    assert {name: mask.tolist() for name, mask in masks(model).items()} == {n: m.tolist() for n, m in wanted.items()}
    seen = {name: weight_of(module).detach().clone() for name, module in weighted_layers(model)}
    bake_masks(model)
    assert not masks(model)
    for name, module in weighted_layers(model):
        assert torch.equal(weight_of(module), seen[name])
        assert torch.equal(weight_of(module) != 0, wanted[name])
    assert set(model.state_dict()) == set(tiny_model().state_dict())


def test_a_mask_may_be_changed_in_place_or_attached_anew_and_the_weight_beneath_comes_back() -> None:
    model = tiny_model()
    before = weight_of(model[6]).detach().clone()
    attach_masks(model, {"6": torch.zeros_like(before, dtype=torch.bool)})
    assert not weight_of(model[6]).any()
    masks(model)["6"][0] = True
    assert torch.equal(weight_of(model[6])[0], before[0])
    attach_masks(model, {"6": torch.ones_like(before, dtype=torch.bool)})
    assert torch.equal(weight_of(model[6]), before)
    assert len(weight_steps(model[6])) == 1


def test_an_assigned_weight_is_seen_through_the_mask() -> None:
    model = tiny_model()
    attach_masks(model, {"6": torch.eye(3, 128, dtype=torch.bool)})
    model[6].weight = torch.full((3, 128), 2.0)
    assert torch.equal(weight_of(model[6]), 2 * torch.eye(3, 128))


def test_state_dict_of_a_masked_model_loads_into_one_masked_alike() -> None:
    model, other = tiny_model(), tiny_model()
    attach_masks(model, half_masks(model))
    attach_masks(other, {name: torch.ones_like(mask) for name, mask in half_masks(other).items()})
    other.load_state_dict(model.state_dict())
    images = tiny_batches(1)[0][0]
    assert torch.equal(model.eval()(images), other.eval()(images))
    assert torch.equal(copy.deepcopy(model)(images), model(images))


def test_wrong_names_and_shapes_are_refused() -> None:
    model = tiny_model()
    with pytest.raises(InputError, match="no weighted layer is called '7'"):
        attach_masks(model, {"7": torch.ones(1, dtype=torch.bool)})
    with pytest.raises(InputError, match=r"mask of '6' has shape \(1,\); the weight has \(3, 128\)"):
        attach_masks(model, {"6": torch.ones(1, dtype=torch.bool)})


def test_masks_come_before_quantizers() -> None:
    model = tiny_model()
    attach_quantizers(model, Quantization({"6": 4}))
    with pytest.raises(InputError, match="masks come first"):
        attach_masks(model, {"6": torch.ones(3, 128, dtype=torch.bool)})
    bake_quantizers(model)
    attach_masks(model, {"6": torch.ones(3, 128, dtype=torch.bool)})
    attach_quantizers(model, Quantization({"6": 4}))
    with pytest.raises(InputError, match="use bake_quantizers"):
        bake_masks(model)
