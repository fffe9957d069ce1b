"""Single layers as ONNX models, in the form that the exported network has them, to be timed.

A model holds several copies of the layer on one input, so that what surrounds a layer (the call, a conversion of the
layout at the edges of the graph) is shared between them; what is not shared is measured apart and subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy
from numpy.typing import NDArray

from autoreg.latency.onnx_runtime import MICROSOFT_DOMAIN, ONNX_OPSET
from autoreg.latency.table.layer_key import LayerKey
from autoreg.network.geometry import Geometry

FEW, SOME, MANY = 2, 4, 8  # copies of a large, a middling and a small layer
LARGE, SMALL = 100_000_000, 2_000_000  # multiply-accumulates


@dataclass
class _Writer:
    """An ONNX graph in the making."""

    nodes: list[Any] = field(default_factory=list)
    initializers: dict[str, NDArray[Any]] = field(default_factory=dict)
    rng: numpy.random.Generator = field(default_factory=lambda: numpy.random.default_rng(0))

    def constant(self, name: str, value: Any) -> str:
        self.initializers[name] = numpy.asarray(value)
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def finish(self, given: Sequence[tuple[str, Any, Sequence[int]]], output_names: Sequence[str], kind: Any) -> bytes:
        """The model's bytes; shapes of outputs are inferred."""
        from onnx import helper, numpy_helper

        inputs = [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in given]
        outputs = [helper.make_tensor_value_info(name, kind, None) for name in output_names]
        held = [numpy_helper.from_array(value, name) for name, value in self.initializers.items()]
        graph = helper.make_graph(self.nodes, "layer", inputs, outputs, held)
        opsets = [helper.make_opsetid("", ONNX_OPSET), helper.make_opsetid(MICROSOFT_DOMAIN, 1)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def copies_of(key: LayerKey) -> int:
    """How many copies of a layer its model holds: so many that small ones take longer than the call around them."""
    return FEW if key.macs > LARGE else SOME if key.macs > SMALL else MANY


def layer_model(key: LayerKey, copies: int, *, unsigned: bool = False) -> bytes:
    """An ONNX model that applies `copies` layers of one shape, of random weights, to one input.

    Args:
        key: shape and kind of the layer.
        copies: at least 1.
        unsigned: whether 8-bit weights are written unsigned, as the export does where products overflow.
    """
    if key.kind == "int4":
        return _packed_linear(key, copies)
    if key.kind == "int8":
        return _int8_linear(key, copies, unsigned) if key.geometry.op == "linear" else _int8_conv(key, copies, unsigned)
    return _float_linear(key, copies) if key.geometry.op == "linear" else _float_conv(key, copies)


def identity_model() -> bytes:
    """A model that does nothing, to be timed as the cost of a call."""
    from onnx import TensorProto

    writer = _Writer()
    return writer.finish([("x", TensorProto.FLOAT, (1, 1))], [writer.node("Identity", ["x"], "y")], TensorProto.FLOAT)


def transpose_model(key: LayerKey, copies: int) -> bytes:
    """What the runtime puts around single integer convolutions: bytes moved between channels first and last.

    Inside of a network it moves them at the ends alone.
    """
    from onnx import TensorProto

    geometry, writer = key.geometry, _Writer()
    dims = len(geometry.kernel)
    last, first = (0, *range(2, dims + 2), 1), (0, dims + 1, *range(1, dims + 1))
    output_names = [writer.node("Transpose", ["x"], "inner", perm=last)]
    output_names += [writer.node("Transpose", [f"z{i}"], f"y{i}", perm=first) for i in range(copies)]
    given = [("x", TensorProto.UINT8, (geometry.rows, key.inputs, *geometry.spatial))]
    given += [(f"z{i}", TensorProto.UINT8, (geometry.rows, *geometry.output, key.outputs)) for i in range(copies)]
    return writer.finish(given, output_names, TensorProto.UINT8)


def _window(geometry: Geometry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kernel_shape": geometry.kernel,
        "strides": geometry.stride,
        "pads": geometry.padding,
        "dilations": geometry.dilation,
        "group": geometry.groups,
    }
    return found | ({"output_padding": geometry.output_padding} if geometry.op == "conv_transpose" else {})


def _weight_shape(key: LayerKey) -> tuple[int, ...]:
    geometry = key.geometry
    if geometry.op == "conv_transpose":
        return (key.inputs, key.outputs // geometry.groups, *geometry.kernel)
    return (key.outputs, key.inputs // geometry.groups, *geometry.kernel)


def _float_conv(key: LayerKey, copies: int) -> bytes:
    """Convolutions whose outputs are added up: the runtime does that within the next one, in its own layout."""
    from onnx import TensorProto

    geometry, writer = key.geometry, _Writer()
    op = "ConvTranspose" if geometry.op == "conv_transpose" else "Conv"
    output_names = []
    for i in range(copies):
        weight = writer.rng.standard_normal(_weight_shape(key)).astype(numpy.float32) / 8
        ends = [writer.constant(f"w{i}", weight), writer.constant(f"b{i}", numpy.zeros(key.outputs, numpy.float32))]
        output_names.append(writer.node(op, ["x", *ends], f"c{i}", **_window(geometry)))
    if op == "Conv" and len(geometry.kernel) == 2 and key.outputs % 4 == 0:
        last = output_names[0]
        for i, other in enumerate(output_names[1:]):
            last = writer.node("Add", [last, other], f"a{i}")
        output_names = [last]
    shape = (geometry.rows, key.inputs, *geometry.spatial)
    return writer.finish([("x", TensorProto.FLOAT, shape)], output_names, TensorProto.FLOAT)


def _float_linear(key: LayerKey, copies: int) -> bytes:
    """Gemm on rows; MatMul and Add where the input has more dimensions, as exporters write it."""
    from onnx import TensorProto

    geometry, writer = key.geometry, _Writer()
    output_names = []
    for i in range(copies):
        weight = writer.rng.standard_normal((key.outputs, key.inputs)).astype(numpy.float32) / 8
        bias = [writer.constant(f"b{i}", numpy.zeros(key.outputs, numpy.float32))] if geometry.bias else []
        if geometry.spatial:
            transposed = writer.constant(f"w{i}", numpy.ascontiguousarray(weight.T))
            product = writer.node("MatMul", ["x", transposed], f"m{i}")
            output_names.append(writer.node("Add", [product, *bias], f"y{i}") if bias else product)
        else:
            output_names.append(writer.node("Gemm", ["x", writer.constant(f"w{i}", weight), *bias], f"y{i}", transB=1))
    shape = (*geometry.spatial, geometry.rows, key.inputs)
    return writer.finish([("x", TensorProto.FLOAT, shape)], output_names, TensorProto.FLOAT)


def _dequantized(writer: _Writer, key: LayerKey, i: int, unsigned: bool) -> list[str]:
    """Weight number `i` and its bias, from bytes and 32-bit integers, one scale per output."""
    dtype: Any = numpy.uint8 if unsigned else numpy.int8
    low, outputs = (1, key.outputs) if unsigned else (-127, key.outputs)
    integers = writer.rng.integers(low, low + 254, _weight_shape(key)).astype(dtype)
    weight = [
        writer.constant(f"w{i}", integers),
        writer.constant(f"ws{i}", numpy.full(outputs, 0.01, numpy.float32)),
        writer.constant(f"wz{i}", numpy.full(outputs, 128 if unsigned else 0, dtype)),
    ]
    bias = [
        writer.constant(f"b{i}", numpy.zeros(outputs, numpy.int32)),
        writer.constant(f"bs{i}", numpy.full(outputs, 0.001, numpy.float32)),
        writer.constant(f"bz{i}", numpy.zeros(outputs, numpy.int32)),
    ]
    return [
        writer.node("DequantizeLinear", weight, f"wd{i}", axis=0),
        writer.node("DequantizeLinear", bias, f"bd{i}", axis=0),
    ]


def _dequantized_input(writer: _Writer) -> tuple[str, list[str]]:
    grid = [writer.constant("scale", numpy.float32(0.1)), writer.constant("zero", numpy.uint8(128))]
    return writer.node("DequantizeLinear", ["x", *grid], "xd"), grid


def _int8_conv(key: LayerKey, copies: int, unsigned: bool) -> bytes:
    """Bytes in, bytes out: becomes QLinearConv."""
    from onnx import TensorProto

    geometry, writer = key.geometry, _Writer()
    value, grid = _dequantized_input(writer)
    output_names = []
    for i in range(copies):
        ends = _dequantized(writer, key, i, unsigned)
        writer.node("Conv", [value, *ends], f"c{i}", **_window(geometry))
        output_names.append(writer.node("QuantizeLinear", [f"c{i}", *grid], f"y{i}"))
    shape = (geometry.rows, key.inputs, *geometry.spatial)
    return writer.finish([("x", TensorProto.UINT8, shape)], output_names, TensorProto.UINT8)


def _int8_linear(key: LayerKey, copies: int, unsigned: bool) -> bytes:
    """Bytes in, floating point out: becomes QGemm."""
    from onnx import TensorProto

    writer = _Writer()
    value, _ = _dequantized_input(writer)
    output_names = []
    for i in range(copies):
        ends = _dequantized(writer, key, i, unsigned)
        output_names.append(writer.node("Gemm", [value, *ends], f"y{i}", transB=1))
    shape = (key.geometry.rows, key.inputs)
    return writer.finish([("x", TensorProto.UINT8, shape)], output_names, TensorProto.FLOAT)


def _packed_linear(key: LayerKey, copies: int) -> bytes:
    """Weights of 4 bits, two in a byte, in blocks along the inputs: MatMulNBits."""
    from onnx import TensorProto

    writer = _Writer()
    block = 32 if key.inputs >= 32 else 16
    blocks = -(-key.inputs // block)
    output_names = []
    for i in range(copies):
        shape = (key.outputs, blocks, block // 2)
        ends = [
            writer.constant(f"w{i}", writer.rng.integers(0, 256, shape).astype(numpy.uint8)),
            writer.constant(f"s{i}", numpy.full(key.outputs * blocks, 0.01, numpy.float32)),
            writer.constant(f"z{i}", numpy.full(key.outputs * ((blocks + 1) // 2), 0x88, numpy.uint8)),
        ]
        settings = {"K": key.inputs, "N": key.outputs, "bits": 4, "block_size": block, "accuracy_level": 1}
        product = writer.node("MatMulNBits", ["x", *ends], f"m{i}", domain=MICROSOFT_DOMAIN, **settings)
        if key.geometry.bias:
            bias = writer.constant(f"b{i}", numpy.zeros(key.outputs, numpy.float32))
            product = writer.node("Add", [product, bias], f"y{i}")
        output_names.append(product)
    return writer.finish([("x", TensorProto.FLOAT, (key.geometry.rows, key.inputs))], output_names, TensorProto.FLOAT)


def feed_of(session: Any) -> dict[str, NDArray[Any]]:
    """Random inputs for a session whose shapes are fixed."""
    rng = numpy.random.default_rng(0)
    feed = {}
    for put in session.get_inputs():
        if put.type == "tensor(uint8)":
            feed[put.name] = rng.integers(0, 256, put.shape).astype(numpy.uint8)
        else:
            feed[put.name] = rng.standard_normal(put.shape).astype(numpy.float32)
    return feed


def size_of(key: LayerKey) -> int:
    """Numbers that one call reads and writes, to keep a batch of models small in memory."""
    geometry = key.geometry
    return key.inputs * geometry.in_positions + key.outputs * geometry.out_positions + prod(_weight_shape(key))
