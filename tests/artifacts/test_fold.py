"""Folding where values are changed in place on their way to a norm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import deployable
from autoreg.artifacts.fold import fold


class Net(nn.Module):
    """A layer and a norm with statistics, and what lies between them."""

    def __init__(self, between: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.between(self.conv(x), x))
        return out


@pytest.mark.parametrize(
    ("between", "folded"),
    [
        (lambda y, x: y, True),
        (lambda y, x: nn.functional.relu(y, inplace=True), False),
        (lambda y, x: y.add_(x), False),
        (lambda y, x: y + x, False),
        (lambda y, x: y[:, :1].mul_(2)._base, False),
    ],
)
def test_only_what_the_layer_returned_is_folded(between: Callable[[Tensor, Tensor], Tensor], folded: bool) -> None:
    """Outputs stay what they were."""
    torch.manual_seed(0)
    model, x = Net(between), torch.randn(4, 2, 5, 5)
    for _ in range(3):
        model(x + 1)
    model.eval()
    found = fold(deployable(model), x).model
    assert isinstance(found.norm, nn.Identity) is folded
    with torch.no_grad():
        assert torch.allclose(found(x), model(x), atol=1e-5)
