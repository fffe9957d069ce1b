"""An ONNX file of a finished network: written, and run again as a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import Deployable
from autoreg.artifacts.fold import fold
from autoreg.artifacts.onnx_graph import Graphs
from autoreg.artifacts.onnx_int8 import INTEGER_NODES, operators, quantize_graph
from autoreg.costs.trace import tensors


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        content: the file's bytes.
        runs: by layer that has a code, how the runtime carries it out: `int8`, `int4` or `fp32`.
        notes: what a reader should know: which exporter, a fixed batch, layers that stay in floating point.
    """

    content: bytes
    runs: Mapping[str, str]
    notes: tuple[str, ...]


def onnx_bytes(found: Deployable, example_input: Any, graphs: Graphs) -> Written:
    """Write a network as ONNX: batch norms folded, 8-bit layers in the form that ONNX Runtime runs in integers.

    Args:
        found: the network.
        example_input: what it is called with.
        graphs: exports once per architecture.
    """
    folded = fold(found, example_input)
    graph = graphs.filled(folded.model, example_input)
    proto, runs = quantize_graph(graph, folded)
    content: bytes = proto.SerializeToString()
    notes = []
    if graph.exporter == "trace" and not graphs.fast:
        notes.append("written by the exporter that traces: the one that compiles could not take this network")
    if not graph.dynamic:
        notes.append("the batch size is fixed: the exporter could not leave it free")
    planned = sum(kind == "int8" for kind in runs.values())
    if planned:
        done = sum(count for node, count in operators(content).items() if node in INTEGER_NODES)
        if done < planned:
            notes.append(
                f"ONNX Runtime fuses {done} of {planned} integer layers; the others are computed on their grid"
            )
    return Written(content, runs, tuple(notes))


class OnnxModule(nn.Module):
    """An ONNX model in ONNX Runtime on the CPU, called like the network it came from; gives its first output.

    Args:
        model: its bytes, or its path.
        threads: threads within an operation.
    """

    def __init__(self, model: bytes | Path, threads: int = 1) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors only
        source = model if isinstance(model, bytes) else str(model)
        self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The first output for tensors given by position, or by the names of the graph's inputs."""
        names = [entry.name for entry in self.session.get_inputs()]
        values = [kwargs[name] for name in names] if kwargs.keys() >= set(names) else tensors((args, kwargs))
        feed = {name: value.detach().cpu().numpy() for name, value in zip(names, values, strict=True)}
        return torch.from_numpy(self.session.run(None, feed)[0])
