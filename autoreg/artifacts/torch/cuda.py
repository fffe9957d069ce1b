"""The deployed network on a CUDA device: 8-bit linear layers in integers, 2:4 sparse ones on sparse tensor cores.

Both go through torch itself. torchao's `quantize_` measures a range for each token at run time, which is another
model than the one that was trained and scored; `torch._int_mm` takes the grids as the trial found them.
Convolutions run in fp32 on the grid.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoreg.artifacts.deployable import LayerCode
from autoreg.artifacts.torch.integer import IntegerLayer, agrees, refusal, unsigned
from autoreg.errors import InputError

_LEAST_ROWS = 32  # cuBLASLt wants more than 16 rows, and columns in multiples of 8; 16 keeps rows aligned
_COLUMNS = 16
_HALF_TOLERANCE = 5e-3  # of the largest output: 11 bits of fp16 in weight, input and result


def require_cuda() -> None:
    """Refuse where torch sees no CUDA device.

    Raises:
        InputError: in that case.
    """
    if not torch.cuda.is_available():
        raise InputError("runtime = 'cuda': torch sees no CUDA device; allowed here: cpu")


def cuda_layer(module: nn.Module, code: LayerCode, shape: tuple[int, ...]) -> tuple[nn.Module, str] | None:
    """The faster form of a linear layer on the current CUDA device and its name, or None where there is none.

    Args:
        module: a layer with its weights on the grid, on the CPU.
        code: its code.
        shape: of an input.

    Returns:
        `int8`, exact, for an integer weight and input; `2:4`, in fp16, for a weight with at most two of four
        neighbours other than zero and an input in floating point.
    """
    if not isinstance(module, nn.Linear):
        return None
    try:
        if refusal(module, code) is None:
            fast_layer = int_mm_layer(module, code).cuda()
            assert code.input is not None
            return (fast_layer, "int8") if agrees(module, fast_layer, code.input, shape) else None
        if code.input is None and is_two_of_four(module.weight):
            sparse = SparseLinear(module)
            return (sparse, "2:4") if _close(module, sparse, shape) else None
    except (RuntimeError, AttributeError, NotImplementedError):  # this device or build has no such kernel
        return None
    return None


def int_mm_layer(module: nn.Module, code: LayerCode) -> IntegerLayer:
    """A linear layer through `torch._int_mm`, int8 times int8 summed in int32; it runs on a CPU too.

    Args:
        module: a linear layer for which `autoreg.artifacts.torch.integer.refusal` knows no reason.
        code: its code.
    """
    assert code.input is not None
    return IntegerLayer(module, code.input, _IntMm(module, code))


class _IntMm(nn.Module):
    """acc = (u - 128)·wᵀ in int32, then (acc - (z - 128)·Σw)·s_x·s_w + bias in float32."""

    weight: Tensor
    offset: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, module: nn.Module, code: LayerCode) -> None:
        super().__init__()
        assert code.input is not None
        assert code.weight is not None
        assert code.integers is not None
        self.outputs, inputs = code.integers.shape
        padding = (0, -inputs % _COLUMNS, 0, -self.outputs % _COLUMNS)
        self.register_buffer("weight", functional.pad(code.integers.to(torch.int8), padding))
        self.register_buffer("offset", (unsigned(code.input)[0] - 128) * code.integers.int().sum(1, dtype=torch.int32))
        self.register_buffer("scale", code.input.scale * code.weight.scale.expand(self.outputs))
        bias = module.bias
        self.register_buffer("bias", bias.detach().float().clone() if isinstance(bias, Tensor) else None)

    def forward(self, integers: Tensor) -> Tensor:
        """uint8 [..., inputs] to float32 [..., outputs]."""
        rows = torch.bitwise_xor(integers, 128).view(torch.int8).reshape(-1, integers.shape[-1])  # u - 128
        count = rows.shape[0]
        rows = functional.pad(rows, (0, -rows.shape[1] % _COLUMNS, 0, max(0, _LEAST_ROWS - count)))
        sums = torch._int_mm(rows.contiguous(), self.weight.t())[:count, : self.outputs]
        out = (sums - self.offset) * self.scale
        out = out if self.bias is None else out + self.bias
        return out.reshape(*integers.shape[:-1], self.outputs)


class SparseLinear(nn.Module):
    """A linear layer with a 2:4 sparse weight in fp16 on sparse tensor cores (compute capability 8.0 and newer).

    Args:
        module: its weight passes `is_two_of_four`; sizes must be multiples of what the kernels take (at most 64).
    """

    def __init__(self, module: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls the interface a prototype
            sparse = torch.sparse.to_sparse_semi_structured(module.weight.detach().half().cuda().contiguous())
        self.weight = nn.Parameter(sparse, requires_grad=False)
        bias = None if module.bias is None else nn.Parameter(module.bias.detach().half().cuda(), requires_grad=False)
        self.bias = bias
        self.in_features, self.out_features = module.in_features, module.out_features

    def forward(self, input: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs], of the input's type."""
        rows = input.reshape(-1, input.shape[-1]).half()
        out = functional.linear(rows, self.weight, self.bias).to(input.dtype)
        return out.reshape(*input.shape[:-1], self.out_features)


def is_two_of_four(weight: Tensor) -> bool:
    """Whether at most two of every four neighbours along the inputs are other than zero; [outputs, inputs]."""
    if weight.ndim != 2 or weight.shape[1] % 4 != 0:
        return False
    return bool(((weight.reshape(weight.shape[0], -1, 4) != 0).sum(-1) <= 2).all())


def _close(module: nn.Module, fast_layer: nn.Module, shape: tuple[int, ...]) -> bool:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = copy.deepcopy(module).cpu()(values)
        found = fast_layer(values.cuda()).cpu()
    return bool((found - expected).abs().max() <= _HALF_TOLERANCE * expected.abs().max())
