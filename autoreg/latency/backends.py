"""The one way to time a network: what executes it (ONNX Runtime, torch on the CPU, CUDA) is its backend."""

from __future__ import annotations

from typing import Any, Literal, get_args

from autoreg.errors import InputError
from autoreg.latency.timing import time_onnx
from autoreg.latency.timing_torch import time_cuda, time_torch
from autoreg.trial_info import Latency

Backend = Literal["onnxruntime", "torch", "cuda"]


def time_model(
    model: Any, example_input: Any, *, backend: Backend = "onnxruntime", threads: int = 1, seconds: float = 0.3
) -> Latency:
    """Time a network on one of the backends; every one warms up, is repeated and watched in the same way.

    Args:
        model: for `onnxruntime` an ONNX model (bytes or path); for `torch` (eager, on the CPU) and `cuda` a module.
        example_input: what it is called with; its first dimension is the batch.
        backend: what executes the network.
        threads: CPU threads within an operation.
        seconds: about how long to time, warm-up not counted; at least 7 runs are made.

    Raises:
        InputError: the backend is unknown, or `cuda` is named where there is no CUDA device.
    """
    if backend == "onnxruntime":
        return time_onnx(model, example_input, threads=threads, seconds=seconds)
    if backend == "torch":
        return time_torch(model, example_input, threads=threads, seconds=seconds)
    if backend == "cuda":
        return time_cuda(model, example_input, threads=threads, seconds=seconds)
    raise InputError(f"timing: backend is {backend!r}; allowed: {', '.join(get_args(Backend))}")
