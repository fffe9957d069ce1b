"""An ONNX file of a finished network: written, and run again as a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import Deployable
from autoreg.artifacts.fixed_batch import in_fixed_batches
from autoreg.artifacts.fold import fold
from autoreg.artifacts.onnx.graph import BATCH, LOGITS, GraphCache
from autoreg.artifacts.onnx.int8 import quantize_graph
from autoreg.artifacts.onnx.runtime import INTEGER_NODES
from autoreg.latency.onnx_runtime import OnnxError, feed, onnx_errors, onnx_session, optimized_nodes
from autoreg.network.inputs import batch_size


@dataclass(frozen=True)
class OnnxFile:
    """What was written.

    Attributes:
        content: the file's bytes.
        runs: by layer that has a code, how the runtime executes it: `int8`, `int4` or `fp32`.
        notes: what a reader should know: which exporter, a fixed batch, layers that stay in floating point.
    """

    content: bytes
    runs: Mapping[str, str]
    notes: tuple[str, ...]


def onnx_bytes(found: Deployable, example_input: Any, graphs: GraphCache, *, batch: int | None = None) -> OnnxFile:
    """Write a network as ONNX: batch norms folded, 8-bit layers in the form that ONNX Runtime runs in integers.

    Args:
        found: the network.
        example_input: what it is called with.
        graphs: exports once per architecture.
        batch: samples in a call of a network whose batch cannot be free; by default those of the example.

    Raises:
        ExportError: the network cannot be written as ONNX.
        OnnxError: ONNX Runtime cannot load what was written.
    """
    folded = fold(found, example_input)
    graph = graphs.filled(folded.model, example_input, batch=batch)
    proto, runs = quantize_graph(graph, folded)
    content: bytes = proto.SerializeToString()
    notes = []
    if graph.exporter == "trace" and not graphs.fast:
        notes.append("written by the exporter that traces: the one that compiles could not take this network")
    if not graph.dynamic:
        samples = batch_size(example_input) if batch is None else batch
        notes.append(f"the batch size is fixed at {samples}: the exporter could not leave it free")
    planned = [name for name, kind in runs.items() if kind == "int8"]
    if planned:
        fused = in_integers(content)
        left = [name for name in planned if not any(entry.startswith(f"{name}.weight") for entry in fused)]
        runs = {**runs, **dict.fromkeys(left, "fp32")}
        if left:
            notes.append(
                f"ONNX Runtime fuses {len(planned) - len(left)} of {len(planned)} integer layers; "
                "the others are computed on their grid"
            )
    return OnnxFile(content, runs, tuple(notes))


def in_integers(model: bytes) -> frozenset[str]:
    """Names of the values that ONNX Runtime, after its own fusions, feeds to nodes that compute in integers."""
    return frozenset(name for node in optimized_nodes(model) if node.op_type in INTEGER_NODES for name in node.input)


class OnnxModule(nn.Module):
    """An ONNX model in ONNX Runtime on the CPU, called like the network it came from; gives its logits.

    A file that was not written by autoreg gives its first output. Where the number of samples is fixed, the samples are
    given in portions of it.

    Args:
        model: its bytes, or its path.
        threads: threads within an operation.

    Raises:
        OnnxError: ONNX Runtime refuses the model; when it is called, also what it is given.
    """

    def __init__(self, model: bytes | Path, threads: int = 1) -> None:
        super().__init__()
        self.session = onnx_session(model, threads)
        notes = self.session.get_modelmeta().custom_metadata_map
        batch = str(notes.get(BATCH, ""))
        if BATCH in notes and not (batch.isdecimal() and int(batch) > 0):
            raise OnnxError(f"the file says that it takes {batch!r} samples; allowed: a whole number, 1 or more")
        self.batch = int(batch) if batch else None
        self.output = str(notes.get(LOGITS, self.session.get_outputs()[0].name))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The logits for tensors given by position, or by the names of the graph's inputs."""
        return (
            self._run(*args, **kwargs) if self.batch is None else in_fixed_batches(self._run, args, kwargs, self.batch)
        )

    def _run(self, *args: Any, **kwargs: Any) -> Tensor:
        given = feed(self.session, args or kwargs)
        with onnx_errors():
            return torch.from_numpy(self.session.run([self.output], given)[0])
