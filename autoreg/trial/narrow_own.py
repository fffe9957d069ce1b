"""`autoreg.narrow`: the network that a recipe has from the start, of a model of one's own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.costs.predict import groups_after
from autoreg.errors import InputError
from autoreg.methods.bound import BoundNetwork, bind
from autoreg.methods.discovery import registry, spec_of
from autoreg.methods.sparsity.structures.channel import channel_scores
from autoreg.methods.weights import weighted_layers
from autoreg.network.profile import profile
from autoreg.network.surgery.blocks import drop_blocks
from autoreg.network.surgery.cut import cut
from autoreg.network.surgery.initialize import initialize, own_initialization
from autoreg.network.weights import weight_of
from autoreg.space import LayerInfo, complete_recipe, load_recipe
from autoreg.trial.narrow import levels_of

NARROWED = "narrowed_by"
"""Attribute of a model that `narrow` made: the section of the recipe."""


def narrow(model: nn.Module, example_input: Any, recipe: Mapping[str, Any] | str | Path, *, seed: int = 0) -> nn.Module:
    """Make the network that a recipe has from the start, for a loop of one's own::

        model = autoreg.narrow(model, example_input, recipe)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        run = autoreg.attach(model, optimizer, recipe, epochs=10, steps_per_epoch=len(loader))

    With `training.start: scratch` (the default) its weights are drawn anew; with `pretrained` they are the model's own,
    those of the channels that `network.inherit` chooses.

    Args:
        model: the whole network, freshly built or trained; left as it is.
        example_input: what it is called with.
        recipe: a recipe (what it does not say takes its default), or the path of a recipe file.
        seed: of the weights that are drawn.

    Returns:
        A new, smaller model; a copy where the recipe leaves the network as it is.

    Raises:
        InputError: the recipe is wrong, asks for what the network does not have, or chooses by a look at data.
    """
    layers = [LayerInfo(name, type(module).__name__) for name, module in weighted_layers(model)]
    content = load_recipe(Path(recipe)) if isinstance(recipe, str | Path) else recipe
    bound = bind(complete_recipe(content, registry(), layers))
    small = copy.deepcopy(model)
    network = bound.network
    if network is None or leaves_whole(network):
        return small
    _refuse_data("blocks", network.blocks, network.blocks.needs)
    whole = profile(model, example_input)
    levels = levels_of(network, whole, layers, None, place="the model")
    groups = [group for group in groups_after(whole, levels.dropped) if group.id in levels.channels]
    left = {group.id: levels.channels[group.id] for group in groups}
    stay: dict[str, list[int]] = {name: list(range(count)) for name, count in left.items()}
    if bound.starts_trained:
        scores = _scores(model, network.inherit, seed)
        for group in groups:
            values = channel_scores(group, scores) if scores else None
            stay[group.id] = network.inherit.select(group.size, left[group.id], values)
    drop_blocks(small, levels.dropped, example_input)
    cut(small, groups, {g.id: sorted(set(range(g.size)) - set(stay[g.id])) for g in groups})
    if not bound.starts_trained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            own = own_initialization(model)
            torch.manual_seed(seed)
            initialize(small, model, own)
    setattr(small, NARROWED, bound.config["network"])
    return small


def leaves_whole(network: BoundNetwork | None) -> bool:
    """Whether a section `network` removes nothing from any model."""
    return network is None or (network.width == 1 and network.blocks.keep is None)


def _scores(model: nn.Module, rule: Any, seed: int) -> dict[str, Tensor]:
    """Scores of all weights where a rule ranks channels by them; empty for one that does not."""
    if "scores" not in rule.needs:
        _refuse_data("inherit", rule, rule.needs)
        return {}
    _refuse_data("inherit", rule, rule.criterion.needs)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: rule.criterion.score(weight_of(module).detach(), None, generator)
        for name, module in weighted_layers(model)
    }


def _refuse_data(item: str, method: Any, needs: tuple[str, ...]) -> None:
    if needs:
        raise InputError(
            f"narrow: network.{item}: {spec_of(method).name} looks at data, of which there is none here; use a task "
            "and `autoreg apply`, or a choice that does not"
        )
