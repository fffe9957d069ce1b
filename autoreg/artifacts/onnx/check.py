"""Does an ONNX graph compute what its network computes, and which of its outputs holds the logits?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from autoreg.errors import AutoregError, InputError
from autoreg.latency.onnx_runtime import feed, onnx_errors, onnx_session
from autoreg.network.inputs import batch_size, call, tensors
from autoreg.network.trace import evaluating
from autoreg.tasks.batches import logits_of

if TYPE_CHECKING:
    import onnx

LOGITS_TOLERANCE = 1e-2  # of the largest output: a wrong graph is far off, and weights in 16 bits are not
SMALLEST_SCALE = 0.8  # the last sample of an example is the first times this: samples that are mixed up are seen


class CannotRunError(AutoregError):
    """A graph that does not compute what its network computes."""


def logits_output(proto: onnx.ModelProto, model: nn.Module, example_input: Any) -> str:
    """Run a graph and its network on as many samples as the example has.

    Args:
        proto: the graph of the network, its weights in it.
        model: the network, on the CPU; left as it was.
        example_input: what it is called with, samples all alike.

    Returns:
        The name of the output that equals the network's logits (its first tensor where it has none).

    Raises:
        CannotRunError: no output does.
        OnnxError: ONNX Runtime cannot carry the graph out.
    """
    given = _unlike(example_input)
    with evaluating(model), torch.no_grad():
        expected, again = (_logits(call(model, given)) for _ in range(2))
    session = onnx_session(proto.SerializeToString(), 1)
    with onnx_errors():
        outputs = session.run(None, feed(session, given))
    random = not torch.equal(expected.nan_to_num(), again.nan_to_num())  # then only shapes can be compared
    for put, values in zip(session.get_outputs(), outputs, strict=True):
        found = torch.from_numpy(values)
        if found.shape == expected.shape and (random or _close(found, expected)):
            return str(put.name)
    raise CannotRunError(f"no output of the graph equals the network's for {batch_size(given)} samples")


def _logits(output: Any) -> Tensor:
    try:
        return logits_of(output)
    except InputError:
        found = tensors(output)
        if not found:
            raise
        return found[0]


def _close(found: Tensor, expected: Tensor) -> bool:
    one, other = found.double(), expected.double()
    known = other.isfinite()  # an untrained network may overflow
    if not bool(known.any()):
        return True
    difference, scale = (one - other)[known].abs().max(), other[known].abs().max()
    return bool(difference <= LOGITS_TOLERANCE * max(float(scale), 1e-6))


def _unlike(example_input: Any) -> Any:
    """The same samples, in floating point each a little smaller than the one before."""
    batch = batch_size(example_input)

    def shrink(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or not value.dim() or len(value) != batch:
            return value
        return value * torch.linspace(1.0, SMALLEST_SCALE, batch).to(value).reshape(-1, *[1] * (value.dim() - 1))

    if isinstance(example_input, Mapping):
        return {name: tree_map(shrink, value) for name, value in example_input.items()}
    return tree_map(shrink, example_input)
