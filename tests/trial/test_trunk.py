"""Trainings of different lengths that begin alike: one trunk, the same results, the cost that the engine expects."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest

from autoreg.engine.acquisition.shared_cost import SharedWorkLedger
from autoreg.engine.log.records import StudyState
from autoreg.engine.log.trial import Trial
from autoreg.methods import registry
from autoreg.trial.objective import TaskObjective
from tests.trial.conftest import evaluate

RESUMABLE = [
    (kind, name)
    for kind in ("regularizer", "noise", "reparam", "averaging")
    for name, spec in registry().methods[kind].items()
    if spec.resumable and name != "bcwi"  # which needs trained weights
]


def recipe(epochs: int, **more: Any) -> dict[str, Any]:
    training = {"epochs": epochs, "finetune_epochs": 0, "schedule": "constant_cooldown", **more.pop("training", {})}
    return {"training": training, **more}


def alone(objective: TaskObjective) -> TaskObjective:
    """The same without a store."""
    return TaskObjective(objective.ref, replace(objective.options, cache=False), latency=False)


def test_a_longer_training_runs_the_difference_and_is_the_same_bit_by_bit(objective: TaskObjective) -> None:
    """The rate of ten epochs cools down from the eighth on, that of twenty from the sixteenth."""
    lawa = {"lawa": {"count": 3}}
    for epochs, expected in ((10, 10), (20, 12), (9, 3)):
        metrics, trial = evaluate(objective, recipe(epochs, averaging=lawa))
        unshared, other = evaluate(alone(objective), recipe(epochs, averaging=lawa))
        assert trial.info.epochs_run == pytest.approx(expected)
        assert metrics == unshared
        assert trial.reports == other.reports
        assert trial.info.train_losses == other.info.train_losses
    config = objective.setup.complete(recipe(20, averaging=lawa))
    states = [o.chain(config, seed=0, fold="all").trained().model.state_dict() for o in (objective, alone(objective))]
    assert all(states[0][name].equal(tensor) for name, tensor in states[1].items())


@pytest.mark.parametrize(("kind", "name"), RESUMABLE)
def test_what_a_method_keeps_is_stored_with_the_trunk(kind: str, name: str, objective: TaskObjective) -> None:
    settings = {"optimizer": "adamw", "lr": 0.01}
    evaluate(objective, recipe(3, **{kind: name}, training=settings))
    metrics, trial = evaluate(objective, recipe(5, **{kind: name}, training=settings))
    assert (metrics, trial.info.epochs_run) == (
        evaluate(alone(objective), recipe(5, **{kind: name}, training=settings))[0],
        3 * (trial.info.epochs_requested or 0) / 5,
    )


@pytest.mark.parametrize("method", [{"averaging": "swa"}, {"regularizer": "label_smoothing"}])
def test_methods_that_look_at_the_length_share_no_trunk(method: dict[str, Any], objective: TaskObjective) -> None:
    evaluate(objective, recipe(4, **method))
    _, trial = evaluate(objective, recipe(5, **method))
    assert trial.info.epochs_run == 5


def test_a_trunk_that_is_gone_in_part_or_damaged_is_trained_again(objective: TaskObjective) -> None:
    evaluate(objective, recipe(10))
    phase = objective.chain(objective.setup.complete(recipe(10)), seed=0, fold="all").phases[0]
    assert list(phase.trunk) == [2, 3, 4, 6, 8]
    store = objective.setup.store
    entry = store.get(phase.trunk[8])
    assert entry is not None
    meta = {"training": {"items": {**entry.meta["training"]["items"], "step": {"tensor": "absent"}}}}
    store.drop(phase.trunk[8])
    store.put(phase.trunk[8], replace(entry, meta=meta))
    shutil.rmtree(store.path(phase.trunk[6]))
    metrics, trial = evaluate(objective, recipe(12))
    assert trial.info.epochs_run == pytest.approx(8)  # from the fourth
    assert metrics == evaluate(alone(objective), recipe(12))[0]


def test_what_the_engine_expects_a_trial_to_cost_is_what_it_runs(objective: TaskObjective) -> None:
    """Also after a trial that was stopped in its trunk, and where each step takes two gradients."""
    state = StudyState()

    def tell(config: dict[str, Any], stop_at: int | None = None) -> tuple[float, float]:
        complete, number = objective.setup.complete(config), len(state.records)
        trial = Trial(send=lambda step, metrics: "stop" if step == stop_at else "continue")
        ledger = SharedWorkLedger(objective.phase_costs).update(state)
        due = sum(epochs for _, epochs in ledger.remaining(complete, 0))
        objective(complete, trial)
        state.apply({"event": "ask", "trial": number, "config": complete, "seed": 0, "costs": {}})
        ended = {"event": "tell", "trial": number, "state": "COMPLETE" if stop_at is None else "PRUNED", "metrics": {}}
        state.apply({**ended, "info": trial.info.to_dict()})
        return due, trial.info.epochs_run or 0.0

    for regularizer, gradients in (("none", 1), ({"sam": {"rho": 0.05}}, 2)):
        for epochs, stop_at, expected, run in ((20, 6, 20, 6), (13, None, 7, 7), (20, None, 12, 12), (14, None, 6, 6)):
            due, found = tell(recipe(epochs, regularizer=regularizer), stop_at)
            assert due == pytest.approx(expected * gradients), (epochs, stop_at)
            assert found == pytest.approx(run * gradients), (epochs, stop_at)


def test_a_trial_goes_on_from_the_rung_at_which_another_was_stopped(objective: TaskObjective) -> None:
    """Rungs lie on the trunk, and one that another length has reported costs nothing."""
    config = recipe(20, averaging={"ema": {"horizon": 0.4}})
    stopped = Trial(send=lambda step, metrics: "stop" if step == 6 else "continue")
    objective(objective.setup.complete(config), stopped)
    metrics, trial = evaluate(objective, config)
    unshared, other = evaluate(alone(objective), config)
    assert (stopped.info.epochs_run, trial.info.epochs_run) == (6, 14)
    assert (metrics, trial.reports) == (unshared, other.reports)
    assert [step for step, _ in trial.reports] == [2, 6, 20]
    assert stopped.reports == trial.reports[:2]


def test_the_dense_network_of_a_pretrained_start_has_a_trunk_too(objective: TaskObjective) -> None:
    tune = {"start": "pretrained", "lr": 0.03}
    assert evaluate(objective, recipe(5, training=tune))[1].info.epochs_run == 2 + 5  # two of the dense network
    metrics, trial = evaluate(objective, recipe(10, training=tune))
    assert trial.info.epochs_run == pytest.approx(6)
    assert metrics == evaluate(alone(objective), recipe(10, training=tune))[0]
