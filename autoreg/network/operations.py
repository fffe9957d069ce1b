"""Which operations of a forward pass multiply and add along a dimension, and how much work they are.

The formulas of `torch.utils.flop_counter`, those it lacks, and the names of operations that nobody has a formula for:
these are noted, never taken for nothing. Elementwise operations, reductions, look-ups, pooling and normalization are
no products and are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

aten: Any = torch.ops.aten

ATTACHED = ("parametrizations", "activation_quantizer", "output_quantizer")
"""Submodules that are baked or removed before anything is deployed: what they do and hold is no part of its costs."""

_NAMESPACES = ("aten", "prim", "prims", "profiler")

# ATen operations, or beginnings of their names, that are products and have no formula here.
_PRODUCTS = (
    "_cdist", "_cholesky", "_compute_linear_combination", "_conv_depthwise2d", "_cslt_sparse_mm",
    "_cudnn_attention", "_cudnn_rnn", "_dyn_quant_matmul", "_fft", "_foreach_mm",
    "_grouped_mm", "_int_mm", "_linalg_det", "_linalg_eig", "_linalg_slogdet", "_linalg_solve", "_linalg_svd",
    "_lstm_mps", "_lu_with_info", "_mixed_dtypes_linear", "_mps_conv", "_native_multi_head_attention", "_nnpack",
    "_pdist", "_scaled_dot_product", "_scaled_grouped_mm", "_scaled_mm_v2", "_sparse_addmm", "_sparse_mm",
    "_sparse_semi_structured", "_sparse_sparse_matmul", "_spsolve", "_transformer_encoder_layer",
    "_trilinear", "_triton", "_weight_int", "_wrapped_quantized_linear", "addr", "cholesky", "conv_depthwise3d",
    "cudnn_conv", "fbgemm_linear", "geqrf", "gru", "hspmm", "linalg_cholesky", "linalg_eig",
    "linalg_householder", "linalg_inv", "linalg_ldl", "linalg_lstsq", "linalg_lu", "linalg_matrix_exp", "linalg_pinv",
    "linalg_qr", "linalg_solve", "linalg_svd", "lstm", "lu_solve", "miopen", "mkldnn_conv", "mkldnn_linear",
    "mkldnn_rnn", "orgqr", "ormqr", "quantized_", "rnn", "slow_conv", "smm", "sparse_sampled_addmm", "sspaddmm",
    "triangular_solve",
)  # fmt: skip


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the FLOPs of all products (two for a multiply-accumulate), and notes those that no formula counts.

    Args:
        running: the modules that are being called with their names, innermost last; the caller changes it.

    Attributes:
        flops: the sum so far.
        notes: what is not counted, or counted as something else, by the module that does it.
    """

    def __init__(self, running: Sequence[tuple[str, nn.Module]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.supports_higher_order_operators = True
        self.running = running
        self.flops = 0
        self.notes: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, torch._ops.OpOverload):
            self._note(f"operation {func}")
            return func(*args, **kwargs)
        formula = _FORMULAS.get(func.overloadpacket)
        if formula is None and func.has_kernel_for_dispatch_key(_COMPOSITE):
            with self:  # arrives whole in inference mode only
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        namespace, _, operation = str(func.name()).partition("::")  # type: ignore[no-untyped-call]
        operation = operation.partition(".")[0]
        if formula is not None:
            if self._countable(f"{namespace}::{operation}", args):
                self.flops += formula(*args, **kwargs, out_val=out)
        elif namespace not in _NAMESPACES or (namespace == "aten" and operation.startswith(_PRODUCTS)):
            self._note(f"operation {namespace}::{operation}")
        return out

    def _countable(self, operation: str, args: Any) -> bool:
        operands = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        if any(operand.is_nested for operand in operands):
            self._note(f"{operation} of nested tensors")
            return False
        if any(operand.is_complex() for operand in operands):
            self._note(f"{operation} of complex numbers, counted as if they were real,")
        if any(operand.layout != torch.strided for operand in operands):
            self._note(f"{operation} of sparse tensors, counted as if they were dense,")
        return True

    def _note(self, what: str) -> None:
        if any(is_attached(name) or isinstance(module, nn.RNNBase) for name, module in self.running):
            return
        where = next((name for name, _ in reversed(self.running) if name), "model")
        note = f"{what} in {where!r}"
        if note not in self.notes:
            self.notes.append(note)


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


def is_attached(name: str) -> bool:
    """Whether a module of this name is a parametrization or a quantizer, or inside of one."""
    return any(part in ATTACHED for part in name.split("."))


# Formulas get shapes in place of tensors and give FLOPs, as those of `torch.utils.flop_counter` do.


def _mv(matrix: Any, vector: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * int(matrix[0]) * int(matrix[1])


def _addmv(added: Any, matrix: Any, vector: Any, *args: Any, **kwargs: Any) -> int:
    return _mv(matrix, vector)


def _dot(one: Any, other: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * int(one[0])


def _addmm(added: Any, one: Any, other: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * int(one[0]) * int(one[1]) * int(other[1])


def _addbmm(added: Any, one: Any, other: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * int(one[0]) * int(one[1]) * int(one[2]) * int(other[2])


def _conv_tbc(x: Any, weight: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    steps, batch, outputs = out_shape
    return 2 * int(steps) * int(batch) * int(outputs) * int(weight[0]) * int(weight[1])


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    batch, heads, length, width = query  # fewer heads of keys and values are shared among those of the queries
    return 2 * int(batch) * int(heads) * int(length) * int(key[2]) * (int(width) + int(value[3]))


def _grouped_mm(one: Any, other: Any, *args: Any, **kwargs: Any) -> int:
    rows = one[-2]  # one matrix for each group of rows, of columns, of inner places, or for each of a batch of both
    batch = one[0] if len(one) == len(other) == 3 else 1
    return 2 * int(batch) * int(rows) * int(one[-1]) * int(other[-1])


def _of_shapes(formula: Callable[..., int]) -> Callable[..., int]:
    """A formula that takes tensors, from one that takes their shapes."""

    def count(*args: Any, out_val: Any, **kwargs: Any) -> int:
        args, kwargs, out = tree_map(
            lambda leaf: leaf.shape if isinstance(leaf, Tensor) else leaf, (args, kwargs, out_val)
        )
        return formula(*args, **kwargs, out_shape=out)

    return count


_OWN: dict[Any, Callable[..., int]] = {
    aten.mv: _mv,
    aten.addmv: _addmv,
    aten.addmv_: _addmv,
    aten.dot: _dot,
    aten.vdot: _dot,
    aten.addmm_: _addmm,
    aten._addmm_activation: _addmm,
    aten.addbmm: _addbmm,
    aten.addbmm_: _addbmm,
    aten.baddbmm_: _addbmm,
    aten.conv_tbc: _conv_tbc,
    **({aten._grouped_mm: _grouped_mm} if hasattr(aten, "_grouped_mm") else {}),
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
}

_FORMULAS: dict[Any, Any] = {**flop_registry, **{packet: _of_shapes(formula) for packet, formula in _OWN.items()}}
