"""Timing a module in torch: eagerly on the CPU, and on a CUDA device by its own events."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from autoreg.errors import InputError
from autoreg.latency.timing import cpu_name, interleaved, summarize
from autoreg.network.inputs import batch_size, call
from autoreg.network.trace import evaluating
from autoreg.trial_info import Latency

WARM_UP = 3  # runs on a side stream before a graph is captured: libraries choose kernels and allocate in them


def time_torch(model: nn.Module, example_input: Any, *, threads: int = 1, seconds: float = 0.3) -> Latency:
    """Time a module on the CPU, operation by operation, in evaluation mode; it is left as it was.

    Args:
        model: on the CPU.
        example_input: a tensor, a tuple of positional or a mapping of keyword arguments.
        threads: threads within an operation.
        seconds: about how long to time, warm-up not counted; at least 7 runs are made.
    """
    weight = torch.full((96, 96), 1 / 96)

    def reference() -> None:
        torch.mm(torch.mm(weight, weight), weight)

    with _threads(threads), evaluating(model), torch.inference_mode():
        times, others = interleaved(lambda: call(model, example_input), reference, seconds=seconds)
    runtime = f"torch {torch.__version__} CPU"
    batch = batch_size(example_input)
    return summarize(times, others, threads=threads, batch=batch, device=cpu_name(), runtime=runtime)


def time_cuda(
    model: nn.Module, example_input: Any, *, threads: int = 1, seconds: float = 0.3, graph: bool = True
) -> Latency:
    """Time a module on the current CUDA device, by events on its stream, in evaluation mode.

    The forward pass is captured into a CUDA graph and replayed, so that the time is the device's and not that of
    Python's launches; a model that cannot be captured (it synchronizes, or its shapes depend on values) is launched
    plainly, and `runtime` says which it was. The reference between the runs is a product of matrices on the same
    device: work of other processes and changed clocks show in it.

    Args:
        model: any module; a copy of it is moved to the device.
        example_input: a tensor, a tuple of positional or a mapping of keyword arguments, on any device.
        threads: CPU threads, for the record; they launch.
        seconds: about how long to time, warm-up not counted; at least 7 runs are made.
        graph: whether a CUDA graph is tried.

    Raises:
        InputError: when torch finds no CUDA device.
    """
    if not torch.cuda.is_available():
        raise InputError("timing: backend is 'cuda', and torch finds no CUDA device here; use 'onnxruntime' or 'torch'")
    device = torch.device("cuda", torch.cuda.current_device())
    twin = copy.deepcopy(model).to(device).eval()
    given = tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, example_input)
    matrix = torch.full((512, 512), 1 / 512, device=device)

    def plain() -> None:
        call(twin, given)

    with torch.no_grad():
        replay = _captured(plain) if graph else None
        times, others = interleaved(replay or plain, lambda: torch.mm(matrix, matrix), seconds=seconds, clock=_events)
    how = "graph" if replay is not None else "launches"
    return summarize(
        times,
        others,
        threads=threads,
        batch=batch_size(example_input),
        device=torch.cuda.get_device_name(device),
        runtime=f"torch {torch.__version__} CUDA {torch.version.cuda} {how}",
    )


def _events(run: Callable[[], object]) -> float:
    """Milliseconds between two events on the current stream around one call."""
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def _captured(run: Callable[[], object]) -> Callable[[], None] | None:
    """A function that replays `run` from a CUDA graph, None where it cannot be captured.

    As torch documents it: after a warm-up on a side stream; what `run` reads must stay where it is.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(captured):
            run()
        captured.replay()
        torch.cuda.synchronize()
    except RuntimeError:  # an operation that a capture forbids; the capture has been ended by the context
        torch.cuda.synchronize()
        return None
    return captured.replay


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch use `number` CPU threads within an operation, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
