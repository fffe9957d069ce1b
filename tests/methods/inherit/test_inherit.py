"""Which channels of a trained network a narrow one starts from."""

from __future__ import annotations

import pytest
import torch

from autoreg.errors import InputError
from autoreg.methods.inherit.importance import Importance
from autoreg.methods.inherit.subcloning import Subcloning
from autoreg.methods.inherit.weight_selection import WeightSelection


def test_evenly_spaced_channels_follow_the_rule_of_the_paper() -> None:
    rule = WeightSelection()
    assert rule.select(12, 4) == [0, 3, 6, 9]
    assert rule.select(12, 5) == [0, 3, 6, 8, 11]  # 0, 2.75, 5.5, 8.25, 11: halves to the even one
    assert rule.select(7, 1) == [0]
    for keep in range(1, 33):
        assert len(set(rule.select(32, keep))) == keep


def test_the_channels_of_the_highest_value_stay() -> None:
    values = torch.tensor([1.0, 5.0, 5.0, 0.0, 3.0])
    for rule in (Importance(), Subcloning()):
        assert rule.select(5, 3, values) == [1, 2, 4]
        assert rule.select(5, 1, values) == [1]
        with pytest.raises(InputError, match="of every channel"):
            rule.select(5, 3)
