"""What ONNX Runtime does with a graph on this machine."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping

import numpy

from autoreg.latency.onnx_runtime import optimized_nodes

INTEGER_NODES = ("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat")


def operator_counts(model: bytes) -> Counter[str]:
    """How many nodes of each kind ONNX Runtime executes, after its own fusions."""
    return Counter(node.op_type for node in optimized_nodes(model))


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
    graph = helper.make_graph([node], "probe", ends[:2], ends[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"x": values, "w": weights})
    return bool((product != 64 * 255 * 127).any())


def runs_in_words(runs: Mapping[str, str]) -> str:
    """How the layers run, counted: `9 layers int8, 1 layer fp32`."""
    counted = Counter(runs.values())
    return ", ".join(f"{n} {'layer' if n == 1 else 'layers'} {kind}" for kind, n in sorted(counted.items()))
