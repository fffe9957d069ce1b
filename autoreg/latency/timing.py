"""Timing a network: after a warm-up, repeated, with an interval and an eye on the neighbours.

Here is the harness, with ONNX Runtime; `autoreg.latency.backends.time_model` takes torch on the CPU and CUDA as well.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.latency.onnx_runtime import feed, onnx_errors, onnx_reference, onnx_session, runtime_name
from autoreg.network.inputs import batch_size
from autoreg.trial_info import Latency

MIN_RUNS, MAX_RUNS = 7, 2000
MIN_TIME_FRACTION = 0.2  # of the time allowed must pass before the spread is trusted
MEDIAN_CONFIDENCE = 0.95
TARGET_HALF_WIDTH = 0.01  # stop when the interval is within ± 1 % of the median
SLOW_FACTOR = 1.3  # noisy: runs of the reference that took this many times their lower quartile
SLOW_FRACTION = 0.2  # are more than this fraction
MAX_ATTEMPTS = 3  # at a measurement that is disturbed again and again


def time_onnx(model: bytes | str | Path, example_input: Any, *, threads: int = 1, seconds: float = 0.3) -> Latency:
    """Time an ONNX model on the CPU.

    Each timed run is preceded by a run of a tiny fixed network: where those vary, somebody else uses the machine.

    Args:
        model: The model's bytes, or its path.
        example_input: What it is called with: a tensor, a tuple or list in the order of the graph's inputs, or a
            mapping by their names.
        threads: Threads within an operation.
        seconds: About how long to time, warm-up not counted; at least 7 runs are made.

    Raises:
        OnnxError: ONNX Runtime refuses the model or the input.
    """
    session = onnx_session(model, threads)
    given = feed(session, example_input)
    reference, reference_feed = onnx_reference(threads)
    with onnx_errors():
        times, others = interleaved(
            lambda: session.run(None, given), lambda: reference.run(None, reference_feed), seconds=seconds
        )
    return summarize(
        times, others, threads=threads, batch=batch_size(example_input), device=cpu_name(), runtime=runtime_name()
    )


def summarize(
    times: Sequence[float], others: Sequence[float], *, threads: int, batch: int, device: str, runtime: str
) -> Latency:
    """What `interleaved` returned (milliseconds of the work and of the reference), as a latency."""
    low, middle, high = median_interval(times)
    return Latency(
        ms=round(middle, 6),
        low=round(low, 6),
        high=round(high, 6),
        runs=len(times),
        threads=threads,
        batch=batch,
        device=device,
        runtime=runtime,
        noisy=disturbed(others),
        reference_ms=round(sorted(others)[len(others) // 2], 6),
    )


def wall_clock(run: Callable[[], object]) -> float:
    """Milliseconds that one call takes."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def interleaved(
    run: Callable[[], object],
    reference: Callable[[], object],
    *,
    seconds: float,
    clock: Callable[[Callable[[], object]], float] = wall_clock,
) -> tuple[list[float], list[float]]:
    """Time `run` and `reference` in turn until the spread of `run` is known well or the time is over.

    Args:
        run: the work that is timed.
        reference: a small fixed piece of work; where its times vary, somebody else uses the machine.
        seconds: about how long to time; at least 7 runs of both are made.
        clock: calls the work once and returns the milliseconds it took, on the device that executes it.

    Returns:
        The times of both, in milliseconds, after 3 runs of each to warm up.
    """
    for _ in range(3):
        run()
        reference()
    times: list[float] = []
    others: list[float] = []
    begin = time.perf_counter()
    check = 30
    while len(times) < MAX_RUNS and (len(times) < MIN_RUNS or time.perf_counter() < begin + seconds):
        others.append(clock(reference))
        times.append(clock(run))
        if len(times) >= check and time.perf_counter() > begin + MIN_TIME_FRACTION * seconds:
            low, median, high = median_interval(times)
            if high - low <= 2 * TARGET_HALF_WIDTH * median:
                break
            check = len(times) * 5 // 4
    return times, others


def median_interval(times: Sequence[float], confidence: float = MEDIAN_CONFIDENCE) -> tuple[float, float, float]:
    """Median of a sample between the order statistics that enclose the true one.

    The number of observations under the true median is binomial(n, 1/2), whatever the distribution. With fewer than
    6 observations no interval reaches 95 %: the extremes are returned.

    Example:
        >>> median_interval([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        (2, 5.5, 9)
    """
    ordered = sorted(times)
    n = len(ordered)
    allowed = 2**n // round(2 / (1 - confidence))  # of the 2^n ways to lie under or over the median, in one tail
    rank, term = 0, 1  # `term` ways to have exactly `rank` observations under it
    ways = term
    while rank < n:
        rank, term = rank + 1, term * (n - rank) // (rank + 1)
        ways += term
        if ways > allowed:
            break
    rank = max(rank - 1, 0)
    return ordered[rank], (ordered[(n - 1) // 2] + ordered[n // 2]) / 2, ordered[n - 1 - rank]


def disturbed(reference: Sequence[float]) -> bool:
    """Whether runs of one fixed piece of work took so unlike long that something else was running."""
    ordered = sorted(reference)
    usual = ordered[len(ordered) // 4]
    slow = sum(1 for value in ordered if value > SLOW_FACTOR * usual)
    return slow > SLOW_FRACTION * len(ordered)


@functools.cache
def cpu_name() -> str:
    """The processor's model as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.lower().startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def device_fingerprint(threads: int = 1) -> dict[str, str | int]:
    """What a measured latency depends on besides the network: processor, system, runtimes, threads."""
    import onnx
    import torch

    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "machine": platform.machine(),
        "system": platform.system(),
        "runtime": runtime_name(),
        "torch": str(torch.__version__),
        "onnx": str(onnx.__version__),
        "threads": threads,
    }


def device_digest(fingerprint: Mapping[str, str | int]) -> str:
    """Eight hexadecimal digits that stand for a device's fingerprint in file names."""
    return hashlib.sha256(json.dumps(dict(fingerprint), sort_keys=True).encode()).hexdigest()[:8]
