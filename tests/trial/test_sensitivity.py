"""The allocation `sensitivity`: measured on the dense reference, kept in the store, exact in what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoreg.costs.predict import groups_after, predict
from autoreg.errors import InputError
from autoreg.methods.bound import bind
from autoreg.methods.quantization.weight_bits import WeightBits
from autoreg.methods.sparsity.counts import retained_count
from autoreg.trial.calibration import calibration_batches
from autoreg.trial.loop import re_estimate
from autoreg.trial.objective import TaskObjective
from autoreg.trial.reference import Reference, UntrainedReference
from autoreg.trial.resolve import resolve
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from tests.trial.conftest import TinyTask, evaluate


def sparse(structure: str, amount: float, **more: Any) -> dict[str, Any]:
    return {"sparsity": {structure: {"allocation": "sensitivity", "amount": amount, **more}}}


def total(objective: TaskObjective) -> int:
    return sum(layer.weights for layer in objective.setup.profile.layers)


@pytest.mark.parametrize("amount", [0.3, 0.77, 0.95])
def test_weights_that_stay_are_exactly_what_was_asked_and_cost_what_was_predicted(
    objective: TaskObjective, amount: float
) -> None:
    _, trial = evaluate(objective, sparse("weight", amount))
    config = objective.setup.complete(sparse("weight", amount))
    levels = resolve(config, objective.setup, objective.reference)
    assert sum(levels.retained.values()) == retained_count(total(objective), amount)
    assert not [note for note in trial.info.notes if "predicted" in note]
    rows = {layer.name: layer for layer in trial.info.layers}
    for name, retained in levels.retained.items():
        assert rows[name].density == retained / int(np.prod(rows[name].shape))


def test_channels_and_dropped_blocks(objective: TaskObjective) -> None:
    recipe = {**sparse("channel", 0.4, round_to=1), "layers": {"drop": {"last": {"count": 1}}}}
    _, trial = evaluate(objective, recipe)
    levels = resolve(objective.setup.complete(recipe), objective.setup, objective.reference)
    sizes = {g.id: g.size for g in groups_after(objective.setup.profile, levels.dropped) if g.removable}
    assert levels.dropped
    assert sum(levels.channels.values()) == retained_count(sum(sizes.values()), 0.4)
    assert not [note for note in trial.info.notes if "predicted" in note]


def test_the_curve_of_a_layer_is_what_masking_it_by_hand_does(objective: TaskObjective) -> None:
    """Head layer: half of its weights masked by magnitude; statistics of batch norm do not depend on it."""
    reference, setup = objective.reference, objective.setup
    curves = reference.curves(measured(setup.complete(sparse("weight", 0.5))))
    batches = calibration_batches(setup, setup.task.folds[0])
    name = setup.profile.layers[-1].name
    model = re_estimate(reference.model, setup.task, batches, setup.device)
    with torch.no_grad():
        before = torch.cat([model(x) for x, _ in batches])
        weight = model.get_parameter(f"{name}.weight")
        curve = curves[name]
        retained = curve.levels[2]
        limit = weight.abs().flatten().sort(descending=True)[0][retained - 1]
        weight.mul_(weight.abs() >= limit)
        after = torch.cat([model(x) for x, _ in batches])
    assert curve.mse[2] == pytest.approx(float((after - before).square().mean()), rel=1e-4)
    assert curve.levels[0] == weight.numel()
    assert curve.levels[-1] == 1
    assert curve.mse[0] == curve.kl[0] == 0.0


def measured(config: dict[str, Any]) -> Any:
    """The structure of a recipe, as curves are asked of it."""
    return bind(config).structure


def mixed(bits: Any, allocation: str = "sensitivity", **more: Any) -> dict[str, Any]:
    return {"quantization": {"weights": {"bits": bits, "allocation": allocation}}, **more}


@pytest.mark.parametrize("recipe", [mixed(3), mixed(4, **sparse("weight", 0.6)), mixed(5, **sparse("channel", 0.4))])
def test_bits_are_divided_within_their_mean_and_cost_what_was_predicted(
    objective: TaskObjective, recipe: dict[str, Any]
) -> None:
    setup = objective.setup
    _, trial = evaluate(objective, recipe)
    config = setup.complete(recipe)
    levels = resolve(config, setup, objective.reference)
    sizes = {layer.name: levels.retained.get(layer.name, layer.weights) for layer in setup.profile.layers}
    asked = config["quantization"]["weights"]["bits"]
    spent = sum(levels.weight_bits[name] * size for name, size in sizes.items())
    assert asked - 0.5 < spent / sum(sizes.values()) <= asked
    assert len(set(levels.weight_bits.values())) > 1
    assert {layer.name: layer.weight_bits for layer in trial.info.layers} == dict(levels.weight_bits)
    assert not [note for note in trial.info.notes if "predicted" in note]


def test_bits_divided_by_sensitivity_lose_no_more_outputs_than_even_ones_in_sum(objective: TaskObjective) -> None:
    setup = objective.setup
    curves = objective.reference.curves(WeightBits("channel", symmetric=True))
    chosen = resolve(setup.complete(mixed(3)), setup, objective.reference).weight_bits

    def lost(bits: Mapping[str, int]) -> float:
        return sum(curve.distortion[curve.levels.index(bits[name])] for name, curve in curves.items())

    assert lost(chosen) <= lost(dict.fromkeys(curves, 3))
    for curve in curves.values():
        assert curve.levels == (8, 7, 6, 5, 4, 3, 2)
        assert 0 < curve.kl[0] < curve.kl[-1]


def test_what_cannot_divide_bits_is_refused(objective: TaskObjective) -> None:
    setup, reference = objective.setup, UntrainedReference(objective.setup)
    with pytest.raises(InputError, match="erk divides no bits; allowed here: sensitivity, uniform"):
        resolve(setup.complete(mixed(4, "erk")), setup, reference)
    with pytest.raises(InputError, match="divides one number of bits"):
        resolve(setup.complete(mixed({"per_layer": {"*": 4}})), setup, reference)
    even = resolve(setup.complete(mixed(32)), setup, reference)
    assert set(even.weight_bits.values()) == {32}
    assert not reference.requested


def test_recipes_that_get_other_bits_never_share_a_phase(objective: TaskObjective) -> None:
    keys = [
        objective.chain(objective.setup.complete(mixed(4, rule)), seed=0, fold="all").phases[-1].key
        for rule in ("uniform", "sensitivity")
    ]
    assert keys[0] != keys[1]


def test_measured_once_and_then_taken_from_the_store(tmp_path: Path) -> None:
    def made() -> TaskObjective:
        return TaskObjective(TaskRef(TinyTask(), {}), TrialOptions(str(tmp_path)), latency=False)

    first, second = made(), made()
    recipes = [sparse("weight", 0.5), sparse("weight", 0.9, schedule="gradual"), sparse("channel", 0.5)]
    for recipe in recipes:
        assert first.costs(first.setup.complete(recipe)) == second.costs(second.setup.complete(recipe))
    assert first.reference.spent["seconds"] > 0
    assert 0 < first.reference.spent["epochs"] < 100
    assert second.reference.spent == {"seconds": 0.0, "epochs": 0.0}


def test_before_anything_trains_levels_are_guessed_and_what_was_asked_for_is_noted(objective: TaskObjective) -> None:
    setup = objective.setup
    untrained = UntrainedReference(setup)
    for recipe in (sparse("weight", 0.5), sparse("weight", 0.8), sparse("channel", 0.5, round_to=1)):
        costs = predict(setup.profile, resolve(setup.complete(recipe), setup, untrained))
        assert costs.params < predict(setup.profile).params or costs.bytes < predict(setup.profile).bytes
    assert [subject.measured[0] for subject, _ in untrained.requested] == ["weight", "channel"]
    trained = Reference(setup, lambda: setup.fresh_model(0))
    for request in untrained.requested:
        trained.curves(*request)
    before = dict(trained.spent)
    trained.curves(measured(setup.complete(sparse("weight", 0.7))))
    assert trained.spent == before
