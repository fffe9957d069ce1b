"""Which blocks a network has from the start."""

from __future__ import annotations

import pytest
import torch

from autoreg.errors import InputError
from autoreg.methods.blocks.all import AllBlocks
from autoreg.methods.blocks.first import FirstBlocks
from autoreg.methods.blocks.grasp import GraspBlocks
from autoreg.methods.blocks.snip import SnipBlocks

BLOCKS = ["a", "b", "c"]


def test_first_blocks_and_all_of_them() -> None:
    assert FirstBlocks(keep=2).select(BLOCKS) == ("a", "b")
    assert FirstBlocks(keep=0).select(BLOCKS) == ()
    assert AllBlocks().select(BLOCKS) == ("a", "b", "c")
    with pytest.raises(InputError, match=r"keep = 4, but the network has 3 blocks .*\(a, b, c\); allowed: 0 to 3"):
        FirstBlocks(keep=4).select(BLOCKS)


def test_the_highest_scores_stay_in_the_order_of_the_network() -> None:
    for method in (SnipBlocks(keep=2), GraspBlocks(keep=2)):
        assert method.select(BLOCKS, {"a": 1.0, "b": -5.0, "c": 2.0}) == ("a", "c")
        assert method.select(BLOCKS, {"a": 1.0, "b": 1.0, "c": 1.0}) == ("a", "b")
        with pytest.raises(InputError, match="missing: c"):
            method.select(BLOCKS, {"a": 1.0, "b": 1.0})


def test_snip_is_the_sum_of_weights_times_gradients() -> None:
    a, b = (torch.tensor(values, requires_grad=True) for values in ([2.0, -3.0], [4.0]))
    loss = 5 * a[0] + a[1] - 0.5 * b[0]
    assert SnipBlocks().score(loss, {"a": [a], "b": [b]}) == {"a": 13.0, "b": 2.0}


def test_grasp_on_a_quadratic_loss_is_what_the_gradient_flow_depends_on() -> None:
    """Of ½ wᵀAw the gradient is Aw and the Hessian A: block i scores w_i (AAw)_i, and all together ‖Aw‖²."""
    matrix = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]])
    a, b = (torch.tensor(values, requires_grad=True) for values in ([1.0, -2.0], [3.0]))
    weights = torch.cat([a, b])
    found = GraspBlocks().score(0.5 * weights @ matrix @ weights, {"a": [a], "b": [b]})
    expected = (weights * (matrix @ matrix @ weights)).detach()
    assert found == pytest.approx({"a": float(expected[:2].sum()), "b": float(expected[2])})
    assert sum(found.values()) == pytest.approx(float((matrix @ weights).detach().square().sum()))
