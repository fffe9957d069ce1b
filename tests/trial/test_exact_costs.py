"""For every shipped space: what is predicted before training is what is counted on the finished artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoreg.artifacts.deployable import deployable
from autoreg.costs.predict import predict
from autoreg.methods import registry
from autoreg.methods.bound import bind
from autoreg.methods.sparsity.masks import masks
from autoreg.space import Space
from autoreg.study.shipped import shipped
from autoreg.tasks import Task, load_task
from autoreg.trial.chain import ChainResult
from autoreg.trial.compression_phases import compressed_copy
from autoreg.trial.model_state import ModelState
from autoreg.trial.objective import TaskObjective
from autoreg.trial.reference import Reference
from autoreg.trial.resolve import resolve_network
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef

RECIPES = 25  # of each space

# A task that each shipped space fits.
TASKS: dict[str, Callable[[Path, Path], Task]] = {
    "cnn_joint": lambda text, speech: load_task("digits", {"train_images": 40, "width": 8}),
    "post_training": lambda text, speech: load_task("digits", {"train_images": 40, "width": 8}),
    "mlp_joint": lambda text, speech: load_task("tabular", {"data": "breast_cancer", "width": 24}),
    "speech_joint": lambda text, speech: load_task(
        "speech", {"path": str(speech), "train_per_class": 2, "eval_per_class": 1}
    ),
    "lm_joint": lambda text, speech: load_task(
        "char_lm", {"path": str(text), "context": 16, "width": 24, "eval_chars": 400}
    ),
}


def untrained(task: Task, store: Path) -> TaskObjective:
    """The task as an objective whose dense reference is untrained: levels are as explicit as with a trained one."""
    objective = TaskObjective(TaskRef(task, {}), TrialOptions(str(store)), latency=False, rungs=False)
    objective._reference = Reference(objective.setup, lambda: objective.setup.fresh_model(0))
    return objective


def finished(objective: TaskObjective, config: dict[str, Any], seed: int) -> ChainResult:
    """The artifact of a recipe: its structure, its masks and its quantizers, on weights that were never trained."""
    chain = objective.chain(config, seed=seed, fold=objective.setup.task.folds[0])
    state = ModelState(chain.setup.fresh_model(seed))
    state = compressed_copy(chain.context, state, torch.Generator().manual_seed(seed))
    return ChainResult(state, state.model, {}, chain.levels, chain.context.work)


def test_every_shipped_space_is_tried() -> None:
    assert set(TASKS) == set(shipped("space"))


@pytest.mark.parametrize("name", TASKS)
def test_random_recipes_cost_to_the_integer_what_was_predicted(
    name: str, text_file: Path, speech_file: Path, tmp_path: Path
) -> None:
    """Every total and every layer; and masks and bits of the artifact are those of the levels."""
    objective = untrained(TASKS[name](text_file, speech_file), tmp_path / "store")
    setup = objective.setup
    space = Space.load(shipped("space")[name]).bind(registry(), setup.layers, setup.defaults)
    rng = np.random.default_rng(3)
    structures: set[str] = set()
    for seed in range(RECIPES):
        config = space.sample(rng)
        structures.add(type(bind(config).structure).__name__)
        outcome = finished(objective, config, seed)
        network, levels = resolve_network(config, objective.reference)
        predicted, counted = predict(network.profile, levels), objective.count(outcome)
        assert levels == outcome.levels
        assert predicted.totals() == counted.totals(), config
        assert [layer for layer in predicted.per_layer if not layer.dropped] == list(counted.per_layer), config
        model, levels = outcome.state.model, outcome.levels.spread()
        assert {layer: int(mask.sum()) for layer, mask in masks(model).items()} == dict(levels.retained), config
        held = {layer: code.weight.bits for layer, code in deployable(model).codes.items() if code.weight is not None}
        present = {layer.name for layer in counted.per_layer}
        assert held == {layer: bits for layer, bits in levels.weight_bits.items() if bits < 32 and layer in present}, (
            config
        )
    assert len(structures) > 2
