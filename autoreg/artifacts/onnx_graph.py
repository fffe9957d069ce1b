"""The ONNX graph of a network: exported once per architecture, its initializers exchanged for any weights."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor, nn

from autoreg.costs.latency import signature
from autoreg.costs.trace import batch_size, evaluating, tensors
from autoreg.tasks.batches import repeat, take

if TYPE_CHECKING:
    import onnx

OPSET = 20


@dataclass(frozen=True)
class Graph:
    """An ONNX model and where the network's parameters stand in it.

    Attributes:
        proto: the model; its batch is free where `dynamic`.
        places: by parameter or floating-point buffer, the initializers that hold it, and whether transposed there.
        dynamic: whether the first dimension of inputs is free.
        exporter: `dynamo` or `trace`.
    """

    proto: onnx.ModelProto
    places: Mapping[str, tuple[tuple[str, bool], ...]]
    dynamic: bool
    exporter: str


class Graphs:
    """Graphs by architecture, so that each is exported once in a process.

    Args:
        fast: whether the exporter that traces is used (0.1 s) in place of the one that compiles (1 to 4 s); both give
            graphs that take equally long (`benchmarks/costs.py` compares them).
    """

    def __init__(self, *, fast: bool = False) -> None:
        self.fast = fast
        self._known: dict[str, Graph | None] = {}

    def filled(self, model: nn.Module, example_input: Any) -> Graph:
        """The graph of a model with the model's own weights in it."""
        key = signature(model, example_input)
        if key not in self._known:
            marked = _marked(model)
            found = export(marked, example_input, fast=self.fast)
            sound = found.places.keys() >= numbers(model).keys()
            self._known[key] = found if sound else None
        known = self._known[key]
        if known is None:  # the exporter computed with the weights: each set of them needs an export of its own
            return export(model, example_input, fast=self.fast)
        return exchange(known, model)


def export(model: nn.Module, example_input: Any, *, fast: bool) -> Graph:
    """Export a plain network, with a free batch dimension where the network allows it.

    Args:
        model: left as it was; exported in evaluation mode.
        example_input: a tensor, a tuple of positional or a mapping of keyword arguments.
        fast: whether to trace rather than to compile; what cannot be compiled is traced.
    """
    two = repeat(take(example_input, slice(0, 1)), 2)  # a batch of one would be taken for a constant
    last: Exception | None = None
    for exporter in ("trace", "dynamo") if fast else ("dynamo", "trace"):
        for dynamic in (True, False):
            try:
                given = two if dynamic else example_input
                proto = {"dynamo": _dynamo, "trace": _trace}[exporter](model, given, dynamic)
                return Graph(proto, places(proto, model), dynamic, exporter)
            except Exception as error:  # exporters raise anything on what they do not know
                last = error
    raise RuntimeError(f"the network cannot be exported to ONNX ({type(last).__name__}: {last})") from last


def _dynamo(model: nn.Module, example_input: Any, dynamic: bool) -> onnx.ModelProto:
    args, kwargs = _arguments(example_input)
    shapes: Any = None
    if dynamic:
        free = torch.export.Dim("batch", min=1, max=65536)
        batch = batch_size(example_input)

        def shape(value: Any) -> Any:
            return {0: free} if isinstance(value, Tensor) and value.dim() and value.shape[0] == batch else None

        shapes = {name: shape(value) for name, value in kwargs.items()} if kwargs else tuple(shape(v) for v in args)
    with _quiet(), evaluating(model), torch.no_grad():
        program = torch.onnx.export(
            model, args, kwargs=kwargs or None, dynamo=True, dynamic_shapes=shapes, verbose=False, opset_version=OPSET
        )
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    for node in proto.graph.node:  # the exporter's notes on where each node comes from: as large as a small network
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        del value.metadata_props[:]
    return proto


def _trace(model: nn.Module, example_input: Any, dynamic: bool) -> onnx.ModelProto:
    import onnx

    args, kwargs = _arguments(example_input)
    given = tensors(example_input)
    batch = batch_size(example_input)
    names = [f"input_{index}" for index in range(len(given))]
    axes = {name: {0: "batch"} for name, v in zip(names, given, strict=True) if v.dim() and v.shape[0] == batch}
    buffer = io.BytesIO()
    with _quiet(), evaluating(model), torch.no_grad():
        torch.onnx.export(
            model,
            (*args, kwargs) if kwargs else args,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            dynamo=False,
            opset_version=OPSET,
            dynamic_axes=axes if dynamic else None,
            verbose=False,
        )
    return onnx.load_from_string(buffer.getvalue())


def _arguments(example_input: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_input, Mapping):
        return (), dict(example_input)
    return (example_input,) if isinstance(example_input, Tensor) else tuple(example_input), {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks to themselves: of optional packages, of shapes that become constants."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _marked(model: nn.Module) -> nn.Module:
    """A copy whose parameters are all different from each other, so that each is recognized in the graph."""
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in numbers(twin).values():
            value.copy_(torch.rand(value.shape, generator=generator).to(value) + 0.5)
    return twin


def numbers(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers in floating point by name, each tensor once."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: value for name, value in named if value.is_floating_point()}


def places(proto: onnx.ModelProto, model: nn.Module) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Find the numbers of a model among the initializers of its graph, by what they hold."""
    from onnx import numpy_helper

    initializers = {entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer}
    by_size: dict[int, list[str]] = {}
    for name, array in initializers.items():
        by_size.setdefault(array.size, []).append(name)
    found: dict[str, tuple[tuple[str, bool], ...]] = {}
    for name, value in numbers(model).items():
        array = value.detach().cpu().numpy()
        hits = []
        for candidate in by_size.get(array.size, ()):
            other = initializers[candidate]
            if other.shape == array.shape and numpy.array_equal(other, array):
                hits.append((candidate, False))
            elif array.ndim == 2 and other.shape == array.T.shape and numpy.array_equal(other, array.T):
                hits.append((candidate, True))
        if hits:
            found[name] = tuple(hits)
    return found


def exchange(graph: Graph, model: nn.Module) -> Graph:
    """The same graph with the weights of `model`, which has the same architecture."""
    from onnx import ModelProto, numpy_helper

    proto = ModelProto()
    proto.CopyFrom(graph.proto)
    entries = {entry.name: entry for entry in proto.graph.initializer}
    for name, number in numbers(model).items():
        array = number.detach().cpu().numpy()
        for place, transposed in graph.places[name]:
            value = numpy.ascontiguousarray(array.T) if transposed else array
            entries[place].CopyFrom(numpy_helper.from_array(value, place))
    return Graph(proto, graph.places, graph.dynamic, graph.exporter)
