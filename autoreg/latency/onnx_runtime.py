"""ONNX Runtime on the CPU: sessions, what they are fed with, and what they make of a graph."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.errors import AutoregError
from autoreg.lazy import lazy_module
from autoreg.network.inputs import named_tensors, tensors

if TYPE_CHECKING:
    import numpy
    import onnx
    import onnxruntime
else:
    numpy = lazy_module("numpy")
    onnx = lazy_module("onnx")
    onnxruntime = lazy_module("onnxruntime")

ONNX_OPSET = 20  # of the graphs that are written
MICROSOFT_DOMAIN = "com.microsoft"  # of operators that ONNX Runtime has beside the standard ones


class OnnxError(AutoregError):
    """ONNX Runtime refuses a model, or what it is given."""


def runtime_name() -> str:
    """Name and version of the runtime that times."""
    return f"onnxruntime {onnxruntime.__version__} CPU"


@contextmanager
def onnx_errors() -> Iterator[None]:
    """Turn what ONNX Runtime raises (classes of its own under plain `Exception`) into one line of `OnnxError`."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        text = " ".join(str(error).split())
        raise OnnxError(f"ONNX Runtime: {text[:300]}{'...' if len(text) > 300 else ''}") from error


def feed(session: Any, example_input: Any) -> dict[str, Any]:
    """What a session is run with, by the names of its inputs.

    Args:
        session: of ONNX Runtime.
        example_input: a mapping is read by name, where the graph's inputs bear its names (see `named_tensors`); all
            else in the order of the graph's inputs.

    Raises:
        OnnxError: other inputs are given than the graph has.
    """

    names = [put.name for put in session.get_inputs()]
    named = named_tensors(example_input)
    values = [named[name] for name in names] if named.keys() >= set(names) else tensors(example_input)
    if len(values) != len(names) or (named.keys() & set(names) and not named.keys() >= set(names)):
        given = ", ".join(named) or f"{len(values)} tensors"
        raise OnnxError(f"the ONNX model takes {', '.join(names)}; given: {given}")
    return {name: value.detach().cpu().numpy() for name, value in zip(names, values, strict=True)}


def onnx_session(model: bytes | str | Path, threads: int) -> Any:
    """A session of ONNX Runtime on the CPU with `threads` threads within an operation.

    Raises:
        OnnxError: ONNX Runtime refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it warns of is in the graph as exported, and errors are raised
    source = model if isinstance(model, bytes) else str(model)
    with onnx_errors():
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@functools.cache
def onnx_reference(threads: int) -> tuple[Any, dict[str, Any]]:
    """A session of two products of 96 × 96 matrices, and its input."""
    from onnx import TensorProto, helper, numpy_helper

    weight = (numpy.arange(96 * 96, dtype=numpy.float32).reshape(96, 96) % 7 - 3) / 96
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("MatMul", ["y", "w"], ["z"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [96, 96]) for name in "xz"]
    graph = helper.make_graph(nodes, "reference", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx_session(model.SerializeToString(), threads), {"x": weight}


def optimized_nodes(model: bytes) -> list[Any]:
    """The nodes that ONNX Runtime executes, after its own fusions, in order.

    Raises:
        OnnxError: ONNX Runtime refuses the model.
    """
    with tempfile.TemporaryDirectory() as folder, onnx_errors():
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        optimized = onnx.load(options.optimized_model_filepath, load_external_data=False)  # nodes are all that is read
        return list(optimized.graph.node)
