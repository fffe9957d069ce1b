"""An ONNX graph that is being rewritten, and grids put on its values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray
from torch import nn

from autoreg.artifacts.deployable import Grid, LayerCode

Array = NDArray[Any]


@dataclass
class Editor:
    """A graph that is being rewritten."""

    graph: Any
    initializers: dict[str, Array]
    nodes: list[Any]
    outputs: frozenset[str]
    quantized: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # value -> integers, scale, zero point
    known: dict[tuple[Any, ...], str] = field(default_factory=dict)  # (tensor, grid) -> value

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


@dataclass(frozen=True)
class OnnxLayer:
    """A layer with a code, and the nodes that apply its weight."""

    name: str
    module: nn.Module
    code: LayerCode
    nodes: list[Any]


def quantize_values(editor: Editor, layers: list[OnnxLayer]) -> None:
    """Put all grids of values into the graph: first those that all readers of a tensor see."""
    for layer in layers:
        for node in layer.nodes:
            if layer.code.input is not None and layer.code.shared:
                _quantize(editor, node.input[0], layer.code.input, None)
    for layer in layers:
        for node in layer.nodes:
            if layer.code.output is not None:
                _quantize(editor, last_fused(editor, node).output[0], layer.code.output, None)
    for layer in layers:
        for node in layer.nodes:
            if layer.code.input is not None and not layer.code.shared:
                _quantize(editor, node.input[0], layer.code.input, node)


def _quantize(editor: Editor, tensor: str, grid: Grid, reader: Any) -> None:
    """Quantize a tensor for one node that reads it, or (None) for all that do, the graph's output among them.

    The integers are bytes; a narrower range is clipped to. A ReLU in front whose zero is not the lowest byte becomes a
    clip of the integers, so that the convolution before it has a quantized output.
    """
    from onnx import helper

    if tensor in editor.quantized and reader is None:
        return  # every reader sees it on this grid already
    shift = 128 if grid.low < 0 else 0
    scale = float(grid.scale[0])
    zero, low, high = int(grid.zero_point[0]) + shift, grid.low + shift, grid.high + shift
    known = editor.known.get((tensor, scale, zero, low, high))
    if known is not None:
        if reader is not None:
            rewire(reader, tensor, known)
        return
    readers = [reader] if reader is not None else editor.users(tensor)
    stem = f"{tensor}_{len(editor.known)}"
    value, source = f"{stem}_dq", tensor
    maker = next((node for node in editor.nodes if tensor in node.output), None)
    if reader is None and tensor in editor.outputs and maker is not None:
        source, value = f"{tensor}_float", tensor  # the graph's output keeps its name: that of the value on the grid
        maker.output[list(maker.output).index(tensor)] = source
    else:
        for one in readers:
            rewire(one, tensor, value)
    alone = not editor.users(source) and source not in editor.outputs
    if maker is not None and maker.op_type == "Relu" and zero > low and alone:
        source, low = maker.input[0], zero
        editor.nodes.remove(maker)
    new_nodes: list[Any] = []
    if source in editor.quantized:  # the runtime would merge two roundings into one
        source = _hide(editor, source, new_nodes)
    ends = (
        editor.constant(f"{stem}_scale", numpy.asarray(scale, numpy.float32)),
        editor.constant(f"{stem}_zero", numpy.asarray(zero, numpy.uint8)),
    )
    integers = f"{stem}_q"
    new_nodes.append(helper.make_node("QuantizeLinear", [source, *ends], [integers], name=integers))
    if (low, high) != (0, 255):
        edges = {"low": low, "high": high}
        clip = [editor.constant(f"{stem}_{end}", numpy.asarray(edge, numpy.uint8)) for end, edge in edges.items()]
        new_nodes.append(helper.make_node("Clip", [integers, *clip], [f"{stem}_clipped"], name=f"{stem}_clipped"))
        integers = f"{stem}_clipped"
    new_nodes.append(helper.make_node("DequantizeLinear", [integers, *ends], [value], name=f"{stem}_dq"))
    first = next((node for node in editor.nodes if value in node.input), None)
    if first is None:
        editor.nodes.extend(new_nodes)
    else:
        editor.insert(first, *new_nodes)
    editor.quantized[value] = (integers, *ends)
    editor.known[(tensor, scale, zero, grid.low + shift, high)] = value


def prevent_fusion(editor: Editor, node: Any) -> None:
    """Keep the runtime from quantizing a float weight that it finds between a dequantized and a quantized value.

    ONNX Runtime would round such a weight to 8 bits that nobody scored. An operation between the layer and the
    quantizer, which changes nothing and which no optimizer takes away, hides the pattern.
    """
    tail = last_fused(editor, node).output[0]
    for user in editor.users(tail):
        if user.op_type == "QuantizeLinear":
            new_nodes: list[Any] = []
            value = _hide(editor, tail, new_nodes)
            editor.insert(user, *new_nodes)
            rewire(user, tail, value)


def _hide(editor: Editor, tensor: str, new_nodes: list[Any]) -> str:
    """The same values behind a node that no optimizer takes away: the maximum with the lowest number."""
    from onnx import helper

    lowest = editor.constant("lowest_float", numpy.asarray(numpy.finfo(numpy.float32).min, numpy.float32))
    value = f"{tensor}_hidden_{len(editor.nodes) + len(new_nodes)}"
    new_nodes.append(helper.make_node("Max", [tensor, lowest], [value], name=value))
    return value


def rewire(node: Any, old: str, new: str) -> None:
    """Let a node read `new` wherever it read `old`."""
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new


def last_fused(editor: Editor, node: Any) -> Any:
    """The ReLU that alone reads a node's output, else the node."""
    users = editor.users(node.output[0])
    alone = len(users) == 1 and node.output[0] not in editor.outputs
    return users[0] if alone and users[0].op_type in ("Relu", "Clip") else node
