"""Export and timing of what would be deployed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autoreg.artifacts.onnx.graph import GraphCache
from autoreg.latency.artifact_latency import NOISY_SECONDS, LatencyCache, MeasureLock, measure, signature, time_onnx
from autoreg.latency.timing import device_fingerprint, disturbed, interleaved, median_interval
from autoreg.network.surgery.apply import remove_channels
from autoreg.trial_info import Latency
from tests.network.nets import MLP, PlainCNN


def build(model: nn.Module, example: object) -> Callable[[], bytes]:
    """What writes a model as ONNX."""
    return lambda: GraphCache(fast=True).filled(model, example).proto.SerializeToString()


def test_inputs_may_be_mappings() -> None:
    """Keyword arguments are timed by name."""
    model, x = PlainCNN(), torch.randn(3, 1, 8, 8)
    assert time_onnx(build(model, {"x": x})(), {"x": x}, seconds=0.01).batch == 3


def test_a_measurement_names_what_it_was_made_on() -> None:
    """Median inside of its interval; threads, batch, device and runtime beside it."""
    x = torch.randn(3, 7)
    found = measure("a", build(MLP(), x), x, seconds=0.02)
    assert 0 < found.low <= found.ms <= found.high
    assert found.runs >= 7
    assert (found.threads, found.batch) == (1, 3)
    assert found.runtime.startswith("onnxruntime")
    assert Latency.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_more_work_takes_longer() -> None:
    """A hidden layer 64 times as wide is slower."""
    small, large = (nn.Sequential(nn.Linear(64, h), nn.ReLU(), nn.Linear(h, 64)) for h in (64, 4096))
    x = torch.randn(8, 64)
    quick, slow = (measure("", build(model, x), x, seconds=0.05) for model in (small, large))
    assert quick.ms < slow.ms


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, (1, 1)), (5, (1, 5)), (6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (100, (40, 61))],
)
def test_interval_of_the_median_known_answers(n: int, expected: tuple[int, int]) -> None:
    """The order statistics in the tables of the sign test (95 %)."""
    low, median, high = median_interval(range(1, n + 1))
    assert (low, high) == expected
    assert median == (n + 1) / 2


def test_interval_covers_the_true_median() -> None:
    """At least 95 % of the intervals of skewed samples do (exact: 97.9 % for ten observations)."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.empty(2000, 10).exponential_(generator=generator)
    covered = 0
    for sample in samples.tolist():
        low, _, high = median_interval(sample)
        covered += low <= 0.6931 <= high
    assert 0.96 < covered / 2000 < 0.995


def test_timing_stops_when_the_spread_is_known_and_never_before_seven_runs() -> None:
    """Seven runs of slow work, at most 2000 of quick work, as many of the reference."""
    times, others = interleaved(lambda: None, lambda: None, seconds=0.0)
    assert len(times) == len(others) == 7
    times, _ = interleaved(lambda: None, lambda: None, seconds=30.0)
    assert len(times) <= 2000


def test_a_disturbed_reference_is_noticed() -> None:
    """A third of the runs at double time is noise; a few outliers are not."""
    assert disturbed([1.0] * 20 + [2.0] * 10)
    assert not disturbed([1.0] * 29 + [50.0])


def test_signature_depends_on_shapes_and_settings_not_on_values() -> None:
    """Other weights: the same; other width, stride, input or batch: another."""
    x = torch.randn(1, 1, 8, 8)
    first, second, third = PlainCNN(), PlainCNN(), PlainCNN()
    assert signature(first, x) == signature(second.eval(), torch.zeros(1, 1, 8, 8))
    assert signature(first, x) != signature(first, torch.randn(2, 1, 8, 8))
    remove_channels(second, x, {"hidden": [0]})
    convolution: Any = third.get_submodule("features.0.0")
    convolution.dilation = (2, 2)
    assert len({signature(model, x) for model in (first, second, third)}) == 3


def test_latencies_are_remembered_per_machine(tmp_path: Path) -> None:
    """A second call recalls the file; one of another machine, or a torn one, is not used."""
    model, x, cache = MLP(), torch.randn(2, 7), LatencyCache(tmp_path / "latency")
    key = signature(model, x)
    first = measure(key, build(model, x), x, cache, MeasureLock(tmp_path / "lock"), seconds=0.02)
    assert measure(signature(MLP(), x), build(MLP(), x), x, cache, seconds=0.02) == first
    (path,) = (tmp_path / "latency").iterdir()
    assert path == cache.path(key)
    stored = json.loads(path.read_text())
    assert stored["fingerprint"] == device_fingerprint(1)
    path.write_text(json.dumps({**stored, "fingerprint": {**stored["fingerprint"], "cpu": "another"}}))
    assert cache.get(key) is None
    for damaged in ("[" * 100_000 + "]" * 100_000, json.dumps({**stored, "latency": {**stored["latency"], "ms": "1"}})):
        path.write_text(damaged)
        assert cache.get(key) is None
    path.write_text(path.read_text()[:40])
    assert cache.get(key) is None
    assert cache.get(key, threads=2) is None


def test_a_model_is_written_while_nobody_times(tmp_path: Path) -> None:
    """The lock is held with others meanwhile, and given back before the clock runs."""
    x, lock = torch.randn(2, 7), MeasureLock(tmp_path / "lock")
    content = build(MLP(), x)()

    def inside() -> bytes:
        with pytest.raises(RuntimeError, match="holds the shared lock"), lock.exclusive():
            pass
        return content

    assert measure("a", inside, x, None, lock, seconds=0.02).ms > 0


def test_a_disturbed_latency_stands_for_some_hours_in_all_processes(tmp_path: Path) -> None:
    """Then it is measured again, as is one of which nobody says when; a quiet one stands for good."""
    found = measure("a", build(MLP(), torch.randn(2, 7)), torch.randn(2, 7), seconds=0.02)
    mine, other = LatencyCache(tmp_path), LatencyCache(tmp_path)
    for noisy in (True, False):
        mine.put("a", 1, replace(found, noisy=noisy))
        assert mine.get("a") == other.get("a") == replace(found, noisy=noisy)
        stored = json.loads(mine.path("a").read_text())
        for changed in ({**stored, "time": stored["time"] - NOISY_SECONDS - 1}, {**stored, "time": None}):
            mine.path("a").write_text(json.dumps(changed))
            assert other.get("a") == (None if noisy else replace(found, noisy=noisy))


class Applied(nn.Module):
    """A layer, and a function that is given."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear, self._function = nn.Linear(7, 7), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._function(self.linear(x))


def test_signature_depends_on_functions_and_on_code() -> None:
    """Attributes that are called, partial arguments, lambdas of one name, and classes of one name and another body."""
    x = torch.randn(2, 7)
    relu, gelu, leaky = nn.functional.relu, nn.functional.gelu, nn.functional.leaky_relu
    functions: list[Callable[[torch.Tensor], torch.Tensor]] = [
        *(relu, gelu, leaky, torch.tanh, lambda y: y + 1, lambda y: y * 2, lambda y: y + 2, nn.ReLU(), nn.GELU()),
        *(functools.partial(leaky, negative_slope=slope) for slope in (0.1, 0.2)),
    ]
    assert len({signature(Applied(function), x) for function in functions}) == len(functions)
    assert signature(Applied(relu), x) == signature(Applied(relu), x)

    def made(power: int) -> type[nn.Module]:
        if power == 1:

            class Net(nn.Linear):
                def forward(self, x: torch.Tensor) -> torch.Tensor:
                    return super().forward(x)
        else:

            class Net(nn.Linear):  # type: ignore[no-redef]
                def forward(self, x: torch.Tensor) -> torch.Tensor:
                    return super().forward(x) ** 2

        return Net

    first, again, second = made(1), made(1), made(2)
    assert first.__qualname__ == second.__qualname__
    assert signature(first(7, 2), x) == signature(again(7, 2), x)
    assert signature(first(7, 2), x) != signature(second(7, 2), x)
