"""From an ONNX graph in floating point to one that ONNX Runtime carries out in integers.

A layer with an 8-bit input and a weight of at most 8 bits gets quantize and dequantize nodes around it, in the form
that ONNX Runtime fuses: a convolution needs an integer bias and a quantized output (QLinearConv), a linear layer an
integer bias (QGemm). A linear layer with a weight of at most 4 bits and a float input becomes a MatMulNBits. All other
weights stay in floating point, on their grid.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray
from torch import nn

from autoreg.artifacts.deployable import Deployable, Grid, LayerCode
from autoreg.artifacts.onnx_graph import Graph
from autoreg.methods.state import is_transposed

Array = NDArray[Any]

INTEGER_NODES = ("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat")
FOUR_BIT_BLOCK = 32
MICROSOFT = "com.microsoft"


@dataclass
class _Editor:
    """A graph that is being rewritten."""

    graph: Any
    initializers: dict[str, Array]
    nodes: list[Any]
    quantized: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # value -> integers, scale, zero point

    def constant(self, name: str, value: Array) -> str:
        """Add an initializer."""
        from onnx import numpy_helper

        if name not in self.initializers:
            self.initializers[name] = value
            self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def users(self, tensor: str) -> list[Any]:
        """Nodes that read a tensor."""
        return [node for node in self.nodes if tensor in node.input]

    def insert(self, before: Any, *nodes: Any) -> None:
        """Put nodes in front of another."""
        at = next(index for index, node in enumerate(self.nodes) if node is before)
        self.nodes[at:at] = nodes


def quantize_graph(graph: Graph, found: Deployable, *, unsigned: bool | None = None) -> tuple[Any, dict[str, str]]:
    """Put the integer codes of a network into its graph.

    Args:
        graph: the graph of `found.model`, its batch norms folded; left as it was.
        found: plain weights and codes.
        unsigned: whether 8-bit weights are written unsigned; None asks the machine (see `saturates`).

    Returns:
        The new model, and by layer how it runs: `int8`, `int4` (weights alone) or `fp32`.
    """
    from onnx import ModelProto, numpy_helper

    proto = ModelProto()
    proto.CopyFrom(graph.proto)
    if unsigned is None:
        unsigned = saturates()
    editor = _Editor(
        proto.graph,
        {entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer},
        list(proto.graph.node),
    )
    layers = [_find(editor, graph, name, module, found) for name, module in found.model.named_modules()]
    known = [layer for layer in layers if layer is not None]
    for layer in known:
        for node in layer.nodes:
            if layer.code.input is not None:
                _quantize(editor, [node], node.input[0], layer.code.input, layer.code.shared)
            if layer.code.output is not None:
                tail = _behind(editor, node).output[0]
                _quantize(editor, editor.users(tail), tail, layer.code.output, shared=True)
    runs = dict.fromkeys(found.codes, "fp32")
    for layer in known:
        kinds = [_integer_node(editor, layer, node, unsigned) for node in layer.nodes]
        runs[layer.name] = kinds[0] if len(set(kinds)) == 1 else "fp32"
    del proto.graph.node[:]
    proto.graph.node.extend(editor.nodes)
    del proto.graph.value_info[:]  # types of what lies between have changed; runtimes infer them
    _drop_unused(proto)
    if any(node.domain == MICROSOFT for node in proto.graph.node):
        entry = proto.opset_import.add()
        entry.domain, entry.version = MICROSOFT, 1
    return proto, runs


_LAYERS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class _Layer:
    """A layer with a code, and the nodes that apply its weight."""

    name: str
    module: nn.Module
    code: LayerCode
    nodes: list[Any]


def _find(editor: _Editor, graph: Graph, name: str, module: nn.Module, found: Deployable) -> _Layer | None:
    code = found.codes.get(name)
    held = graph.places.get(f"{name}.weight", ())
    nodes = [node for place, _ in held for node in editor.nodes if node.op_type in _LAYERS and node.input[1] == place]
    return None if code is None or not nodes else _Layer(name, module, code, nodes)


def _integer_node(editor: _Editor, layer: _Layer, node: Any, unsigned: bool) -> str:
    """Rewrite one node of a layer, once all values are quantized; says how it runs."""
    code, linear = layer.code, isinstance(layer.module, nn.Linear)
    if code.weight is None or (linear and node.op_type == "Conv"):
        return "fp32"
    if code.input is None:
        return _four_bits(editor, layer.name, node, code) if linear and code.weight.bits <= 4 else "fp32"
    weight = _integers(code, unsigned, is_transposed(layer.module))
    if weight is None:
        return "fp32"
    if linear:
        return _gemm(editor, layer.name, node, weight)
    users = editor.users(_behind(editor, node).output[0])
    if [user.op_type for user in users] != ["QuantizeLinear"]:
        return "fp32"  # the runtime would dequantize the weight in every call
    return _conv(editor, layer.name, node, weight)


# -- values -----------------------------------------------------------------------------------------------------------


def _quantize(editor: _Editor, readers: list[Any], tensor: str, grid: Grid, shared: bool) -> None:
    """Quantize a tensor that some nodes read; they get the value on the grid, and where it is shared all others too.

    The integers are bytes; a narrower range is clipped to. A ReLU in front whose zero is not the lowest byte becomes a
    clip of the integers, so that the convolution before it has a quantized output.
    """
    from onnx import helper

    value = f"{tensor}_dq"
    if value not in editor.quantized:
        shift = 128 if grid.low < 0 else 0
        zero, low, high = int(grid.zero_point[0]) + shift, grid.low + shift, grid.high + shift
        ends = (
            editor.constant(f"{tensor}_scale", numpy.asarray(float(grid.scale[0]), numpy.float32)),
            editor.constant(f"{tensor}_zero", numpy.asarray(zero, numpy.uint8)),
        )
        readers = editor.users(tensor) if shared else readers
        for reader in readers:
            _rewire(reader, tensor, value)
        maker = next((node for node in editor.nodes if tensor in node.output), None)
        source, integers = tensor, f"{tensor}_q"
        if maker is not None and maker.op_type == "Relu" and zero > low and not editor.users(tensor):
            source, low = maker.input[0], zero
            editor.nodes.remove(maker)
        made = [helper.make_node("QuantizeLinear", [source, *ends], [integers], name=integers)]
        if (low, high) != (0, 255):
            edges = {"low": low, "high": high}
            clip = [editor.constant(f"{tensor}_{end}", numpy.asarray(edge, numpy.uint8)) for end, edge in edges.items()]
            integers = f"{tensor}_clipped"
            made.append(helper.make_node("Clip", [f"{tensor}_q", *clip], [integers], name=integers))
        made.append(helper.make_node("DequantizeLinear", [integers, *ends], [value], name=value))
        if readers:
            editor.insert(next(node for node in editor.nodes if value in node.input), *made)
        editor.quantized[value] = (integers, *ends)
    for reader in readers:
        _rewire(reader, tensor, value)


def _rewire(node: Any, old: str, new: str) -> None:
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new


def _behind(editor: _Editor, node: Any) -> Any:
    """The ReLU that alone reads a node's output, else the node."""
    users = editor.users(node.output[0])
    return users[0] if len(users) == 1 and users[0].op_type in ("Relu", "Clip") else node


# -- weights ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Weight:
    """Integers of a weight as bytes, with scales by output and one zero point."""

    integers: Array
    scale: Array
    zero_point: Array


def _integers(code: LayerCode, unsigned: bool, transposed: bool) -> _Weight | None:
    """A weight in the form that integer kernels take; None where its outputs have different zero points."""
    assert code.weight is not None
    assert code.integers is not None
    if transposed or len(set(code.weight.zero_point.tolist())) > 1:
        return None
    integers = code.integers.numpy()
    outputs = integers.shape[0]
    zero = int(code.weight.zero_point[0])
    shift = 128 if unsigned and code.weight.low < 0 else 0
    kind: Any = numpy.uint8 if shift or code.weight.low >= 0 else numpy.int8
    scale = numpy.broadcast_to(code.weight.scale.numpy(), (outputs,)).astype(numpy.float32)
    return _Weight((integers + shift).astype(kind), scale, numpy.full(outputs, zero + shift, dtype=kind))


def _dequantized(editor: _Editor, name: str, node: Any, weight: _Weight, bias: Array | None) -> tuple[str, str]:
    """Nodes that give a layer's weight and bias from integers, as runtimes expect them; returns their outputs."""
    from onnx import helper

    scale = editor.constant(f"{name}.weight_scale", weight.scale)
    made = [
        helper.make_node(
            "DequantizeLinear",
            [
                editor.constant(f"{name}.weight_integers", weight.integers),
                scale,
                editor.constant(f"{name}.weight_zero", weight.zero_point),
            ],
            [f"{name}.weight_dq"],
            name=f"{name}.weight_dq",
            axis=0,
        )
    ]
    outputs = weight.scale.size
    step = weight.scale.astype(numpy.float64) * float(editor.initializers[editor.quantized[node.input[0]][1]])
    steps = numpy.maximum(step, numpy.finfo(numpy.float32).tiny).astype(numpy.float32)
    ideal = numpy.zeros(outputs) if bias is None else bias.astype(numpy.float64) / steps
    limits = numpy.iinfo(numpy.int32)
    rounded = numpy.clip(numpy.round(ideal), limits.min, limits.max).astype(numpy.int32)
    made.append(
        helper.make_node(
            "DequantizeLinear",
            [
                editor.constant(f"{name}.bias_integers", rounded),
                editor.constant(f"{name}.bias_scale", steps),
                editor.constant(f"{name}.bias_zero", numpy.zeros(outputs, numpy.int32)),
            ],
            [f"{name}.bias_dq"],
            name=f"{name}.bias_dq",
            axis=0,
        )
    )
    editor.insert(node, *made)
    return f"{name}.weight_dq", f"{name}.bias_dq"


def _conv(editor: _Editor, name: str, node: Any, weight: _Weight) -> str:
    bias = editor.initializers.get(node.input[2]) if len(node.input) > 2 else None
    ends = _dequantized(editor, name, node, weight, bias)
    value = node.input[0]
    del node.input[:]
    node.input.extend([value, *ends])
    return "int8"


def _gemm(editor: _Editor, name: str, node: Any, weight: _Weight) -> str:
    """Write a linear layer as one Gemm over rows, its bias inside; inputs of more dimensions are flattened."""
    from onnx import helper

    integers, scale, zero = editor.quantized[node.input[0]]
    users = editor.users(node.output[0])
    bias: Array | None = None
    last = node
    if node.op_type == "Gemm":
        bias = editor.initializers.get(node.input[2]) if len(node.input) > 2 else None
        flat = True
    else:
        flat = False
        if len(users) == 1 and users[0].op_type == "Add":
            other = [entry for entry in users[0].input if entry != node.output[0]]
            found = editor.initializers.get(other[0]) if other else None
            if found is not None and found.shape == (weight.scale.size,):
                bias, last = found, users[0]
    ends = _dequantized(editor, name, node, weight, bias)
    output = last.output[0]
    rows, made = node.input[0], []
    if not flat:
        rows, rows_q = f"{name}.rows", f"{name}.rows_q"
        made.append(helper.make_node("Flatten", [integers], [rows_q], name=rows_q, axis=-1))
        made.append(helper.make_node("DequantizeLinear", [rows_q, scale, zero], [rows], name=rows))
    product = output if flat else f"{name}.product"
    made.append(helper.make_node("Gemm", [rows, *ends], [product], name=name, transB=1))
    if not flat:
        outputs = editor.constant(f"{name}.outputs", numpy.asarray([weight.scale.size], numpy.int64))
        edges = {"from": 0, "to": -1}
        first = [editor.constant(f"{name}.{end}", numpy.asarray([at], numpy.int64)) for end, at in edges.items()]
        made += [
            helper.make_node("Shape", [integers], [f"{name}.shape"], name=f"{name}.shape"),
            helper.make_node("Slice", [f"{name}.shape", *first], [f"{name}.outer"], name=f"{name}.outer"),
            helper.make_node("Concat", [f"{name}.outer", outputs], [f"{name}.full"], name=f"{name}.full", axis=0),
            helper.make_node("Reshape", [product, f"{name}.full"], [output], name=f"{name}.unflatten"),
        ]
    editor.insert(node, *made)
    for old in (node, last) if last is not node else (node,):
        editor.nodes.remove(old)
    return "int8"


def _four_bits(editor: _Editor, name: str, node: Any, code: LayerCode) -> str:
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
    made = [
        helper.make_node(
            "MatMulNBits", [node.input[0], *ends], [product], name=f"{name}.matmul", domain=MICROSOFT, **settings
        )
    ]
    if bias:
        made.append(helper.make_node("Add", [product, bias], [node.output[0]], name=name))
    editor.insert(node, *made)
    editor.nodes.remove(node)
    return "int4"


def _drop_unused(proto: Any) -> None:
    used = {name for node in proto.graph.node for name in node.input} | {entry.name for entry in proto.graph.output}
    kept = [entry for entry in proto.graph.initializer if entry.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)


# -- what the runtime does --------------------------------------------------------------------------------------------


def operators(model: bytes) -> Counter[str]:
    """How many nodes of each kind ONNX Runtime carries out, after its own fusions."""
    import tempfile
    from pathlib import Path

    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


@functools.cache
def saturates() -> bool:
    """Whether products of unsigned values and signed weights overflow on this processor.

    Without the VNNI instructions, x86 adds pairs of 8-bit products in 16 bits. Then weights are written unsigned,
    which takes longer and is exact.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    values = numpy.full((4, 64), 255, numpy.uint8)
    weights = numpy.full((64, 4), 127, numpy.int8)
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    ends = [
        helper.make_tensor_value_info("x", TensorProto.UINT8, values.shape),
        helper.make_tensor_value_info("w", TensorProto.INT8, weights.shape),
        helper.make_tensor_value_info("y", TensorProto.INT32, (4, 4)),
    ]
    made = helper.make_graph([node], "probe", ends[:2], ends[2:])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"x": values, "w": weights})
    return bool((product != 64 * 255 * 127).any())


def runs_in_words(runs: Mapping[str, str]) -> str:
    """How the layers run, counted: `9 layers int8, 1 layer fp32`."""
    counted = Counter(runs.values())
    return ", ".join(f"{n} {'layer' if n == 1 else 'layers'} {kind}" for kind, n in sorted(counted.items()))
