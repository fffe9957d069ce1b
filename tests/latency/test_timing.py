"""The backends of the one timing harness."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.onnx.graph import export
from autoreg.errors import InputError
from autoreg.latency.backends import time_model
from autoreg.latency.timing import device_digest, device_fingerprint, interleaved, summarize
from tests.network.nets import MLP, PlainCNN

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")


class Keyword(nn.Module):
    """Takes its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MLP()

    def forward(self, *, table: Tensor) -> Tensor:
        """As the network inside."""
        out: Tensor = self.inner(table)
        return out


def test_every_backend_says_what_it_was() -> None:
    """Median inside of its interval; threads, batch, device and runtime beside it; the module is left as it was."""
    model, x = PlainCNN(), torch.randn(3, 1, 8, 8)
    before = torch.get_num_threads()
    model.train()
    eager = time_model(model, x, backend="torch", seconds=0.02)
    assert model.training
    assert torch.get_num_threads() == before
    onnx = time_model(export(model, x, fast=True).proto.SerializeToString(), x, seconds=0.02)
    for found, runtime in ((eager, f"torch {torch.__version__} CPU"), (onnx, "onnxruntime")):
        assert 0 < found.low <= found.ms <= found.high
        assert (found.threads, found.batch) == (1, 3)
        assert found.runtime.startswith(runtime)
        assert found.runs >= 7
    assert eager.device == onnx.device


def test_inputs_may_be_mappings_in_torch() -> None:
    """Keyword arguments arrive by name."""
    assert time_model(Keyword(), {"table": torch.randn(5, 7)}, backend="torch", seconds=0.01).batch == 5


def test_the_clock_is_the_device_s_own() -> None:
    """What a clock returns is what is kept, whatever the wall says."""
    ticks = {"work": 4.0, "reference": 0.5}
    called: list[str] = []

    def clock(run: object) -> float:
        assert callable(run)
        run()
        return ticks[called[-1]]

    times, others = interleaved(
        lambda: called.append("work"), lambda: called.append("reference"), seconds=0.0, clock=clock
    )
    assert set(times) == {4.0}
    assert set(others) == {0.5}
    found = summarize(times, others, threads=2, batch=8, device="d", runtime="r")
    assert (found.ms, found.low, found.high, found.noisy, found.reference_ms) == (4.0, 4.0, 4.0, False, 0.5)
    assert (found.threads, found.batch, found.device, found.runtime) == (2, 8, "d", "r")


def test_unknown_and_missing_backends_are_refused() -> None:
    """By name, with what is allowed."""
    with pytest.raises(InputError, match="'tpu'; allowed: onnxruntime, torch, cuda"):
        time_model(MLP(), torch.randn(1, 7), backend="tpu")  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device here; use 'onnxruntime' or 'torch'"):
            time_model(MLP(), torch.randn(1, 7), backend="cuda")


def test_fingerprints_of_devices_are_told_apart() -> None:
    """Threads are part of it; the digest does not depend on the order of the keys."""
    one, two = device_fingerprint(1), device_fingerprint(2)
    assert device_digest(one) == device_digest(dict(reversed(one.items())))
    assert device_digest(one) != device_digest(two)


@NEEDS_CUDA
def test_cuda_replays_a_graph() -> None:
    """A network of fixed shapes is captured; the model stays on the CPU."""
    model, x = PlainCNN(), torch.randn(4, 1, 8, 8)
    found = time_model(model, x, backend="cuda", seconds=0.05)
    assert 0 < found.low <= found.ms <= found.high
    assert found.runtime.endswith("graph")
    assert found.device == torch.cuda.get_device_name()
    assert next(model.parameters()).device.type == "cpu"


@NEEDS_CUDA
def test_cuda_launches_what_cannot_be_captured() -> None:
    """A network that reads a value on the host synchronizes, which a capture forbids."""

    class Peeking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(x)
            return out if float(out.sum()) > 0 else -out

    found = time_model(Peeking(), torch.randn(2, 4), backend="cuda", seconds=0.02)
    assert found.runtime.endswith("launches")
    assert found.ms > 0
