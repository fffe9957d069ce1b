"""Networks timed in turn."""

from __future__ import annotations

import torch
from torch import nn

from autoreg.artifacts.onnx.graph import GraphCache
from autoreg.latency.interleaved import time_interleaved


def test_networks_are_timed_in_one_process_and_in_order() -> None:
    """One entry each, of the same reference runs; a network with 4,096 times the products takes longer."""
    x = torch.randn(8, 64)
    nets = [nn.Sequential(nn.Linear(64, h), nn.ReLU(), nn.Linear(h, 64)) for h in (2, 8192)]
    models = [GraphCache(fast=True).filled(net, x).proto.SerializeToString() for net in nets]
    quick, slow = time_interleaved(models, x, seconds=0.05)
    assert quick.ms < slow.ms
    assert quick.runs == slow.runs >= 7
    assert (quick.reference_ms, quick.noisy) == (slow.reference_ms, slow.noisy)
    assert (quick.threads, quick.batch) == (1, 8)
    assert quick.low <= quick.ms <= quick.high
