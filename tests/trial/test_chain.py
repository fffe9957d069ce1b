"""Phases: what they share, what they must not change, and what becomes of a model in them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoreg.engine.acquisition.shared_cost import SharedWorkLedger
from autoreg.engine.log.records import StudyState
from autoreg.engine.log.trial import Trial
from autoreg.methods import registry
from autoreg.plan import uncompressed
from autoreg.space import Space
from autoreg.trial.model_state import baked_copy, plain_name
from autoreg.trial.objective import TaskObjective
from autoreg.trial.summary import cost_metrics
from tests.recipes import is_compressed
from tests.trial.conftest import evaluate


def weight(**changes: Any) -> dict[str, Any]:
    return {"sparsity": {"weight": {"amount": 0.7, **changes}}}


RECIPES: dict[str, dict[str, Any]] = {
    "dense": {},
    "one-shot weights": weight(criterion="magnitude", allocation="erk"),
    "gradual weights on a reference": weight(criterion="wanda", allocation="lamp", schedule="gradual"),
    "2:4": {"sparsity": {"2:4": {}}},
    "channels": {"sparsity": {"channel": {"amount": 0.5, "criterion": "taylor", "schedule": "gradual"}}},
    "low rank by budget": {"sparsity": {"low_rank": {"rank": {"budget": {"amount": 0.4}}}}},
    "low rank by energy, few bits, few layers trained": {
        "sparsity": {"low_rank": {"rank": {"energy": {"share": 0.7}}}},
        "quantization": {"quantizer": "lsq", "weights": {"bits": 4}, "activations": {"bits": 8}},
        "layers": {"drop": {"last": {"count": 1}}, "train": {"last": {"count": 2}}},
        "training": {"start": "pretrained"},
    },
    "blocks": {"layers": {"drop": {"angular": {"count": 1}}}},
    "eight bits": {"quantization": {"weights": {"bits": 8}, "activations": {"bits": 8}}},
    "learned steps behind a mask": {
        **weight(),
        "quantization": {"quantizer": "lsq", "weights": {"bits": 4}, "activations": {"bits": 8}},
    },
    "everything": {
        "regularizer": {"sam": {"rho": 0.05}},
        "noise": {"dropout": {"rate": 0.2}},
        "reparam": "spectral_norm",
        "sparsity": {"channel": {"amount": 0.3}},
        "quantization": {"quantizer": "lsq", "weights": {"bits": 4}},
        "layers": {"drop": {"last": {"count": 1}}},
    },
    "taught in every phase": {
        "teacher": {"kd": {"of": "ensemble", "members": 2}},
        "noise": {"cutout": {"share": 0.3}},
        "sparsity": {"weight": {"amount": 0.5, "schedule": "gradual"}},
        "quantization": {"quantizer": "lsq", "weights": {"bits": 4}},
    },
    "taught by its last epoch": {"teacher": "ps_kd", "training": {"epochs": 4}},
    "a third of the data": {"training": {"share": 0.33}, **weight(schedule="gradual")},
    "averages through masks and learned steps": {
        "averaging": {"lawa": {"count": 2}},
        **weight(schedule="gradual"),
        "quantization": {"quantizer": "lsq", "weights": {"bits": 4}},
    },
    "averages while channels go": {
        "averaging": {"ema": {"horizon": 0.5}},
        "sparsity": {"channel": {"amount": 0.5, "schedule": "gradual"}},
        "training": {"finetune_epochs": 2},
    },
    "pretrained, few layers trained": {
        "training": {"start": "pretrained"},
        "layers": {"train": {"fisher": {"count": 2}}},
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_results_with_and_without_the_store_are_identical(name: str, objective: TaskObjective) -> None:
    alone = TaskObjective(objective.ref, replace(objective.options, cache=False), latency=False)
    first, _ = evaluate(objective, RECIPES[name])
    again, trial = evaluate(objective, RECIPES[name])
    unshared, other = evaluate(alone, RECIPES[name])
    assert first == again == unshared
    assert trial.info.epochs_run == 0
    assert other.info.epochs_requested
    assert other.info.epochs_run == other.info.epochs_requested
    assert trial.reports == other.reports  # the rungs are replayed, not skipped
    assert len(trial.reports) > 0


@pytest.mark.parametrize("name", RECIPES)
def test_a_trial_tells_how_good_its_network_was_before_it_was_compressed(name: str, objective: TaskObjective) -> None:
    """It is the result of the recipe that ends there, to the last bit, computed or taken from the store."""
    config = objective.setup.complete(RECIPES[name])
    _, trial = evaluate(objective, RECIPES[name])
    if not is_compressed(config) and config["training"]["finetune_epochs"] == 0:
        assert trial.info.uncompressed_quality is None
        return
    prefix = next(uncompressed(config, objective.setup.dense))
    alone, other = evaluate(objective, prefix)
    assert trial.info.uncompressed_quality == alone["error"]
    assert other.info.epochs_run == 0
    assert other.info.uncompressed_quality is None
    assert evaluate(objective, RECIPES[name])[1].info.uncompressed_quality == alone["error"]


def test_of_the_recipes_that_end_uncompressed_a_space_that_fixes_fine_tuning_holds_the_last(
    objective: TaskObjective,
) -> None:
    config = objective.setup.complete({"sparsity": {"weight": {"amount": 0.5}}, "training": {"finetune_epochs": 3}})
    found = list(uncompressed(config, objective.setup.dense))
    assert [c["training"]["finetune_epochs"] for c in found] == [0, 0, 3, 3]
    bits = {"per_layer": {"type:Linear": 8, "*": 4}}
    config = objective.setup.complete({"quantization": {"weights": {"bits": bits}}})
    assert next(uncompressed(config, config))["quantization"]["weights"]["bits"] == {
        "per_layer": {"type:Linear": 32, "*": 32}
    }
    assert not any(is_compressed(c) for c in found)
    assert all(c["training"]["lr"] == config["training"]["lr"] for c in found)


@pytest.mark.parametrize("schedule", ["one_shot", "gradual"])
@pytest.mark.parametrize(
    "structure", [name for name, spec in registry().methods["structure"].items() if "schedule" in spec.params]
)
def test_a_reparametrization_is_baked_before_anything_is_sparsified(
    structure: str, schedule: str, objective: TaskObjective
) -> None:
    sparsity = {structure: {"schedule": schedule}}
    recipe = {"reparam": "spectral_norm", "sparsity": sparsity, "training": {"finetune_epochs": 2}}
    metrics, trial = evaluate(objective, recipe)
    assert metrics["effective_flops"] < objective.costs(objective.setup.dense)["effective_flops"]
    assert trial.info.notes == []


@pytest.mark.parametrize(
    "name",
    [
        "gradual weights on a reference",
        "learned steps behind a mask",
        "everything",
        "low rank by energy, few bits, few layers trained",
    ],
)
def test_weights_with_and_without_the_store_are_identical(name: str, objective: TaskObjective) -> None:
    alone = TaskObjective(objective.ref, replace(objective.options, cache=False), latency=False)
    config = objective.setup.complete(RECIPES[name])
    evaluate(objective, RECIPES[name])
    models = [one.chain(config, seed=0, fold="all").run().model for one in (objective, alone)]
    for (key, a), (_, b) in zip(models[0].state_dict().items(), models[1].state_dict().items(), strict=True):
        assert torch.equal(a, b), key


def test_bit_widths_on_one_trained_network_cost_one_training(objective: TaskObjective) -> None:
    epochs = 0.0
    for bits in (2, 3, 4, 8):
        _, trial = evaluate(objective, {"quantization": {"weights": {"bits": bits}}})
        epochs += trial.info.epochs_run or 0.0
        assert trial.info.epochs_requested == 3  # two of training, one of fine-tuning
    assert epochs == 3


def test_the_dense_start_is_the_dense_recipes_own_training(objective: TaskObjective) -> None:
    evaluate(objective, {})
    _, trial = evaluate(objective, {"training": {"start": "pretrained", "epochs": 0, "finetune_epochs": 0}})
    assert trial.info.epochs_run == 0


def test_a_store_that_lost_an_entry_gives_the_same_result(objective: TaskObjective) -> None:
    import shutil

    first, _ = evaluate(objective, RECIPES["channels"])
    for folder in sorted(objective.setup.store.folder.glob("??/*"))[::2]:
        shutil.rmtree(folder)
    again, _ = evaluate(objective, RECIPES["channels"])
    assert first == again


def test_predicted_costs_are_counted_ones_for_random_recipes(objective: TaskObjective) -> None:
    from autoreg.study.shipped import find_shipped

    setup = objective.setup
    space = Space.load(find_shipped("space", "cnn_joint")).bind(registry(), setup.layers, setup.defaults)
    rng = np.random.default_rng(0)
    for _ in range(6):
        config = space.sample(rng)
        config["training"] |= {"epochs": 1, "finetune_epochs": 1, "qat_epochs": 1}
        trial = Trial()
        metrics = objective(config, trial)
        known = objective.costs(config)
        assert {name: metrics[name] for name in known} == known, config
        assert trial.info.notes == []


def test_masked_weights_stay_zero_behind_a_learned_quantizer(objective: TaskObjective) -> None:
    config = objective.setup.complete(RECIPES["learned steps behind a mask"])
    outcome = objective.chain(config, seed=0, fold="all").run()
    model = baked_copy(outcome.model)
    for name, retained in outcome.levels.retained.items():
        values = model.get_parameter(f"{name}.weight")
        assert 0 < int(torch.count_nonzero(values)) <= retained


def test_a_trial_that_is_told_to_stop_records_the_epochs_that_it_ran(objective: TaskObjective) -> None:
    trial = Trial(send=lambda step, metrics: "stop")
    metrics = objective(objective.setup.complete({"training": {"epochs": 6}}), trial)
    assert [step for step, _ in trial.reports] == [2]
    assert trial.info.epochs_run == 2
    assert "error" not in metrics
    assert trial.outcome(metrics).state == "PRUNED"


def test_remaining_costs_are_what_a_recipe_runs_and_what_is_done_of_it_is_recorded(objective: TaskObjective) -> None:
    """Remaining epochs as the search reads them off recorded trials, against the epochs that were really run."""
    state = StudyState()

    def tell(name: str, trial: Trial) -> float:
        config, number = objective.setup.complete(RECIPES[name]), len(state.records)
        due = sum(epochs for _, epochs in SharedWorkLedger(objective.phase_costs).update(state).remaining(config, 0))
        objective(config, trial)
        state.apply({"event": "ask", "trial": number, "config": config, "seed": 0, "costs": {}})
        tell = {"event": "tell", "trial": number, "state": "PRUNED" if trial.should_stop() else "COMPLETE"}
        state.apply({**tell, "metrics": {}, "info": trial.info.to_dict()})
        return due

    stopped = Trial(send=lambda step, metrics: "stop")
    assert tell("everything", stopped) > 4
    assert stopped.info.epochs_run == 4, "two epochs of two gradients each"
    assert stopped.info.phase_fractions == [1, 0, 0, 0]
    for name in ("dense", "gradual weights on a reference", "learned steps behind a mask", "eight bits", "everything"):
        trial = Trial()
        assert tell(name, trial) == pytest.approx(trial.info.epochs_run), name
        assert set(trial.info.phase_fractions[:-1]) == {1}


def test_reporting_changes_nothing_of_the_training(objective: TaskObjective) -> None:
    silent = TaskObjective(objective.ref, replace(objective.options, cache=False), latency=False, rungs=False)
    assert evaluate(objective, RECIPES["everything"])[0] == evaluate(silent, RECIPES["everything"])[0]


def test_the_schedule_changes_the_training(objective: TaskObjective) -> None:
    cosine, cooled = (
        evaluate(objective, {"training": {"schedule": name}})[1].info.train_losses
        for name in ("cosine", "constant_cooldown")
    )
    assert cosine != cooled
    assert evaluate(objective, {})[1].info.train_losses == cosine


def test_seeds_give_different_networks(objective: TaskObjective) -> None:
    losses = {evaluate(objective, {}, seed)[0]["loss"] for seed in (0, 1, 2)}
    assert len(losses) == 3


def test_levels_do_not_depend_on_the_seed(objective: TaskObjective) -> None:
    one, _ = evaluate(objective, RECIPES["gradual weights on a reference"], 0)
    other, _ = evaluate(objective, RECIPES["gradual weights on a reference"], 5)
    names = cost_metrics(objective.count(objective.chain(objective.setup.dense, seed=0, fold="all").run()))
    assert {name: one[name] for name in names} == {name: other[name] for name in names}


def test_a_diverging_training_fails_with_its_reason(objective: TaskObjective) -> None:
    with pytest.raises(ArithmeticError, match="training loss became"):
        evaluate(
            objective,
            {"training": {"lr": 10.0, "epochs": 8, "momentum": 0.999}, "regularizer": {"l1": {"strength": 1e30}}},
        )


def test_plain_names_are_those_of_the_network() -> None:
    assert plain_name("0.conv.parametrizations.weight.original") == "0.conv.weight"
    assert plain_name("0.conv.bias") == "0.conv.bias"


def test_a_damaged_entry_is_made_again_and_replaced(objective: TaskObjective) -> None:
    first, _ = evaluate(objective, RECIPES["one-shot weights"])
    for file in objective.setup.store.folder.glob("??/*/tensors.safetensors"):
        file.write_bytes(b"torn")
    again, trial = evaluate(objective, RECIPES["one-shot weights"])
    _, third = evaluate(objective, RECIPES["one-shot weights"])
    assert first == again
    assert trial.info.epochs_run == 3
    assert third.info.epochs_run == 0


def test_a_trial_that_is_stopped_after_its_training_leaves_it_to_others(objective: TaskObjective) -> None:
    stopped = Trial(send=lambda step, metrics: "stop")
    objective(objective.setup.dense, stopped)
    assert stopped.info.epochs_run == 2
    _, trial = evaluate(objective, {"quantization": {"weights": {"bits": 4}}})
    assert trial.info.epochs_run == 1


def test_another_version_of_a_method_from_outside_is_another_key(tmp_path: Path) -> None:
    text = (
        "from autoreg.methods import method\nfrom autoreg.space.spec import Paper, log\n"
        "@method('versioned', kind='regularizer', paper=Paper('V', 'Me', 2026))\nclass Versioned:\n"
        '    """One of two."""\n    strength: float = log(0.1, 1.0)\n'
        "    def loss(self, state):\n        return FACTOR * sum(w.abs().mean() for _, w in state.weights())\n"
    )
    digests = set()
    for factor in ("1", "2"):
        (tmp_path / "versioned.py").write_text(text.replace("FACTOR", factor))
        script = "import versioned; from autoreg.methods.discovery import foreign_sources; print(foreign_sources())"
        command = [sys.executable, "-B", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert len(digests) == 2
    assert "" not in digests
