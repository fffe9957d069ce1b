"""From an ONNX graph in floating point to one that ONNX Runtime executes in integers.

A layer with an 8-bit input and a weight of at most 8 bits gets quantize and dequantize nodes around it, in the form
that ONNX Runtime fuses: a convolution needs an integer bias and a quantized output (QLinearConv), a linear layer an
integer bias (QGemm). A linear layer with a weight of at most 4 bits and a float input becomes a MatMulNBits. All other
weights stay in floating point, on their grid.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from autoreg.artifacts.deployable import Deployable
from autoreg.artifacts.onnx.editor import Editor, OnnxLayer, last_fused, prevent_fusion, quantize_values
from autoreg.artifacts.onnx.graph import Graph
from autoreg.artifacts.onnx.runtime import saturates
from autoreg.artifacts.onnx.weights import bias_of, layer_integers, write_conv, write_four_bits, write_gemm
from autoreg.latency.onnx_runtime import MICROSOFT_DOMAIN
from autoreg.methods.weights import is_transposed

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


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
    editor = Editor(
        proto.graph,
        {entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer},
        list(proto.graph.node),
        frozenset(entry.name for entry in proto.graph.output),
    )
    layers = [_find(editor, graph, name, module, found) for name, module in found.model.named_modules()]
    known = [layer for layer in layers if layer is not None]
    quantize_values(editor, known)
    runs = dict.fromkeys(found.codes, "fp32")
    for layer in known:
        kinds = []
        for number, node in enumerate(layer.nodes):
            own = layer.name if number == 0 else f"{layer.name}#{number + 1}"
            kinds.append(_integer_node(editor, layer, own, node, unsigned))
        runs[layer.name] = kinds[0] if len(set(kinds)) == 1 else "fp32"
    del proto.graph.node[:]
    proto.graph.node.extend(editor.nodes)
    del proto.graph.value_info[:]  # types of what lies between have changed; runtimes infer them
    _drop_unused(proto)
    if any(node.domain == MICROSOFT_DOMAIN for node in proto.graph.node):
        entry = proto.opset_import.add()
        entry.domain, entry.version = MICROSOFT_DOMAIN, 1
    return proto, runs


def _find(editor: Editor, graph: Graph, name: str, module: nn.Module, found: Deployable) -> OnnxLayer | None:
    code = found.codes.get(name)
    held = graph.initializers.get(f"{name}.weight", ())
    nodes = [node for place, _ in held for node in editor.nodes if node.op_type in _LAYERS and node.input[1] == place]
    return None if code is None or not nodes else OnnxLayer(name, module, code, nodes)


def _integer_node(editor: Editor, layer: OnnxLayer, name: str, node: Any, unsigned: bool) -> str:
    """Rewrite one node of a layer, once all values are quantized; says how it runs."""
    code, linear = layer.code, isinstance(layer.module, nn.Linear)
    if code.input is None:
        few = linear and code.weight is not None and code.weight.bits <= 4 and node.op_type in ("Gemm", "MatMul")
        return write_four_bits(editor, name, node, code) if few else "fp32"
    reads = editor.quantized.get(node.input[0])
    users = editor.users(last_fused(editor, node).output[0])
    fused = linear or [user.op_type for user in users] == ["QuantizeLinear"]
    weight = None
    if reads is not None and code.weight is not None and fused and linear is (node.op_type != "Conv"):
        bias = bias_of(editor, node, code)
        weight = layer_integers(code, unsigned, is_transposed(layer.module), float(editor.initializers[reads[1]]), bias)
    if weight is None:
        prevent_fusion(editor, node)
        return "fp32"
    return write_gemm(editor, name, node, weight) if linear else write_conv(editor, name, node, weight)


def _drop_unused(proto: Any) -> None:
    used = {name for node in proto.graph.node for name in node.input} | {entry.name for entry in proto.graph.output}
    used_ones = [entry for entry in proto.graph.initializer if entry.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(used_ones)
