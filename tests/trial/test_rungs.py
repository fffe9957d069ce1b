"""Reports within a training: no lock is held, one network for all who share it, the right one is scored."""

from __future__ import annotations

import threading
from dataclasses import replace

from autoreg.engine.log.trial import Trial
from autoreg.plan import Phase, content_hash
from autoreg.trial.objective import TaskObjective
from autoreg.trial.phase_store import snapshot_key
from tests.trial.conftest import evaluate


def test_no_lock_of_the_store_is_held_while_a_report_waits(objective: TaskObjective) -> None:
    """Who answers a report may want the same entry: held locks would leave both waiting for ever.

    At the rungs of a training that goes on, and of one that is taken from the store.
    """
    config = objective.setup.complete({"training": {"epochs": 6, "finetune_epochs": 0}})
    (key,) = (p.key for p in objective.chain(config, seed=0, fold="all").phases if p.name == "train")
    free: list[bool] = []

    def send(step: int, metrics: dict[str, float]) -> str:
        entered = threading.Event()

        def enter() -> None:
            with objective.setup.store.writing(key):
                entered.set()

        threading.Thread(target=enter, daemon=True).start()
        free.append(entered.wait(20))
        return "continue"

    for epochs_run in (6, 0):
        trial = Trial(send=send)
        objective(config, trial)
        assert [step for step, _ in trial.reports] == [2, 6]
        assert trial.info.epochs_run == epochs_run
    assert free == [True] * 4


def test_who_answers_a_report_may_train_the_same_network_meanwhile(objective: TaskObjective) -> None:
    """Both go on, and both get what one alone gets; the first takes from the store what the other left."""
    recipe = {"training": {"epochs": 6, "finetune_epochs": 0}, "noise": {"dropout": {"rate": 0.2}}}
    config = objective.setup.complete(recipe)
    alone = TaskObjective(objective.ref, replace(objective.options, cache=False), latency=False)
    expected, unshared = evaluate(alone, recipe)
    other = TaskObjective(objective.ref, objective.options, latency=False)
    answers: list[tuple[dict[str, float], Trial]] = []

    def send(step: int, metrics: dict[str, float]) -> str:
        if not answers:
            answers.append(evaluate(other, recipe))
        return "continue"

    first = Trial(send=send)
    assert objective(config, first) == expected == answers[0][0]
    assert first.reports == unshared.reports == answers[0][1].reports
    assert (first.info.epochs_run, answers[0][1].info.epochs_run) == (2, 6)


def test_two_trainings_that_leave_each_other_their_rungs_are_one(objective: TaskObjective) -> None:
    """The second reports the first rung from the store and gets further; the first, answered late, takes over."""
    recipe = {"training": {"epochs": 18, "finetune_epochs": 0}}
    config = objective.setup.complete(recipe)
    alone = TaskObjective(objective.ref, replace(objective.options, cache=False), latency=False)
    expected, unshared = evaluate(alone, recipe)
    second: list[Trial] = []

    def stop_at_the_second_rung(step: int, metrics: dict[str, float]) -> str:
        return "stop" if step == 6 else "continue"

    def send(step: int, metrics: dict[str, float]) -> str:
        if not second:
            second.append(Trial(send=stop_at_the_second_rung))
            TaskObjective(objective.ref, objective.options, latency=False)(config, second[0])
        return "continue"

    first = Trial(send=send)
    assert objective(config, first) == expected
    assert [step for step, _ in first.reports] == [2, 6, 18]
    assert first.reports == unshared.reports
    assert second[0].reports == first.reports[:2]
    assert (first.info.epochs_run, second[0].info.epochs_run) == (18, 6)


def test_a_rung_scores_the_network_that_the_recipe_ends_with(objective: TaskObjective) -> None:
    """Where nothing is trained after compression, the last rung is the result, in eight bits too.

    Statistics of batch norm are re-estimated before ranges of activations are calibrated, as in the phase.
    """
    bits = {"weights": {"bits": 4}, "activations": {"bits": 8}}
    metrics, trial = evaluate(objective, {"quantization": bits, "training": {"epochs": 2, "finetune_epochs": 0}})
    assert {name: trial.reports[-1][1][name] for name in ("error", "loss")} == {
        name: metrics[name] for name in ("error", "loss")
    }


def test_no_snapshot_has_the_key_of_its_phase() -> None:
    """Keys are of all that they stand for: those of one training differ from each other and from its own."""
    phases = [Phase("train", f"{epoch:064d}", 4, {}) for epoch in range(4)]
    keys = [snapshot_key(phase, epoch) for phase in phases for epoch in range(4)]
    assert len({*keys, *(phase.key for phase in phases)}) == 20
    assert {len(key) for key in keys} == {len(content_hash(0))}
