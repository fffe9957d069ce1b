"""A trial that removes channels removes attention heads too, at once or little by little."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoreg.costs.predict import predict
from autoreg.engine.log.trial import Trial
from autoreg.network.surgery.apply import apply_structure
from autoreg.tasks import load_task
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef


@pytest.mark.parametrize(("schedule", "amount", "heads"), [("one_shot", 0.5, 2), ("gradual", 0.7, 1)])
def test_heads_leave_in_a_trial(schedule: str, amount: float, heads: int, text_file: Path, tmp_path: Path) -> None:
    """As many as the amount says, and the costs are the predicted ones; the record can be replayed."""
    task = load_task("char_lm", {"path": str(text_file), "context": 16, "width": 32, "heads": 4, "eval_chars": 400})
    objective = TaskObjective(TaskRef(task, {}), TrialOptions(str(tmp_path / "store")), latency=False)
    setup = objective.setup
    channel = {"criterion": "magnitude", "allocation": "uniform", "amount": amount, "schedule": schedule, "round_to": 4}
    training = {"epochs": 1, "finetune_epochs": 2}
    config = setup.complete({"sparsity": {"channel": channel}, "training": training})
    chain = objective.chain(config, seed=0, fold=setup.task.folds[0])
    groups = [group for group in setup.profile.channel_groups if group.heads and group.removable]
    assert groups
    assert {chain.levels.channels[group.id] for group in groups} == {heads}
    metrics = objective(config, Trial(seed=0))
    predicted = predict(setup.profile, chain.levels).totals()
    assert {name: metrics[name] for name in ("flops", "params", "bytes")} == {
        name: predicted[name] for name in ("flops", "params", "bytes")
    }
    outcome = objective.chain(config, seed=0, fold=setup.task.folds[0]).run()
    fresh = setup.fresh_model(0)
    removed = {name: list(indices) for name, indices in outcome.state.removed.items()}
    apply_structure(fresh, setup.example_input, (), removed)
    assert {len(removed[group.id]) for group in groups} == {4 - heads}
    assert fresh.state_dict().keys() == outcome.state.model.state_dict().keys()
