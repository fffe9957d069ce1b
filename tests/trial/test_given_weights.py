"""Tasks that bring trained weights: what starts from them, and the phases that there are then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoreg.engine.log.trial import Trial
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from tests.trial.conftest import TinyTask, evaluate


class GivenTask(TinyTask):
    """The tiny task with trained weights of its own: all zeros but for the head's bias."""

    def pretrained(self) -> dict[str, torch.Tensor]:
        state = {name: torch.zeros_like(tensor) for name, tensor in self.build_model().state_dict().items()}
        state["4.bias"][3] = 1.0
        return state


def test_a_task_may_bring_trained_weights_of_its_own(tmp_path: Path) -> None:
    objective = TaskObjective(TaskRef(GivenTask(), {}), TrialOptions(str(tmp_path)), latency=False)
    assert objective.setup.dense["training"]["start"] == "pretrained"
    metrics, trial = evaluate(objective, {"training": {"epochs": 0, "finetune_epochs": 0}})
    assert trial.info.epochs_requested == trial.info.epochs_run == 0
    targets = torch.cat([batch[1] for batch in objective.setup.loaders("all")["validation"]])
    assert metrics["error"] == pytest.approx(float((targets != 3).float().mean()))


def test_a_task_with_weights_has_no_phase_that_trains_them(tmp_path: Path) -> None:
    """What the search counts and what trials record of it are the same phases, in the same order."""
    objective = TaskObjective(TaskRef(GivenTask(), {}), TrialOptions(str(tmp_path)), latency=False)
    recipe = objective.setup.complete({"quantization": {"weights": {"bits": 4}}, "teacher": {"kd": {}}})
    trial = Trial()
    objective(recipe, trial)
    chain = objective.chain(recipe, seed=0, fold="all")
    assert [phase.name for phase in objective.phases(recipe)] == [phase.name for phase in chain.phases]
    expected = [epochs for _, epochs, *_ in objective.phase_costs(recipe)]
    assert len(expected) == len(trial.info.phase_fractions)
    assert sum(expected) == trial.info.epochs_requested == trial.info.epochs_run == 3


def test_other_given_weights_are_another_start(tmp_path: Path) -> None:
    class Other(GivenTask):
        def pretrained(self) -> dict[str, torch.Tensor]:
            return {**super().pretrained(), "4.bias": torch.eye(10)[5]}

    one, other = (
        TaskObjective(TaskRef(task, {}), TrialOptions(str(tmp_path)), latency=False) for task in (GivenTask(), Other())
    )
    assert one.setup.pretrained_digest != other.setup.pretrained_digest
    assert {p.key for p in one.chain(one.setup.dense, seed=0, fold="all").phases}.isdisjoint(
        p.key for p in other.chain(other.setup.dense, seed=0, fold="all").phases
    )
