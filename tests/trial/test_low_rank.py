"""A recipe of low rank, from its levels to the model that is trained, stored, quantized and counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from autoreg.artifacts.skeleton import build_skeleton
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.methods import create
from autoreg.methods.sparsity.structures.structure import Target
from autoreg.network.surgery.factorize import factorize, spectrum
from autoreg.network.surgery.factors import factored_weights
from autoreg.network.weights import weight_of
from autoreg.trial.model_state import ModelState, pack, unpack
from autoreg.trial.objective import TaskObjective
from autoreg.trial.resolve import resolve
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from tests.trial.conftest import TinyTask, evaluate


def low_rank(**rank: Any) -> dict[str, Any]:
    return {"sparsity": {"low_rank": {"rank": rank}}}


BITS = {"weights": {"bits": 4}, "activations": {"bits": 8}}
RECIPES: dict[str, dict[str, Any]] = {
    "budget": low_rank(budget={"amount": 0.4}),
    "energy": low_rank(energy={"share": 0.6}),
    "greedy, quantized": {**low_rank(greedy={"amount": 0.5}), "quantization": BITS},
    "learned bits by layer": {
        **low_rank(budget={"amount": 0.5}),
        "quantization": {
            "quantizer": "lsq",
            "weights": {"bits": {"per_layer": {"*conv*": 3, "*": 8}}},
            "activations": {"bits": 8},
        },
    },
    "without fine-tuning, a block dropped": {
        **low_rank(budget={"amount": 0.3}),
        "layers": {"drop": {"last": {"count": 1}}},
        "training": {"finetune_epochs": 0},
    },
    "behind spectral norm and dropout": {
        **low_rank(budget={"amount": 0.4}),
        "reparam": "spectral_norm",
        "noise": {"dropout": {"rate": 0.1}},
        "regularizer": {"orthogonality": {}},
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_predicted_costs_are_counted_ones_and_the_model_has_the_ranks(name: str, objective: TaskObjective) -> None:
    config = objective.setup.complete(RECIPES[name])
    levels = resolve(config, objective.setup, objective.reference)
    assert levels.ranks
    metrics, trial = evaluate(objective, RECIPES[name])
    assert trial.info.notes == []
    known = objective.costs(config)
    assert {key: metrics[key] for key in known} == known
    assert known["weights"] < objective.costs(objective.setup.dense)["weights"]
    state = objective.chain(config, seed=0, fold="all").run().state
    assert state.ranks == levels.ranks
    for layer, rank in levels.ranks.items():
        pair = state.model.get_submodule(layer)
        assert isinstance(pair, nn.Sequential)
        first, second = (weight_of(factor) for factor in pair)
        assert first.shape[0] == second.shape[1] == rank
    rows = {layer.name: layer for layer in trial.info.layers}
    for layer in levels.ranks:
        assert layer not in rows
        assert rows[f"{layer}.0"].factor_of == rows[f"{layer}.1"].factor_of == layer


def test_ranks_by_energy_come_from_the_dense_reference(objective: TaskObjective) -> None:
    config = objective.setup.complete(low_rank(energy={"share": 0.6}))
    levels = resolve(config, objective.setup, objective.reference)
    reference = objective.chain(objective.setup.dense, seed=0, fold="all").trained().model
    for layer in objective.setup.profile.layers:
        values = spectrum(reference.get_submodule(layer.name).weight)  # type: ignore[arg-type]
        rank = 1 + int((values.cumsum(0) < 0.6 * values.sum()).sum())
        saving = factored_weights(layer.weight_shape, rank) < layer.weights
        assert levels.ranks.get(layer.name) == (rank if saving else None)
    other = TaskObjective(objective.ref, replace(objective.options, reference_seed=3), latency=False)
    assert resolve(config, other.setup, other.reference) != levels


def test_the_factors_are_those_of_the_trained_weights(objective: TaskObjective) -> None:
    """Without fine-tuning, what stands is the truncation of what was trained."""
    recipe = {**low_rank(budget={"amount": 0.4}), "training": {"finetune_epochs": 0}}
    chain = objective.chain(objective.setup.complete(recipe), seed=0, fold="all")
    expected = chain.trained().model
    factorize(expected, chain.levels.ranks)
    found = chain.run().state.model
    for (name, a), (_, b) in zip(expected.state_dict().items(), found.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_a_stored_model_is_built_again(objective: TaskObjective) -> None:
    setup = objective.setup
    levels = Levels(dropped=("1.1",), ranks={"1.0.conv1": 3, "4": 2})
    state = ModelState(setup.fresh_model(3), trained=("1.0.conv1.weight", "4.bias", "1.0.norm1.weight"))
    torch.manual_seed(0)
    target = Target(Levels(ranks=levels.ranks), setup.profile, setup.example_input, score=lambda model: {})
    state = create("structure", "low_rank").apply(state, target)
    assert state.trained == ("1.0.conv1.0.weight", "1.0.conv1.1.weight", "1.0.norm1.weight", "4.1.bias")
    again = unpack(pack(state), setup)
    assert again.ranks == levels.ranks
    assert again.trained == state.trained
    for (name, a), (_, b) in zip(state.model.state_dict().items(), again.model.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert create("structure", "low_rank").apply(state, target) is state  # once is enough


def test_factors_are_trained_where_the_layer_was(objective: TaskObjective) -> None:
    recipe = {
        **low_rank(budget={"amount": 0.3}),
        "layers": {"train": {"last": {"count": 1}}},
        "training": {"start": "pretrained", "epochs": 1, "finetune_epochs": 1},
    }
    chain = objective.chain(objective.setup.complete(recipe), seed=0, fold="all")
    assert {"4", "1.0.conv1"} <= set(chain.levels.ranks)
    before = chain.trained().model
    factorize(before, chain.levels.ranks)
    state = chain.run().state
    after, names = dict(state.model.named_parameters()), dict(before.named_parameters())
    assert state.trained == ("4.0.weight", "4.1.bias", "4.1.weight")
    assert {name for name in names if not torch.equal(names[name], after[name])} == set(state.trained)
    _, trial = evaluate(objective, recipe)
    assert {layer.name for layer in trial.info.layers if layer.trained} == {"4.0", "4.1"}


def test_the_skeleton_whose_latency_is_timed_has_the_factors(objective: TaskObjective) -> None:
    setup = objective.setup
    levels = resolve(setup.complete(low_rank(budget={"amount": 0.4})), setup, objective.reference)
    skeleton = build_skeleton(setup.skeleton(), setup.example_input, setup.profile, levels)
    model = objective.chain(setup.complete(low_rank(budget={"amount": 0.4})), seed=0, fold="all").run().model
    shapes = [{name: p.shape for name, p in one.named_parameters()} for one in (skeleton, model)]
    assert shapes[0] == shapes[1]


class GroupedTask(TinyTask):
    """A network without a layer that can be factored."""

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.ConvTranspose2d(1, 10, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_task_that_has_nothing_to_factor_is_refused(tmp_path: Any) -> None:
    objective = TaskObjective(TaskRef(GroupedTask(), {}), TrialOptions(str(tmp_path)), latency=False)
    with pytest.raises(InputError, match="low_rank factors linear layers and convolutions, but the task"):
        objective.costs(objective.setup.complete(low_rank(budget={"amount": 0.4})))
