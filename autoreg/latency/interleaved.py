"""Several networks timed in turn, so that what disturbs the machine disturbs them all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from autoreg.latency.onnx_runtime import feed, onnx_errors, onnx_reference, onnx_session, runtime_name
from autoreg.latency.timing import (
    MIN_RUNS,
    TARGET_HALF_WIDTH,
    cpu_name,
    median_interval,
    summarize,
    wall_clock,
)
from autoreg.network.inputs import batch_size
from autoreg.trial_info import Latency

CALLS_IN_TURN = 4  # timed calls of a network before the next one's turn; one more, untimed, fills the caches again


def time_interleaved(
    models: Sequence[bytes | str | Path], example_input: Any, *, threads: int = 1, seconds: float = 0.4
) -> list[Latency]:
    """Time ONNX models on the CPU, a few calls of each in turn, until every spread is known well.

    Args:
        models: bytes or paths.
        example_input: what all of them are called with.
        threads: threads within an operation.
        seconds: about how long each of them is timed at most; at least 7 runs are made.

    Returns:
        Latencies in the order of the models. A reference network runs in each round: `noisy` is the same for all.

    Raises:
        OnnxError: ONNX Runtime refuses one of them, or its input.
    """
    runs: list[Callable[[], object]] = []
    for model in models:
        session = onnx_session(model, threads)
        runs.append(partial(session.run, None, feed(session, example_input)))
    with onnx_errors():
        times, others = _in_turn(runs, threads, seconds)
    return [
        summarize(
            own,
            others,
            threads=threads,
            batch=batch_size(example_input),
            device=cpu_name(),
            runtime=runtime_name(),
        )
        for own in times
    ]


def _in_turn(
    runs: Sequence[Callable[[], object]], threads: int, seconds: float
) -> tuple[list[list[float]], list[float]]:
    """Milliseconds of each run, and of the reference network between them."""
    reference, reference_feed = onnx_reference(threads)
    times: list[list[float]] = [[] for _ in runs]
    others: list[float] = []
    begin = time.perf_counter()
    while True:
        reference.run(None, reference_feed)
        others += [wall_clock(lambda: reference.run(None, reference_feed)) for _ in range(CALLS_IN_TURN)]
        for run, own in zip(runs, times, strict=True):
            run()
            own += [wall_clock(run) for _ in range(CALLS_IN_TURN)]
        rounds = len(others) // CALLS_IN_TURN
        if rounds * CALLS_IN_TURN < MIN_RUNS:
            continue
        if time.perf_counter() > begin + seconds * len(runs) or (rounds >= 8 and all(map(_known, times))):
            return times, others


def _known(times: Sequence[float]) -> bool:
    low, median, high = median_interval(times)
    return high - low <= 2 * TARGET_HALF_WIDTH * median
