"""The profile of a narrow network by arithmetic is the profile of the narrow network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoreg.costs.levels import Levels
from autoreg.costs.narrowed import composed, narrowed
from autoreg.costs.predict import groups_after, predict
from autoreg.errors import InputError
from autoreg.network.profile import Profile, profile
from autoreg.network.surgery.apply import apply_structure
from autoreg.tasks import Task, load_task

TASKS: dict[str, Callable[[Path], Task]] = {
    "convolutions": lambda text: load_task("digits", {"width": 8}),
    "linear layers": lambda text: load_task("tabular", {"width": 12}),
    "attention heads": lambda text: load_task("char_lm", {"path": str(text), "context": 16, "width": 24, "heads": 4}),
}


def without_reasons(found: Profile) -> Profile:
    """Reasons are worded by the layers that a network has; the rest must be equal."""
    return replace(found, channel_groups=tuple(replace(group, reason="") for group in found.channel_groups))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("width", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("every", [None, 2, 1])
def test_it_is_what_is_found_on_the_model_itself(name: str, width: float, every: int | None, text_file: Path) -> None:
    task = TASKS[name](text_file)
    model, example = task.build_model(), task.example_input()
    whole = profile(model, example)
    dropped = tuple(block.name for block in whole.blocks)[::every] if every else ()
    groups = [group for group in groups_after(whole, dropped) if group.removable]
    left = {group.id: max(1, round(group.size * width)) for group in groups}
    network = Levels(dropped=dropped, channels=left)
    small = copy.deepcopy(model)
    removed = {group.id: list(range(left[group.id], group.size)) for group in groups}
    apply_structure(small, example, dropped, removed)
    found = narrowed(whole, network)
    assert without_reasons(found) == without_reasons(profile(small, example))
    assert predict(found).totals() == predict(whole, network).totals()


def test_levels_of_the_narrow_network_cost_the_same_on_the_whole_one(text_file: Path) -> None:
    task = TASKS["convolutions"](text_file)
    whole = profile(task.build_model(), task.example_input())
    network = Levels(dropped=("blocks.1",), channels={"stem.0": 4, "blocks.2.conv1": 5})
    part = narrowed(whole, network)
    bits = {layer.name: 4 for layer in part.layers if layer.block != "blocks.3"}
    levels = Levels(dropped=("blocks.3",), channels={"stem.0": 3}, weight_bits=bits, retained={"blocks.2.conv1": 9})
    assert composed(whole, network, part, levels).channels == {"stem.0": 3, "blocks.2.conv1": 5}
    assert predict(whole, composed(whole, network, part, levels)).totals() == predict(part, levels).totals()


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Levels(dropped=("blocks.7",)), "no droppable block is called 'blocks.7'"),
        (Levels(channels={"stem.0": 9}), "retains 9 channels; allowed: 1 to 8"),
        (Levels(channels={"head": 2}), "cannot be removed"),
    ],
)
def test_what_cannot_go_is_refused(network: Levels, said: str, text_file: Path) -> None:
    task: Any = TASKS["convolutions"](text_file)
    whole = profile(task.build_model(), task.example_input())
    with pytest.raises(InputError, match=said):
        narrowed(whole, network)
