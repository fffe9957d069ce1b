"""Recipes with a network that is narrower or shallower from the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from autoreg.artifacts.packed.file import load_packed
from autoreg.artifacts.skeleton import build_skeleton, latency_key
from autoreg.costs.predict import predict
from autoreg.errors import InputError
from autoreg.methods.bound import bind
from autoreg.study.export import export_recipe
from autoreg.trial.inherit import inherited
from autoreg.trial.model_state import ModelState
from autoreg.trial.narrow_setup import CutSetup
from autoreg.trial.objective import TaskObjective
from autoreg.trial.resolve import resolve_network
from autoreg.trial.setup import TrialOptions
from autoreg.trial.summary import cost_metrics
from autoreg.trial.task_ref import TaskRef
from tests.trial.conftest import Block, TinyTask, evaluate

HALF: dict[str, Any] = {"network": {"width": 0.5, "blocks": {"first": {"keep": 1}}}}
COSTS = ("flops", "effective_flops", "bops", "weights", "params", "bytes")


def phases(objective: TaskObjective, recipe: dict[str, Any]) -> list[tuple[str, str]]:
    return [(phase.name, phase.key) for phase in objective.phases(objective.setup.complete(recipe))]


def test_half_the_width_and_one_block_cost_what_that_network_costs(objective: TaskObjective) -> None:
    metrics, trial = evaluate(objective, HALF)
    stem = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    built = nn.Sequential(
        stem, nn.Sequential(Block(4), nn.Identity()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    assert metrics["params"] == sum(parameter.numel() for parameter in built.parameters())
    assert trial.info.notes == []  # what was predicted is what was counted
    setup, _ = resolve_network(objective.setup.complete(HALF), objective.reference)
    assert {n: p.shape for n, p in setup.fresh_model(0).named_parameters()} == {
        n: p.shape for n, p in built.named_parameters()
    }
    dropped = [layer.name for layer in trial.info.layers if layer.dropped]
    assert dropped == ["1.1.conv1", "1.1.conv2"]


@pytest.mark.parametrize(
    "recipe",
    [
        {"network": {"width": 0.5}, "sparsity": {"channel": {"amount": 0.5, "round_to": 1, "allocation": "global"}}},
        {"network": {"width": 0.5}, "sparsity": {"weight": {"allocation": "sensitivity"}}},
        {"network": {"blocks": {"snip": {"keep": 1}}}, "quantization": {"weights": {"bits": 4}}},
        {"network": {"blocks": {"grasp": {"keep": 1}}}, "layers": {"drop": {"angular": {"count": 1}}}},
        {"network": {"width": 0.75}, "sparsity": "low_rank", "training": {"start": "pretrained"}},
        {"network": {"width": 0.5}, "teacher": {"kd": {"of": "ensemble", "members": 2}}},
        {"network": {"width": {"per_layer": {"0.0": 0.5, "1.0.*": 0.25, "*": 1.0}}}, "regularizer": "l1"},
    ],
)
def test_all_else_that_a_recipe_says_works_on_it_at_exact_costs(
    objective: TaskObjective, recipe: dict[str, Any]
) -> None:
    known = objective.costs(objective.setup.complete(recipe))
    metrics, trial = evaluate(objective, recipe)
    assert {name: metrics[name] for name in COSTS} == {name: known[name] for name in COSTS}
    assert [note for note in trial.info.notes if "predicted" in note] == []
    assert metrics["flops"] < evaluate(objective, {})[0]["flops"]


def test_a_section_that_removes_nothing_leaves_the_keys_as_they_are(objective: TaskObjective) -> None:
    complete = objective.setup.complete
    neutral: list[dict[str, Any]] = [{}, {"width": 1.0}, {"blocks": {"first": {"keep": 2}}}]
    for network in neutral:
        recipe = {"network": network}
        assert phases(objective, recipe) == phases(objective, {})
        assert objective.identity(complete(recipe)) == objective.identity(complete({}))
    assert "network" not in objective.setup.complete({})


def test_a_network_that_cannot_be_made_has_a_key_of_its_own(objective: TaskObjective) -> None:
    """A search asks for keys before it asks for costs, which refuse it."""
    complete = objective.setup.complete
    keys = [objective.identity(complete({"network": {"blocks": {"first": {"keep": keep}}}})) for keep in (2, 3, 4)]
    assert len(set(keys)) == 3


def test_all_phases_hang_on_the_network_and_equal_networks_share_them(objective: TaskObjective) -> None:
    quarter = {"network": {"width": 0.25}}
    keys = [{key for _, key in phases(objective, recipe)} for recipe in ({}, HALF, quarter)]
    assert not keys[0] & keys[1]
    assert not keys[1] & keys[2]
    assert phases(objective, {"network": {"width": 0.26}}) == phases(objective, quarter)  # two channels of eight, both


def test_a_pretrained_one_trains_the_dense_network_first_then_is_cut_and_tuned(objective: TaskObjective) -> None:
    pretrained = {"training": {"start": "pretrained"}}
    names = [name for name, _ in phases(objective, HALF | pretrained)]
    assert names == ["train", "narrow", "tune", "sparsify", "measure"]
    assert phases(objective, HALF | pretrained)[0] == phases(objective, {})[0]  # one training, whoever asks for it
    evaluate(objective, {})
    _, trial = evaluate(objective, HALF | pretrained)
    assert trial.info.epochs_run == 3  # two of tuning and one of fine-tuning


def test_inherited_weights_are_slices_of_the_trained_ones(objective: TaskObjective) -> None:
    setup = objective.setup
    config = setup.complete({"network": {"width": 0.5}, "training": {"start": "pretrained"}})
    chain = objective.chain(config, seed=0, fold="all")
    trained = chain.state_after(chain.phases[0], chain.initial_state())
    dense = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    cut = chain.state_after(chain.phases[1], ModelState(trained.model)).model.state_dict()
    assert torch.equal(cut["0.0.weight"], dense["0.0.weight"][::2])
    assert torch.equal(cut["1.0.conv2.weight"], dense["1.0.conv2.weight"][::2, ::2])
    assert torch.equal(cut["4.weight"], dense["4.weight"][:, ::2])
    again = chain.state_after(chain.phases[1], trained)  # from the store
    assert all(torch.equal(tensor, cut[name]) for name, tensor in again.model.state_dict().items())


def test_a_reference_for_allocations_is_cut_and_never_trained(objective: TaskObjective) -> None:
    config = objective.setup.complete({**HALF, "sparsity": {"weight": {"allocation": "global"}}})
    _ = objective.reference.model
    entries = set(Path(objective.options.store).rglob("*.safetensors"))
    setup, levels = resolve_network(config, objective.reference)
    assert set(Path(objective.options.store).rglob("*.safetensors")) == entries
    assert predict(setup.profile, levels).effective_flops < predict(setup.profile).flops


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"width": 0}, "network.width: found 0"),
        ({"width": 1.5}, "out of bounds"),
        ({"blocks": {"first": {"keep": 3}}}, r"keep = 3, but the network has 2 blocks .* allowed: 0 to 2"),
        ({"blocks": {"snip": {"keep": 3}}}, r"keep = 3, but the network has 2 blocks"),
        ({"blocks": "last"}, "unknown blocks 'last'"),
        ({"depth": 2}, "unknown name 'depth' in network"),
    ],
)
def test_bad_values_are_refused_before_anything_trains(
    objective: TaskObjective, network: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        objective.costs(objective.setup.complete({"network": network}))


@pytest.mark.parametrize(("format", "start"), [("safetensors", "scratch"), ("onnx", "pretrained")])
def test_its_file_computes_what_the_trial_computed(
    objective: TaskObjective, format: str, start: str, tmp_path: Path
) -> None:
    """An export refuses a file that does not; packed weights are loaded on the network that the task builds."""
    recipe = {
        "network": {"width": 0.75, "blocks": {"first": {"keep": 1}}},
        "sparsity": {"channel": {"amount": 0.4, "round_to": 1}},
        "quantization": {"weights": {"bits": 8}},
        "training": {"start": start},
    }
    path = tmp_path / f"net.{format}"
    exported = export_recipe(objective, objective.setup.complete(recipe), 0, path, format, timed=False)
    assert exported.agreement.fault(integers=False) is None
    if format == "safetensors":
        model = load_packed(path, TinyTask().build_model, example_input=TinyTask().example_input()).model
        assert len(model.get_parameter("0.0.weight")) == 4  # 8, then 6, then 4


def test_latency_is_that_of_the_narrow_network(objective: TaskObjective) -> None:
    setup, levels = resolve_network(objective.setup.complete(HALF), objective.reference)
    small = build_skeleton(setup.skeleton(), setup.example_input, setup.profile, levels)
    on_whole = setup.on_whole(levels)
    assert on_whole is not None
    whole = objective.setup
    cut = build_skeleton(whole.skeleton(), whole.example_input, whole.profile, on_whole)
    assert latency_key(small, whole.example_input, levels, act_symmetric=False) == latency_key(
        cut, whole.example_input, on_whole, act_symmetric=False
    )
    assert cost_metrics(predict(whole.profile, on_whole)) == cost_metrics(predict(setup.profile, levels))


def test_channels_that_carry_most_are_found_and_what_reads_them_is_scaled(objective: TaskObjective) -> None:
    config = objective.setup.complete(
        {"network": {"width": 0.5, "inherit": "subcloning"}, "training": {"start": "pretrained", "epochs": 0}}
    )
    chain = objective.chain(config, seed=0, fold="all")
    assert isinstance(chain.setup, CutSetup)
    model = objective.setup.fresh_model(0)
    with torch.no_grad():
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.weight.zero_()
            norm.bias.copy_(torch.arange(8.0))  # what flows through a channel grows with its index
    found = inherited(model, chain.setup, bind(config).network.inherit, seed=0, fold="all")  # type: ignore[union-attr]
    assert torch.equal(found.get_parameter("0.0.weight"), model.get_parameter("0.0.weight")[4:])
    assert torch.allclose(found.get_parameter("4.weight"), 2**0.5 * model.get_parameter("4.weight")[:, 4:])


class OneLayer(TinyTask):
    """A network without channels that can go."""

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_a_network_without_removable_channels_is_refused_with_the_reason(tmp_path: Path) -> None:
    objective = TaskObjective(TaskRef(OneLayer(), {}), TrialOptions(str(tmp_path)), latency=False)
    with pytest.raises(InputError, match=r"network.width: 0.5 .* has none that can go \(.*output.*\); allowed here: 1"):
        objective.costs(objective.setup.complete({"network": {"width": 0.5}}))


class Builder(TinyTask):
    """A task that builds narrow networks itself: a layer norm keeps surgery from removing its channels."""

    training: ClassVar[dict[str, Any]] = {"epochs": 2, "finetune_epochs": 0, "qat_epochs": 0, "lr": 0.1}

    def build_model(self, width: float = 1.0, blocks: int | None = None) -> nn.Module:
        size = round(16 * width)
        hidden = [
            nn.Sequential(nn.LayerNorm(size), nn.Linear(size, size)) for _ in range(2 if blocks is None else blocks)
        ]
        return nn.Sequential(nn.Flatten(), nn.Linear(64, size), nn.Sequential(*hidden), nn.Linear(size, 10))


def test_a_task_that_builds_narrow_networks_itself_is_asked_for_them(tmp_path: Path) -> None:
    objective = TaskObjective(TaskRef(Builder(), {}), TrialOptions(str(tmp_path)), latency=False)
    metrics, trial = evaluate(objective, HALF)
    assert metrics["params"] == sum(p.numel() for p in Builder().build_model(0.5, 1).parameters())
    assert trial.info.notes == []
    tuned, trial = evaluate(objective, HALF | {"training": {"start": "pretrained", "epochs": 0}})
    assert tuned["params"] == metrics["params"]
    assert trial.info.notes == []
    with pytest.raises(InputError, match=r"network.blocks: snip .* allowed: all, first"):
        objective.costs(objective.setup.complete({"network": {"blocks": {"snip": {"keep": 1}}}}))


class Cooldown(TinyTask):
    """A dense training whose beginning shorter ones share."""

    training: ClassVar[dict[str, Any]] = {
        "epochs": 10,
        "finetune_epochs": 0,
        "qat_epochs": 0,
        "lr": 0.1,
        "schedule": "constant_cooldown",
    }


def test_a_dense_training_that_is_cut_goes_on_from_a_shorter_one(tmp_path: Path) -> None:
    """What it finds in the store, and leaves there, is the whole network."""
    objective = TaskObjective(TaskRef(Cooldown(), {}), TrialOptions(str(tmp_path)), latency=False)
    evaluate(objective, {"training": {"epochs": 5}})
    _, trial = evaluate(objective, HALF | {"training": {"start": "pretrained", "epochs": 0}})
    assert trial.info.epochs_run is not None
    assert 0 < trial.info.epochs_run < 10
    assert evaluate(objective, {})[1].info.epochs_run == 0
