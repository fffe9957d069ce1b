"""What runs on a CUDA device; the arithmetic that needs none is tested without."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoreg.artifacts.torch.cuda import int_mm_layer, is_two_of_four
from autoreg.artifacts.torch.integer import agrees
from autoreg.artifacts.torch.run_integers import integer_model
from autoreg.errors import InputError
from tests.artifacts.coded_nets import coded

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(9, 5, True), (32, 16, False), (1, 1, True)])
def test_integer_products_are_exact_whatever_the_padding(
    inputs: int, outputs: int, bias: bool, symmetric: bool
) -> None:
    example = torch.randn(3, 2, inputs, generator=torch.Generator().manual_seed(0))
    made = coded(lambda: nn.Sequential(nn.Linear(inputs, outputs, bias=bias)), example, act_symmetric=symmetric)
    layer, code = made.found.model[0], made.found.codes["0"]  # type: ignore[index]
    made_layer = int_mm_layer(layer, code)
    assert code.input is not None
    assert agrees(layer, made_layer, code.input, (3, 2, inputs))
    with torch.no_grad():
        torch.testing.assert_close(made_layer(example), made.trained(example), rtol=1e-5, atol=1e-5)


def test_two_of_four_is_recognized() -> None:
    weight = torch.ones(3, 8)
    assert not is_two_of_four(weight)
    weight[:, [0, 3, 4, 5]] = 0
    assert is_two_of_four(weight)
    weight[1, 3] = 1
    assert not is_two_of_four(weight)
    assert not is_two_of_four(torch.zeros(3, 6))


@pytest.mark.skipif(torch.cuda.is_available(), reason="refused only where there is no CUDA device")
def test_without_a_device_it_is_refused() -> None:
    made = coded()
    with pytest.raises(InputError, match="no CUDA device"):
        integer_model(made.found, made.example, runtime="cuda")


@needs_cuda
def test_a_network_in_integers_on_a_device() -> None:
    made = coded(weight_bits={"hidden": 8, "head": 4, "stem.0": 8})
    model, runs = integer_model(made.found, made.example, runtime="cuda")
    assert runs["hidden"] == runs["head"] == "int8"
    assert runs["stem.0"] == "fp32"
    with torch.no_grad():
        expected = made.trained(made.example)
        torch.testing.assert_close(model(made.example.cuda()).cpu(), expected, rtol=0, atol=1e-2)


@needs_cuda
def test_a_sparse_layer_on_a_device() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("2:4 needs compute capability 8.0")
    example = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    made = coded(lambda: nn.Sequential(nn.Linear(128, 64)), example, weight_bits=32, activation_bits=32)
    layer = made.found.model[0]  # type: ignore[index]
    with torch.no_grad():
        layer.weight.view(64, 32, 4)[..., 2:] = 0
    model, runs = integer_model(made.found, example, runtime="cuda")
    assert runs == {"0": "2:4"}
    with torch.no_grad():
        torch.testing.assert_close(model(example.cuda()).cpu(), layer(example), rtol=0, atol=1e-2)
