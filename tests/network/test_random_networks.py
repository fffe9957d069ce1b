"""Random networks cost what torch's own counter says."""

from __future__ import annotations

import random
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoreg.network.trace import trace


def random_convolutions(draw: random.Random) -> tuple[nn.Module, Tensor]:
    """Convolutions of one dimensionality in a row, with groups, dilation, strides, some of them transposed."""
    dims = draw.choice([1, 2, 3])
    plain, turned = {
        1: (nn.Conv1d, nn.ConvTranspose1d),
        2: (nn.Conv2d, nn.ConvTranspose2d),
        3: (nn.Conv3d, nn.ConvTranspose3d),
    }[dims]
    channels = draw.choice([2, 4, 6])
    example = torch.randn(draw.choice([1, 3]), channels, *[draw.randint(7, 9) for _ in range(dims)])
    layers: list[nn.Module] = []
    for _ in range(draw.randint(1, 3)):
        groups = draw.choice([1, 2, channels])
        outputs = groups * draw.randint(1, 3)
        outputs += outputs % 2  # so that the next one can be grouped
        if outputs % groups:
            groups = 1
        kernel = draw.randint(1, 3)
        settings: dict[str, Any] = {"groups": groups, "bias": draw.random() < 0.5, "dilation": draw.choice([1, 2])}
        if draw.random() < 0.3:
            layers.append(turned(channels, outputs, kernel, stride=draw.choice([1, 2]), **settings))
        else:
            stride = draw.choice([1, 2])
            mode: Any = draw.choice(["zeros", "circular"])
            layers.append(plain(channels, outputs, kernel, stride=stride, padding=2, padding_mode=mode, **settings))
        channels = outputs
    return nn.Sequential(*layers), example


def random_attention(draw: random.Random) -> tuple[nn.Module, Tensor]:
    """An encoder layer of torch behind a linear layer."""
    heads = draw.choice([1, 2, 3])
    width = heads * draw.choice([2, 4])
    encoder = nn.TransformerEncoderLayer(
        width, heads, draw.randint(3, 9), batch_first=True, norm_first=draw.random() < 0.5
    )
    return nn.Sequential(nn.Linear(5, width), encoder), torch.randn(draw.choice([1, 3]), draw.randint(2, 7), 5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from([random_convolutions, random_attention]))
def test_random_networks_cost_what_torchs_own_counter_says(seed: int, kind: Any) -> None:
    """`torch.utils.flop_counter` counts two FLOPs for a multiply-accumulate, as here, and of the whole batch."""
    model, example = kind(random.Random(seed))
    found = trace(model.eval(), example)
    layers = {name: module.weight.numel() for name, module in model.named_modules() if name in found.positions}
    total = sum(layers[name] * times for name, times in found.positions.items()) + sum(found.functional.values())
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with FlopCounterMode(display=False) as counter:
                model(example)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert 2 * total * len(example) == counter.get_total_flops()
    assert found.warnings == ()
