"""Measuring the entries of a machine's table: candidates in turn, the machine locked for short stretches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoreg.latency.onnx_runtime import onnx_reference, onnx_session, optimized_nodes
from autoreg.latency.table.grid import LayerTime
from autoreg.latency.table.layer_key import LayerKey
from autoreg.latency.table.layer_models import copies_of, feed_of, identity_model, layer_model, size_of, transpose_model
from autoreg.latency.timing import MAX_ATTEMPTS, disturbed, median_interval
from autoreg.lazy import lazy_module
from autoreg.locks import MeasureLock

if TYPE_CHECKING:
    import onnxruntime
else:
    onnxruntime = lazy_module("onnxruntime")

LAYERS_IN_TURN = 8  # layers that are timed in turn, in one stretch
MAX_NUMBERS = 200_000_000  # and so many numbers at most in their models (0.8 GB in floating point)
SECONDS_PER_LAYER = 0.05  # of a stretch, per layer
MIN_ROUNDS = 9  # of a stretch
HALF_WIDTH = 0.015  # of the interval, as a fraction of the median, that ends a stretch
ROUNDS_BETWEEN_CHECKS = 5  # of that interval
MAX_RELATIVE_INTERVAL = 0.2  # an interval of more than this fraction of the median is that of a disturbed measurement
MIN_LAYER_FRACTION = 0.05  # of a model's time that is left to its layers, whatever was subtracted


@dataclass
class _Repeated:
    """Something that is timed again and again."""

    run: Callable[[], object]
    times: list[float] = field(default_factory=list)

    def once(self) -> None:
        begun = time.perf_counter()
        self.run()
        self.times.append(1e3 * (time.perf_counter() - begun))


@dataclass
class _Layer:
    """A layer's model, and what is subtracted from its time."""

    key: LayerKey
    copies: int
    model: _Repeated
    around: _Repeated | None


def measure_layers(
    keys: Sequence[LayerKey],
    *,
    threads: int = 1,
    unsigned: bool = False,
    lock: MeasureLock | None = None,
    seconds: float = SECONDS_PER_LAYER,
) -> Iterator[tuple[LayerKey, LayerTime]]:
    """Measure layers, a few at a time; entries come as they are ready.

    What somebody disturbed (the reference in between says so, or an interval is wide) is repeated up to twice, and
    the best known stands.

    Args:
        keys: what is measured.
        threads: of an operation.
        unsigned: whether 8-bit weights are unsigned, as in the exported file.
        lock: held alone while the clock runs, for about `seconds` times 8.
        seconds: about how long one layer is timed.
    """
    for part in _parts(keys):
        call = _Repeated(_runner(onnx_session(identity_model(), threads)))
        layers = [_prepare(key, threads, unsigned) for key in part]
        best: dict[LayerKey, LayerTime] = {}
        for _ in range(MAX_ATTEMPTS):
            again = [layer for layer in layers if layer.key not in best or best[layer.key].noisy]
            if not again:
                break
            with lock.exclusive() if lock is not None else nullcontext():
                found = _stretch(again, call, threads, seconds)
            for layer, entry in zip(again, found, strict=True):
                best[layer.key] = min(best.get(layer.key, entry), entry, key=lambda one: one.uncertainty)
        yield from best.items()


def _parts(keys: Sequence[LayerKey]) -> Iterator[list[LayerKey]]:
    part: list[LayerKey] = []
    numbers = 0
    for key in keys:
        size = size_of(key) * copies_of(key)
        if part and (len(part) == LAYERS_IN_TURN or numbers + size > MAX_NUMBERS):
            yield part
            part, numbers = [], 0
        part.append(key)
        numbers += size
    if part:
        yield part


def _prepare(key: LayerKey, threads: int, unsigned: bool) -> _Layer:
    copies = copies_of(key)
    content = layer_model(key, copies, unsigned=unsigned)
    around = None
    if key.kind == "int8" and key.geometry.op != "linear" and _transposes(content) >= copies:
        around = _Repeated(_runner(onnx_session(transpose_model(key, copies), threads)))
    return _Layer(key, copies, _Repeated(_runner(onnx_session(content, threads))), around)


def _transposes(model: bytes) -> int:
    return sum(node.op_type == "Transpose" for node in optimized_nodes(model))


def _runner(session: Any) -> Callable[[], object]:
    """A call of a session with inputs bound and outputs left in the runtime's memory, so that nothing is copied."""
    binding = session.io_binding()
    for name, value in feed_of(session).items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    for put in session.get_outputs():
        binding.bind_output(put.name)
    return lambda: session.run_with_iobinding(binding)


def _stretch(layers: Sequence[_Layer], call: _Repeated, threads: int, seconds: float) -> list[LayerTime]:
    """Time layers in turn."""
    session, feed = onnx_reference(threads)
    reference = _Repeated(lambda: session.run(None, feed))
    all_timed = [call, *[t for layer in layers for t in (layer.model, layer.around) if t is not None]]
    for timed in (reference, *all_timed):
        for _ in range(2):
            timed.run()
        timed.times.clear()
    end = time.perf_counter() + seconds * len(layers)
    rounds = 0
    while rounds < MIN_ROUNDS or time.perf_counter() < end:
        reference.once()
        for timed in all_timed:
            timed.once()
        rounds += 1
        due = rounds >= 3 * MIN_ROUNDS and rounds % ROUNDS_BETWEEN_CHECKS == 0
        if due and all(_known(layer.model.times) for layer in layers):
            break
    noisy = disturbed(reference.times)
    return [_entry(layer, call, noisy) for layer in layers]


def _known(times: Sequence[float]) -> bool:
    low, median, high = median_interval(times)
    return high - low <= 2 * HALF_WIDTH * median


def _entry(layer: _Layer, call: _Repeated, noisy: bool) -> LayerTime:
    low, middle, high = median_interval(layer.model.times)
    wide = high - low > MAX_RELATIVE_INTERVAL * middle
    base = layer.around or call
    base_low, base_middle, base_high = median_interval(base.times)
    least = MIN_LAYER_FRACTION * middle
    ends = (max(low - base_high, least), max(middle - base_middle, least), max(high - base_low, least))
    low, middle, high = (round(value / layer.copies, 7) for value in ends)
    return LayerTime(middle, low, high, len(layer.model.times), noisy or wide)
