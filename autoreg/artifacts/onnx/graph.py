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
from torch.utils._pytree import tree_flatten, tree_unflatten

from autoreg.artifacts.onnx.check import CannotRunError, logits_output
from autoreg.errors import AutoregError
from autoreg.latency.artifact_latency import signature
from autoreg.latency.onnx_runtime import ONNX_OPSET
from autoreg.network.inputs import batch_size, named_tensors, tensors
from autoreg.network.trace import evaluating
from autoreg.tasks.batches import repeat, take

if TYPE_CHECKING:
    import onnx

LOGITS, BATCH = "autoreg.logits", "autoreg.batch"
"""Entries of a file's metadata: the output that holds the logits, and the number of samples where it is fixed."""


class ExportError(AutoregError):
    """A network that cannot be written as ONNX."""


@dataclass(frozen=True)
class Graph:
    """An ONNX model and where the network's parameters stand in it.

    Attributes:
        proto: the model; its batch is free where `dynamic`.
        initializers: by parameter or floating-point buffer, those that hold it, and whether transposed there.
        dynamic: whether the first dimension of inputs is free: the graph says so, and was run with a number of samples
            that the exporter did not see.
        exporter: `dynamo` or `trace`.
    """

    proto: onnx.ModelProto
    initializers: Mapping[str, tuple[tuple[str, bool], ...]]
    dynamic: bool
    exporter: str


class GraphCache:
    """Graphs by architecture, so that each is exported once in a process.

    Args:
        fast: whether the exporter that traces is used (0.1 s) in place of the one that compiles (1 to 4 s); both give
            graphs that take equally long (`benchmarks/costs.py` compares them).
    """

    def __init__(self, *, fast: bool = False) -> None:
        self.fast = fast
        self._known: dict[str, Graph | ExportError | None] = {}

    def filled(self, model: nn.Module, example_input: Any, *, batch: int | None = None) -> Graph:
        """The graph of a model with the model's own weights in it.

        Args:
            model: a plain network.
            example_input: what it is called with.
            batch: see `export`.

        Raises:
            ExportError: the network cannot be written as ONNX.
        """
        key = f"{signature(model, example_input)}-{batch}"
        if key not in self._known:
            try:
                self._known[key] = _export(model, example_input, self.fast, batch, marked=True)
            except ExportError as error:
                self._known[key] = error
        known = self._known[key]
        if isinstance(known, ExportError):
            raise ExportError(str(known))
        if known is None:  # the exporter computed with the weights: each set of them needs an export of its own
            return export(model, example_input, fast=self.fast, batch=batch)
        return with_weights(known, model)


def export(model: nn.Module, example_input: Any, *, fast: bool, batch: int | None = None) -> Graph:
    """Export a plain network, with a free batch dimension where the network allows it, and run the graph.

    A graph is taken when ONNX Runtime computes with it what torch computes with the network: where the batch is to be
    free, for a number of samples that the exporter did not see. Else the other exporter is tried, then a fixed batch.

    Args:
        model: left as it was; exported in evaluation mode.
        example_input: a tensor, a tuple of positional or a mapping of keyword arguments.
        fast: whether to trace rather than to compile first.
        batch: how many samples a graph takes whose batch cannot be free; by default those of the example.

    Raises:
        ExportError: no exporter takes the network; one line that says why.
    """
    found = _export(model, example_input, fast, batch, marked=False)
    assert found is not None
    return found


def _export(model: nn.Module, example_input: Any, fast: bool, batch: int | None, *, marked: bool) -> Graph | None:
    """As `export`; with `marked` numbers stand in the weights' place by which each is found, None where one is not."""
    one = take(example_input, slice(0, 1))
    faults: dict[str, Exception] = {}
    source = _marked(model) if marked else model
    for dynamic in (True, False):
        given = repeat(one, 2) if dynamic else example_input if batch is None else repeat(one, batch)
        for exporter in ("trace", "dynamo") if fast else ("dynamo", "trace"):
            try:
                proto = {"dynamo": _dynamo, "trace": _trace}[exporter](source, given, dynamic)
                graph = Graph(proto, find_initializers(proto, source), dynamic and _is_free(proto, given), exporter)
                if dynamic and not graph.dynamic:
                    raise CannotRunError("the exporter made the batch size a constant")
                if marked and not graph.initializers.keys() >= float_tensors(model).keys():
                    return None
                tried = with_weights(graph, model).proto if marked else proto
                logits = logits_output(tried, model, repeat(one, 3) if dynamic else given)
            except Exception as error:  # exporters raise anything on what they do not know
                faults[exporter] = error
                continue
            _note(proto, LOGITS, logits)
            if not dynamic:
                _note(proto, BATCH, str(batch_size(given)))
            return graph
    fault = faults["trace"]  # it names the operation in a line; the other exporter does not
    raise ExportError(f"the network cannot be exported to ONNX ({_line(fault)})") from fault


def _is_free(proto: onnx.ModelProto, given: Any) -> bool:
    """Whether every input with an entry per sample has a free first dimension."""
    batch = batch_size(given)
    shapes = [put.type.tensor_type.shape.dim for put in proto.graph.input]
    return not any(shape and not shape[0].dim_param and shape[0].dim_value == batch for shape in shapes)


def _note(proto: onnx.ModelProto, key: str, value: str) -> None:
    entry = proto.metadata_props.add()
    entry.key, entry.value = key, value


def _line(error: BaseException) -> str:
    """What went wrong first, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:200]}{'...' if len(text) > 200 else ''}"


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
            model,
            args,
            kwargs=kwargs or None,
            dynamo=True,
            dynamic_shapes=shapes,
            verbose=False,
            opset_version=ONNX_OPSET,
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
    given = tensors((args, kwargs))
    batch = batch_size(example_input)
    names = list(named_tensors(kwargs)) if kwargs else [f"input_{index}" for index in range(len(given))]
    source = _Flat(model, kwargs) if kwargs else model  # else the order is that of the signature, which may be *args
    axes = {name: {0: "batch"} for name, v in zip(names, given, strict=True) if v.dim() and v.shape[0] == batch}
    buffer = io.BytesIO()
    with _quiet(), evaluating(source), torch.no_grad():
        torch.onnx.export(
            source,
            tuple(given) if kwargs else args,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            dynamo=False,
            opset_version=ONNX_OPSET,
            dynamic_axes=axes if dynamic else None,
            verbose=False,
        )
    return onnx.load_from_string(buffer.getvalue())


class _Flat(nn.Module):
    """A network that takes keywords, called with their tensors in order; other values stay those of the example."""

    def __init__(self, model: nn.Module, kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self._leaves, self._spec = tree_flatten(dict(kwargs))

    def forward(self, *values: Tensor) -> Any:
        left = iter(values)
        leaves = [next(left) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        return self.model(**tree_unflatten(leaves, self._spec))


def _arguments(example_input: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_input, Mapping):
        return (), dict(example_input)
    return (example_input,) if isinstance(example_input, Tensor) else tuple(example_input), {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks to themselves: of optional packages, of shapes that become constants."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    native: Any = torch._C  # where a network cannot be traced it prints all of its graph, whatever `verbose` says
    log = getattr(native, "_jit_onnx_log", None)
    native._jit_onnx_log = lambda *_: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        native._jit_onnx_log = log
        logging.disable(before)


def _marked(model: nn.Module) -> nn.Module:
    """A copy whose parameters are all different from each other, so that each is recognized in the graph."""
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in float_tensors(twin).values():
            value.copy_(torch.rand(value.shape, generator=generator).to(value) + 0.5)
    return twin


def float_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers in floating point by name, each tensor once."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: value for name, value in named if value.is_floating_point()}


def find_initializers(proto: onnx.ModelProto, model: nn.Module) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Find the numbers of a model among the initializers of its graph, by what they hold."""
    from onnx import numpy_helper

    initializers = {entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer}
    by_size: dict[int, list[str]] = {}
    for name, array in initializers.items():
        by_size.setdefault(array.size, []).append(name)
    found: dict[str, tuple[tuple[str, bool], ...]] = {}
    for name, value in float_tensors(model).items():
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


def with_weights(graph: Graph, model: nn.Module) -> Graph:
    """The same graph with the weights of `model`, which has the same architecture."""
    from onnx import ModelProto, numpy_helper

    proto = ModelProto()
    proto.CopyFrom(graph.proto)
    entries = {entry.name: entry for entry in proto.graph.initializer}
    for name, number in float_tensors(model).items():
        array = number.detach().cpu().numpy()
        for place, transposed in graph.initializers[name]:
            value = numpy.ascontiguousarray(array.T) if transposed else array
            entries[place].CopyFrom(numpy_helper.from_array(value, place))
    return Graph(proto, graph.initializers, graph.dynamic, graph.exporter)
