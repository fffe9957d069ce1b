"""Quantizers on a model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from autoreg.errors import AutoregError, InputError
from autoreg.methods import create, registry, weighted_layers
from autoreg.methods.quantization import (
    Quantization,
    attach_quantizers,
    bake_quantizers,
    calibrate,
    freeze_quantizers,
    weight_quant_params,
)
from autoreg.methods.quantization.attach import activation_quantizers
from autoreg.methods.quantization.lsq import Lsq
from autoreg.methods.sparsity.masks import attach_masks
from autoreg.methods.testing import forward, tiny_batches, tiny_model, train_steps
from autoreg.network.weights import weight_of

NAMES = [name for name, _ in weighted_layers(tiny_model())]
OPTIONS: list[dict[str, Any]] = [
    {"granularity": granularity, "symmetric": symmetric, "quantizer": create("quantizer", name)}
    for granularity in ("tensor", "channel")
    for symmetric in (True, False)
    for name in registry().methods["quantizer"]
]


def sparse_model() -> nn.Sequential:
    torch.manual_seed(0)
    model = tiny_model()
    sizes = {name: weight_of(module).abs() for name, module in weighted_layers(model)}
    attach_masks(model, {name: size > size.median() for name, size in sizes.items()})
    return model


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_masked_zeros_stay_zero_and_weights_lie_on_their_grid(options: dict[str, Any], bits: int) -> None:
    model = sparse_model()
    masked = {name: weight_of(module) == 0 for name, module in weighted_layers(model)}
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, bits), **options))
    train_steps(model, [], tiny_batches())
    for name, module in weighted_layers(model):
        scale, zero_point, ints = weight_quant_params(module)
        assert not weight_of(module)[masked[name]].any()
        torch.testing.assert_close((ints - zero_point) * scale, weight_of(module).detach(), rtol=0, atol=0)
        assert torch.equal(zero_point, zero_point.round())
        assert ints.dtype == torch.int16
        assert int(ints.max()) - int(ints.min()) < 2**bits
        assert scale.numel() == (1 if options["granularity"] == "tensor" else weight_of(module).shape[0])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_rounding_to_nearest_errs_by_at_most_half_a_step(bits: int, symmetric: bool) -> None:
    model = tiny_model()
    before = {name: weight_of(module).detach().clone() for name, module in weighted_layers(model)}
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, bits), symmetric=symmetric))
    for name, module in weighted_layers(model):
        error = (weight_of(module) - before[name]).abs()
        assert bool((error <= weight_quant_params(module).scale * 0.50001).all())


def test_more_bits_err_less_and_channels_err_less_than_tensors() -> None:
    def error(bits: int, granularity: str) -> float:
        torch.manual_seed(0)
        model = tiny_model()
        with torch.no_grad():
            weight_of(model[3])[0] *= 20
        before = weight_of(model[3]).detach().clone()
        attach_quantizers(model, Quantization({"3": bits}, granularity=granularity))
        return float((weight_of(model[3]) - before).detach().square().mean())

    errors = [error(bits, "channel") for bits in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert error(4, "channel") < error(4, "tensor") / 2


def test_first_learned_step_is_the_papers_over_what_the_mask_leaves() -> None:
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        weight_of(model[0]).copy_(torch.tensor([[1.0, -3.0, 9.0, 9.0]]))
    attach_masks(model, {"0": torch.tensor([[True, True, False, False]])})
    attach_quantizers(model, Quantization({"0": 4}, quantizer=Lsq()))
    assert float(weight_quant_params(model[0]).scale) == pytest.approx(2 * 2.0 / 7**0.5)


def test_learned_steps_train_and_a_fixed_scale_does_not() -> None:
    for name, spec in registry().methods["quantizer"].items():
        model = tiny_model()
        attach_quantizers(
            model, Quantization(dict.fromkeys(NAMES, 4), dict.fromkeys(NAMES, 4), quantizer=create("quantizer", name))
        )
        assert calibrate(model, tiny_batches(), forward) == []
        before = {k: v.clone() for k, v in model.state_dict().items() if k.endswith("scale")}
        assert len(before) == 6
        train_steps(model, [], tiny_batches())
        moved = [not torch.equal(model.state_dict()[k], v) for k, v in before.items()]
        assert all(moved) if spec.trains else not any(moved)


def test_learned_steps_have_one_dimension_so_that_decay_passes_them_by() -> None:
    model = tiny_model()
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, 4), dict.fromkeys(NAMES, 8), quantizer=Lsq()))
    steps = [p for name, p in model.named_parameters() if name.endswith("scale")]
    assert len(steps) == 6
    assert {p.ndim for p in steps} == {1}


def test_frozen_steps_are_not_trained() -> None:
    model = tiny_model()
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, 4), dict.fromkeys(NAMES, 8), quantizer=Lsq()))
    freeze_quantizers(model)
    assert not any(p.requires_grad for name, p in model.named_parameters() if name.endswith("scale"))


def test_learning_the_steps_lowers_the_loss_of_a_coarse_network() -> None:
    """Quantization-aware training at 2 bits beats the same network rounded without training."""
    torch.manual_seed(0)
    batches = tiny_batches(1)
    model = tiny_model()
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, 2), quantizer=Lsq()))
    losses = train_steps(model, [], batches * 80, lr=0.05)
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(("symmetric", "low", "high"), [(False, -0.5, 1.0), (True, -1.0, 1.0)])
def test_ranges_of_inputs_are_those_of_the_calibration_batches(symmetric: bool, low: float, high: float) -> None:
    """Inputs from −0.5 to 1 over two batches; beyond the range they are clamped."""
    model = nn.Sequential(nn.Linear(2, 1))
    attach_quantizers(model, Quantization({}, {"0": 8}, act_symmetric=symmetric))
    batches = [(torch.tensor([[-0.5, 0.0]]),), (torch.tensor([[1.0, 0.2]]),)]
    assert calibrate(model, batches, forward) == []
    quantizer = activation_quantizers(model)["0.activation_quantizer"]
    ends = quantizer(torch.tensor([[-9.0, 9.0]]))[0].tolist()
    assert ends == pytest.approx([low, high], abs=1.0 / 120)  # a symmetric grid has one integer more below zero
    grid = torch.linspace(low, high, 99)[None]
    assert float((quantizer(grid) - grid).abs().max()) <= float(quantizer.scale) * 0.5001
    assert float(quantizer(torch.zeros(1, 1))) == 0.0


def test_inputs_that_are_never_negative_get_the_papers_unsigned_code() -> None:
    model = nn.Sequential(nn.Linear(2, 1))
    attach_quantizers(model, Quantization({}, {"0": 4}, quantizer=Lsq()))
    calibrate(model, [(torch.tensor([[0.0, 3.0]]),)], forward)
    quantizer = activation_quantizers(model)["0.activation_quantizer"]
    assert float(quantizer.zero_point) == 0.0
    assert (quantizer.low, quantizer.high) == (0, 15)
    assert float(quantizer.scale.detach()) == pytest.approx(2 * 1.5 / 15**0.5)


def test_inputs_must_be_calibrated_and_layers_never_called_are_named() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    attach_quantizers(model, Quantization({}, {"used": 8, "idle": 8}))
    with pytest.raises(AutoregError, match="never calibrated"):
        model["used"](torch.ones(1, 2))
    missing = calibrate(model, [torch.ones(1, 2)], lambda m, b: m.get_submodule("used")(b))
    assert missing == ["idle.activation_quantizer"]
    model["used"](input=torch.ones(1, 2))  # keyword inputs are quantized, too
    with pytest.raises(AutoregError, match="never calibrated"):
        model["idle"](torch.ones(1, 2))


def test_calibration_leaves_modes_and_statistics_alone() -> None:
    model = tiny_model().train()
    attach_quantizers(model, Quantization({}, dict.fromkeys(NAMES, 8)))
    running = model.get_buffer("1.running_mean").clone()
    calibrate(model, tiny_batches(), forward)
    assert model.training
    assert torch.equal(model.get_buffer("1.running_mean"), running)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_state_dict_loads_into_a_model_made_alike_and_copies_are_independent(options: dict[str, Any]) -> None:
    def made(seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        model = tiny_model()
        attach_masks(model, {n: torch.rand(weight_of(m).shape) < 0.5 for n, m in weighted_layers(model)})
        attach_quantizers(model, Quantization(dict.fromkeys(NAMES, 4), {"3": 8, "6": 4}, **options))
        return model

    model, other = made(0), made(1)
    calibrate(model, tiny_batches(), forward)
    train_steps(model, [], tiny_batches())
    other.load_state_dict(model.state_dict())
    images = tiny_batches(1)[0][0]
    expected = model.eval()(images)
    assert torch.equal(other.eval()(images), expected)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        activation_quantizers(twin)["6.activation_quantizer"].scale.mul_(7)
    assert torch.equal(model(images), expected)
    assert not torch.equal(twin(images), expected)


def test_baked_models_have_plain_weights_and_the_same_outputs() -> None:
    model = sparse_model()
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, 4), {"6": 8}, quantizer=Lsq()))
    calibrate(model, tiny_batches(), forward)
    images = tiny_batches(1)[0][0]
    expected = model.eval()(images).detach()
    found = bake_quantizers(model)
    assert set(found) == set(NAMES)
    torch.testing.assert_close(model(images), expected, rtol=1e-5, atol=1e-6)
    extra = set(model.state_dict()) - set(tiny_model().state_dict())
    assert extra == {f"6.activation_quantizer.{name}" for name in ("scale", "zero_point", "calibrated")}
    for name, module in weighted_layers(model):
        torch.testing.assert_close(
            weight_of(module).detach(), (found[name].ints - found[name].zero_point) * found[name].scale
        )


def test_baking_a_copy_leaves_the_original_at_work_and_the_other_way_round() -> None:
    model = sparse_model()
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, 4)))
    images = tiny_batches(1)[0][0]
    expected = model.eval()(images)
    for _ in range(2):
        twin = copy.deepcopy(model)
        bake_quantizers(twin)
        assert torch.equal(twin(images), expected)
        assert torch.equal(model(images), expected)
    twin = copy.deepcopy(model)
    bake_quantizers(model)
    assert torch.equal(twin(images), expected)
    assert type(model[6]) is nn.Linear


def test_thirty_two_bits_leave_a_layer_alone() -> None:
    model = tiny_model()
    names = set(model.state_dict())
    attach_quantizers(model, Quantization(dict.fromkeys(NAMES, 32), dict.fromkeys(NAMES, 32)))
    assert set(model.state_dict()) == names
    with pytest.raises(InputError, match="not quantized"):
        weight_quant_params(model[0])


def test_scales_of_a_transposed_convolution_go_by_output() -> None:
    layer = nn.ConvTranspose2d(3, 5, 2)
    attach_quantizers(nn.Sequential(layer), Quantization({"0": 4}))
    assert weight_quant_params(layer).scale.shape == (1, 5, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"33": 8},), "no weighted layer is called '33'"),
        (({}, {"1": 8}), "no weighted layer is called '1'"),
        (({"3": 16},), "bits = 16; allowed: 2 to 8"),
        (({"3": 8}, {}, "row"), "granularity = 'row'; allowed: tensor, channel"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        attach_quantizers(tiny_model(), Quantization(*arguments))


def test_a_second_quantizer_is_refused() -> None:
    model = tiny_model()
    attach_quantizers(model, Quantization({"3": 8}, {"3": 8}))
    with pytest.raises(InputError, match="the weight of layer '3' is quantized already"):
        attach_quantizers(model, Quantization({"3": 4}))
    with pytest.raises(InputError, match="the input of layer '3' is quantized already"):
        attach_quantizers(model, Quantization({}, {"3": 4}))
