"""Dropout and cutout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods import State, create
from autoreg.methods.noise.cutout import cut
from autoreg.methods.noise.dropout import drop
from autoreg.methods.testing import tiny_model


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate: float) -> None:
    values = drop(torch.ones(200_000), rate, seeded())
    assert float((values == 0).float().mean()) == pytest.approx(rate, abs=0.005)
    assert float(values.mean()) == pytest.approx(1.0, abs=0.03)
    assert sorted(set(values.tolist())) == pytest.approx([0.0, 1 / (1 - rate)] if rate else [1.0])


def test_dropout_repeats_with_its_generator_and_leaves_the_global_one_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    a, b, c = (drop(torch.ones(100), 0.5, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)


def inputs_seen(model: nn.Sequential, place: str) -> dict[str, Tensor]:
    """The inputs that each weighted layer computes with, under dropout."""
    state = State(model=model, generator=seeded())
    method = create("noise", "dropout", {"rate": 0.5, "place": place})
    method.prepare(state)
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0]))
        for name, module in state.layers()
    ]
    model(torch.ones(4, 1, 8, 8))
    for handle in handles:
        handle.remove()
    method.finish(state)
    return seen


def test_dropout_acts_before_the_layers_that_were_named() -> None:
    model = tiny_model()
    model[2] = model[4] = nn.Sigmoid()  # no zeros of their own
    for place, noisy in (("layers", {"3", "6"}), ("penultimate", {"6"})):
        seen = inputs_seen(model, place)
        assert {name for name, values in seen.items() if bool((values == 0).any())} == noisy


def test_dropout_is_off_in_evaluation_and_gone_at_the_end() -> None:
    model = tiny_model().eval()
    images = torch.randn(4, 1, 8, 8)
    plain = model(images)
    state = State(model=model, generator=seeded())
    method = create("noise", "dropout", {"rate": 0.9, "place": "layers"})
    method.prepare(state)
    assert torch.equal(model(images), plain)
    model.train()
    assert not torch.equal(model(images), model(images))
    method.finish(state)
    assert torch.equal(model.eval()(images), model(images))
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_cutout_blanks_a_square_of_the_given_side() -> None:
    images = torch.ones(2, 3, 10, 12)
    done = cut(images, 4, torch.tensor([[5, 6], [4, 4]]))
    for image in done:
        assert int((image == 0).sum()) == 3 * 16
    assert not done[0, :, 3:7, 4:8].any()
    assert int(images.sum()) == 2 * 3 * 120  # the images that were given are left alone


@pytest.mark.parametrize(
    ("centre", "area"), [((0, 0), 4), ((0, 5), 8), ((9, 9), 9), ((5, 0), 8), ((9, 0), 6), ((5, 5), 16)]
)
def test_cutout_at_the_border_blanks_what_lies_inside(centre: tuple[int, int], area: int) -> None:
    """Side 4 covers centre − 2 to centre + 1: 2 of 4 at the low border, 3 of 4 at the high one."""
    done = cut(torch.ones(1, 1, 10, 10), 4, torch.tensor([centre]))
    assert int((done == 0).sum()) == area


def test_cutout_draws_another_place_for_each_sample_and_every_place_in_the_long_run() -> None:
    state = State(model=nn.Linear(1, 1), generator=seeded())
    images, labels = create("noise", "cutout", {"share": 0.25}).batch(state, (torch.ones(400, 1, 8, 8), 7))
    assert labels == 7
    areas = (images == 0).sum((1, 2, 3))
    assert set(areas.tolist()) == {1, 2, 4}  # side 2 begins one before the centre: it is cut at the low border alone
    assert bool((images == 0).any(0).all())


@pytest.mark.parametrize("kind", ["tensor", "tuple", "list", "mapping", "sequence"])
def test_cutout_takes_every_form_of_batch(kind: str) -> None:
    images = torch.ones(3, 1, 20) if kind == "sequence" else torch.ones(3, 1, 8, 8)
    labels = torch.zeros(3, dtype=torch.long)
    batch: Any = {
        "tensor": images,
        "sequence": (images, labels),
        "tuple": (images, labels),
        "list": [images, labels],
        "mapping": {"pixel_values": images, "labels": labels},
    }[kind]
    done = create("noise", "cutout").batch(State(model=nn.Linear(1, 1), generator=seeded()), batch)
    assert type(done) is type(batch)
    cut_images = done if kind == "tensor" else done["pixel_values"] if kind == "mapping" else done[0]
    assert bool((cut_images == 0).any())
    assert bool((images == 1).all())


@pytest.mark.parametrize(
    "batch",
    [
        (torch.ones(3, 5), torch.zeros(3)),
        (torch.zeros(3, 4, 4, dtype=torch.long), 0),
        {"input_ids": torch.zeros(3, 4, dtype=torch.long)},
        {"a": torch.ones(1, 1, 4), "b": torch.ones(1, 1, 4)},
        "text",
    ],
)
def test_cutout_refuses_what_is_no_image(batch: Any) -> None:
    with pytest.raises(InputError, match=r"cutout: .* needs"):
        create("noise", "cutout").batch(State(model=nn.Linear(1, 1), generator=seeded()), batch)
