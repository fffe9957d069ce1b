"""Weights of layers in the form that integer kernels take, and the nodes that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from autoreg.artifacts.deployable import LayerCode
from autoreg.artifacts.onnx.editor import Array, Editor
from autoreg.latency.onnx_runtime import MICROSOFT_DOMAIN

FOUR_BIT_BLOCK = 32

MAX_BIAS_INTEGER = 2**30
"""Largest integer of a bias, with a factor of two to spare in 32 bits."""


@dataclass(frozen=True)
class LayerIntegers:
    """A layer in integers: weights as bytes with scales by output and one zero point, and the bias in 32 bits."""

    integers: Array
    scale: Array
    zero_point: Array
    bias: Array
    bias_scale: Array


def bias_of(editor: Editor, node: Any, code: LayerCode) -> Array | None:
    """The bias of a layer's node, [outputs]; that of a product is added behind it."""
    assert code.weight is not None
    assert code.integers is not None
    if node.op_type != "MatMul":
        return editor.initializers.get(node.input[2]) if len(node.input) > 2 else None
    add = _bias_addition(editor, node, code.integers.shape[0])
    return None if add is None else editor.initializers[next(n for n in add.input if n != node.output[0])]


def _bias_addition(editor: Editor, node: Any, outputs: int) -> Any:
    """The addition of a constant [outputs] that alone reads a product; None where there is none."""
    users = editor.users(node.output[0])
    if len(users) != 1 or users[0].op_type != "Add" or node.output[0] in editor.outputs:
        return None
    others = [name for name in users[0].input if name != node.output[0]]
    found = editor.initializers.get(others[0]) if others else None
    return users[0] if found is not None and found.shape == (outputs,) else None


def layer_integers(
    code: LayerCode, unsigned: bool, transposed: bool, input_scale: float, bias: Array | None
) -> LayerIntegers | None:
    """A layer in the form that integer kernels take; None where there is none.

    The bias is held in units of (weight scale × input scale). Weights of few bits leave room in their byte: they are
    multiplied by a whole number, and their scale divided, so that the unit is fine. Where a bias does not fit in 32
    bits, or all weights of an output are zero, that output's scale is free to grow or shrink: weights that are so
    small beside the bias are rounded again.
    """
    assert code.weight is not None
    assert code.integers is not None
    if transposed:
        return None
    outputs = code.integers.shape[0]
    shape = (-1, *[1] * (code.integers.ndim - 1))
    zeros = numpy.broadcast_to(code.weight.zero_point.numpy(), (outputs,)).astype(numpy.int64)
    offsets = code.integers.numpy().astype(numpy.int64) - zeros.reshape(shape)
    scale = numpy.broadcast_to(code.weight.scale.numpy(), (outputs,)).astype(numpy.float64)
    largest = numpy.abs(offsets).reshape(outputs, -1).max(1)
    wanted = numpy.zeros(outputs) if bias is None else numpy.abs(bias.astype(numpy.float64))
    if largest.max() > 127:  # eight bits with a zero point
        if len(set(zeros.tolist())) > 1 or (wanted > MAX_BIAS_INTEGER * scale * input_scale).any():
            return None
        kind: Any = numpy.uint8
        integers, zero = code.integers.numpy().astype(numpy.int64), int(zeros[0])
        if code.weight.low < 0:
            integers, zero = integers + 128, zero + 128
    else:
        times = numpy.maximum(127 // numpy.maximum(largest, 1), 1)
        scale = scale / times
        scale = numpy.where(largest == 0, numpy.maximum(wanted, 1e-12) / (input_scale * 2**24), scale)
        coarse = numpy.maximum(scale, wanted / (input_scale * MAX_BIAS_INTEGER))
        integers = numpy.round(offsets * (times * scale / coarse).reshape(shape)).astype(numpy.int64)
        scale, zero, kind = coarse, 0, numpy.int8
        if unsigned:
            integers, zero, kind = integers + 128, 128, numpy.uint8
    scale = numpy.maximum(scale, numpy.finfo(numpy.float32).tiny).astype(numpy.float32)
    steps = (scale.astype(numpy.float64) * input_scale).astype(numpy.float32)
    steps = numpy.maximum(steps, numpy.finfo(numpy.float32).tiny)
    held = numpy.zeros(outputs) if bias is None else numpy.round(bias.astype(numpy.float64) / steps)
    limits = numpy.iinfo(numpy.int32)
    return LayerIntegers(
        integers.astype(kind),
        scale,
        numpy.full(outputs, zero, dtype=kind),
        numpy.clip(held, limits.min, limits.max).astype(numpy.int32),
        steps,
    )


def _dequantized(editor: Editor, name: str, node: Any, weight: LayerIntegers) -> tuple[str, str]:
    """Nodes that give a layer's weight and bias from integers, as runtimes expect them; returns their outputs."""
    from onnx import helper

    parts = {
        "weight": (weight.integers, weight.scale, weight.zero_point),
        "bias": (weight.bias, weight.bias_scale, numpy.zeros(weight.bias.size, numpy.int32)),
    }
    for part, arrays in parts.items():
        held = zip(("integers", "scale", "zero"), arrays, strict=True)
        names = [editor.constant(f"{name}.{part}_{what}", array) for what, array in held]
        value = f"{name}.{part}_dq"
        editor.insert(node, helper.make_node("DequantizeLinear", names, [value], name=value, axis=0))
    return f"{name}.weight_dq", f"{name}.bias_dq"


def write_conv(editor: Editor, name: str, node: Any, weight: LayerIntegers) -> str:
    """Let a convolution read its weight and bias from integers."""
    ends = _dequantized(editor, name, node, weight)
    value = node.input[0]
    del node.input[:]
    node.input.extend([value, *ends])
    return "int8"


def write_gemm(editor: Editor, name: str, node: Any, weight: LayerIntegers) -> str:
    """Write a linear layer as one Gemm over rows, its bias inside; inputs of more dimensions are flattened."""
    from onnx import helper

    integers, scale, zero = editor.quantized[node.input[0]]
    flat = node.op_type == "Gemm"
    last = node if flat else _bias_addition(editor, node, weight.bias.size) or node
    ends = _dequantized(editor, name, node, weight)
    output = last.output[0]
    rows, new_nodes = node.input[0], []
    if not flat:
        rows, rows_q = f"{name}.rows", f"{name}.rows_q"
        new_nodes.append(helper.make_node("Flatten", [integers], [rows_q], name=rows_q, axis=-1))
        new_nodes.append(helper.make_node("DequantizeLinear", [rows_q, scale, zero], [rows], name=rows))
    product = output if flat else f"{name}.product"
    new_nodes.append(helper.make_node("Gemm", [rows, *ends], [product], name=name, transB=1))
    if not flat:
        outputs = editor.constant(f"{name}.outputs", numpy.asarray([weight.scale.size], numpy.int64))
        edges = {"from": 0, "to": -1}
        first = [editor.constant(f"{name}.{end}", numpy.asarray([at], numpy.int64)) for end, at in edges.items()]
        new_nodes += [
            helper.make_node("Shape", [integers], [f"{name}.shape"], name=f"{name}.shape"),
            helper.make_node("Slice", [f"{name}.shape", *first], [f"{name}.outer"], name=f"{name}.outer"),
            helper.make_node("Concat", [f"{name}.outer", outputs], [f"{name}.full"], name=f"{name}.full", axis=0),
            helper.make_node("Reshape", [product, f"{name}.full"], [output], name=f"{name}.unflatten"),
        ]
    editor.insert(node, *new_nodes)
    for old in (node, last) if last is not node else (node,):
        editor.nodes.remove(old)
    return "int8"


def write_four_bits(editor: Editor, name: str, node: Any, code: LayerCode) -> str:
    """Write a linear layer with a float input as MatMulNBits: weights of 4 bits, computed in floating point."""
    from onnx import helper

    assert code.weight is not None
    assert code.integers is not None
    integers = code.integers.numpy().astype(numpy.int64)
    outputs, inputs = integers.shape
    block = FOUR_BIT_BLOCK if inputs >= FOUR_BIT_BLOCK else 16
    blocks = -(-inputs // block)
    shift = 8 if code.weight.low < 0 else 0
    zero = numpy.broadcast_to(code.weight.zero_point.numpy().astype(numpy.int64) + shift, (outputs,))
    padded = numpy.repeat(zero[:, None], blocks * block, axis=1).astype(numpy.uint8)
    padded[:, :inputs] = integers + shift
    packed = (padded[:, 0::2] | (padded[:, 1::2] << 4)).reshape(outputs, blocks, block // 2)
    scales = numpy.repeat(numpy.broadcast_to(code.weight.scale.numpy(), (outputs,))[:, None], blocks, axis=1)
    points = numpy.repeat(zero[:, None], blocks + blocks % 2, axis=1).astype(numpy.uint8)
    ends = [
        editor.constant(f"{name}.weight_packed", packed.astype(numpy.uint8)),
        editor.constant(f"{name}.weight_scales", numpy.ascontiguousarray(scales.reshape(-1), dtype=numpy.float32)),
        editor.constant(f"{name}.weight_zeros", (points[:, 0::2] | (points[:, 1::2] << 4)).reshape(-1)),
    ]
    bias = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else None
    product = f"{name}.product" if bias else node.output[0]
    settings = {"K": inputs, "N": outputs, "bits": 4, "block_size": block, "accuracy_level": 1}
    new_nodes = [
        helper.make_node(
            "MatMulNBits", [node.input[0], *ends], [product], name=f"{name}.matmul", domain=MICROSOFT_DOMAIN, **settings
        )
    ]
    if bias:
        new_nodes.append(helper.make_node("Add", [product, bias], [node.output[0]], name=name))
    editor.insert(node, *new_nodes)
    editor.nodes.remove(node)
    return "int4"
