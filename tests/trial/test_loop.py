"""Training and scoring, piece by piece."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from autoreg.trial.loop import learning_rate, make_optimizer, phase_seed, re_estimate, seeded
from tests.trial.conftest import TinyTask


def test_the_rate_warms_up_peaks_and_ends_near_zero() -> None:
    rates = [learning_rate(step, 10, 100) for step in range(1001)]
    assert max(rates) <= 1.0
    assert rates.index(max(rates)) == 50
    assert abs(rates[-1] - 0.01) < 1e-9
    assert all(a >= b for a, b in pairwise(rates[50:]))


def test_a_constant_rate_cools_down_in_the_last_fifth_by_one_minus_the_root() -> None:
    rates = [learning_rate(step, 10, 100, "constant_cooldown") for step in range(1001)]
    assert rates[:50] == pytest.approx([learning_rate(step, 10, 100) for step in range(50)])
    assert set(rates[50:801]) == {1.0}
    assert abs(rates[850] - 0.5) < 1e-9  # a quarter of the way
    assert rates[-1] == 0.01
    assert all(a >= b for a, b in pairwise(rates[50:]))


def test_until_it_cools_down_a_constant_rate_does_not_depend_on_the_length() -> None:
    """Exactly: a longer run contains a shorter one."""
    short, long = ([learning_rate(step, epochs, 7, "constant_cooldown") for step in range(70)] for epochs in (10, 23))
    assert short[:56] == long[:56]
    assert short[57] < long[57] == 1.0


def test_phase_seeds_differ_by_every_part_and_are_fixed() -> None:
    seeds = {phase_seed(0, "a", 1), phase_seed(1, "a", 1), phase_seed(0, "b", 1), phase_seed(0, "a", 2)}
    assert len(seeds) == 4
    assert phase_seed(0, "a", 1) == phase_seed(0, "a", 1) < 2**63


def test_a_seeded_phase_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(99):
        first = torch.rand(5)
    assert torch.equal(torch.rand(2), expected)
    with seeded(99):
        assert torch.equal(torch.rand(5), first)


def test_gains_and_biases_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    settings = {"lr": 0.1, "weight_decay": 0.5, "optimizer": "sgd", "momentum": 0.0}
    groups = make_optimizer(model, settings).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert [len(group["params"]) for group in groups] == [1, 3]


def test_re_estimated_statistics_are_those_of_the_data() -> None:
    task = TinyTask()
    loader = task.loaders("all")["train"]
    data = torch.cat([batch[0] for batch in loader])
    model = nn.Sequential(nn.BatchNorm2d(1))
    again = re_estimate(model, task, loader, torch.device("cpu"), batches=100)
    means = torch.stack([batch[0].mean() for batch in loader])
    found = dict(again.named_buffers())["0.running_mean"]
    assert torch.allclose(found, means.mean())  # the mean over batches
    assert torch.allclose(found, data.mean(), atol=0.02)
    assert torch.equal(dict(model.named_buffers())["0.running_mean"], torch.zeros(1))  # on a copy
    assert not again.training
