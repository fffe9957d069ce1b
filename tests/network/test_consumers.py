"""Which module alone consumes what another returns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoreg.network.consumers import sole_consumers, tensor_version


def test_only_links_to_a_sole_consumer_stay() -> None:
    """Known answers; the model is left as it was, and one that fails on NaN is a consumer too."""

    class Branch(nn.Module):
        def __init__(self, *, strict: bool = False) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(2, 2), nn.ReLU(), nn.ReLU()
            self.strict = strict

        def forward(self, x: Tensor) -> Tensor:
            a = self.a(x)
            if self.strict and bool(a.isnan().any()):
                raise ValueError("NaN")
            b = self.b(a)
            out: Tensor = self.c(b) + b
            return out

    def run(network: nn.Module) -> object:
        return network(torch.ones(1, 2))

    links = {"a": "b", "b": "c"}
    model = Branch()
    assert sole_consumers(model, run, links) == {"a": "b"}
    assert sole_consumers(Branch(strict=True), run, links) == {}
    assert sole_consumers(model, run, {}) == {}
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_versions_count_changes_in_place() -> None:
    x = torch.zeros(2)
    before = tensor_version(x)
    assert tensor_version(x.add_(1)) == before + 1
    with torch.inference_mode():
        assert tensor_version(torch.zeros(2)) == 0
