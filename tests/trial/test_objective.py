"""What the objectives of one worker have in common."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import cloudpickle

from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef


def test_objectives_that_reach_a_worker_share_the_setup_of_the_same_task_and_options(tmp_path: Path) -> None:
    """Fresh seeds and baselines are run by another objective than the search, in the same processes."""
    ref, options = TaskRef("digits", {"train_images": 40}), TrialOptions(str(tmp_path), device="cpu")

    def sent(objective: TaskObjective) -> TaskObjective:
        found: TaskObjective = pickle.loads(cloudpickle.dumps(objective))
        return found

    search = sent(TaskObjective(ref, options, latency=False))
    search.warm_up()
    final = sent(TaskObjective(ref, options, rungs=False))
    assert final.setup is search.setup
    for other in (TaskRef("digits", {"train_images": 41}), ref):
        apart = TaskObjective(other, options if other is not ref else replace(options, reference_seed=1))
        assert sent(apart).setup is not search.setup
    assert TaskObjective(ref, options).setup is not search.setup
