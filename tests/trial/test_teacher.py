"""Teachers of a task: what they say, what is stored of it, and what data they see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoreg.errors import InputError
from autoreg.methods.teacher.dampened import truth_weight
from autoreg.plan import SELF_TAUGHT
from autoreg.tasks.splits import split_loaders
from autoreg.trial.chain import Chain
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import Setup, TrialOptions, fresh_seeds
from autoreg.trial.task_ref import TaskRef
from autoreg.trial.teacher import TOP_CLASSES, DenseTeacher, compressed, expanded, row_keys
from tests.trial.conftest import TinyTask, evaluate

ENSEMBLE = {"teacher": {"kd": {"of": "ensemble", "members": 3}}}


class Unreadable:
    """A split that must not be read."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("a teacher reads a split that is not for training")


def taught_chain(objective: TaskObjective, recipe: dict[str, Any], seed: int = 0) -> Chain:
    return objective.chain(objective.setup.complete(recipe), seed=seed, fold="all")


def teacher_of(chain: Chain) -> DenseTeacher:
    found = chain.context.teacher
    assert isinstance(found, DenseTeacher)
    return found


def test_more_seeds_begin_with_the_same() -> None:
    assert fresh_seeds(3, 5)[:2] == fresh_seeds(3, 2)
    assert len(set(fresh_seeds(3, 5))) == 5
    assert fresh_seeds(4, 5) != fresh_seeds(3, 5)


def test_samples_are_known_by_their_content() -> None:
    images = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    keys = row_keys(images)
    assert len(set(keys.tolist())) == 64
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    assert row_keys(images[order]).tolist() == keys[order].tolist()  # in whatever batch they come
    words = torch.arange(12).reshape(4, 3)
    masked = row_keys({"x": words, "mask": words > 3})
    assert len({*row_keys(words).tolist(), *masked.tolist()}) == 8
    for value in (-images[0, 0, 0, 0], images[0, 0, 0, 0].nextafter(torch.tensor(9.0))):
        changed = images.clone()
        changed[0, 0, 0, 0] = value
        assert (row_keys(changed) != keys).tolist() == [True] + [False] * 63


def test_a_table_of_many_classes_holds_the_largest_and_the_mass_of_the_rest() -> None:
    logits = 3 * torch.randn(7, 2, 4 * TOP_CLASSES, generator=torch.Generator().manual_seed(0))
    held = compressed(logits)
    assert sum(part.numel() for part in held.values()) < logits.numel() * 0.6
    there, here = torch.softmax(logits, -1), torch.softmax(expanded(held, logits.shape[-1]), -1)
    top = there.topk(TOP_CLASSES, -1)
    torch.testing.assert_close(here.gather(-1, top.indices), top.values)
    rest = here.scatter(-1, top.indices, 0.0)
    torch.testing.assert_close(rest.sum(-1), 1 - top.values.sum(-1), rtol=1e-4, atol=1e-6)
    few = logits[..., : 2 * TOP_CLASSES]
    assert torch.equal(expanded(compressed(few), few.shape[-1]), few)


def test_an_ensemble_is_the_mean_of_the_logits_of_dense_trainings(objective: TaskObjective) -> None:
    setup = objective.setup
    chain = taught_chain(objective, ENSEMBLE)
    chain.run()
    networks = []
    for seed in setup.teacher_seeds(3):
        dense = objective.chain(setup.dense, seed=seed, fold="all")
        networks.append(dense.trained().model.eval())
        assert dense.context.work.epochs_run == 0  # the dense recipe's own training is the teacher's, stored
    images, labels = next(iter(setup.loaders("all")["train"]))
    with torch.no_grad():
        mean = torch.stack([network(images) for network in networks]).mean(0)
    torch.testing.assert_close(teacher_of(chain)((images, labels)), mean, rtol=1e-4, atol=1e-5)


def test_stored_outputs_are_those_that_the_networks_give(objective: TaskObjective) -> None:
    """What stands in the table is not computed again; what was changed on its way to the network is."""
    chain = taught_chain(objective, ENSEMBLE)
    chain.run()
    again = teacher_of(taught_chain(objective, ENSEMBLE, seed=1))
    again.prepare()
    images, labels = next(iter(objective.setup.loaders("all")["train"]))
    stored = again((images, labels))
    assert again._networks == []  # from the store: no network was needed
    changed = again((images.flip(-1), labels))
    assert len(again._networks) == 3
    with torch.no_grad():
        live = [torch.stack([net(x) for net in again._networks]).mean(0) for x in (images, images.flip(-1))]
    torch.testing.assert_close(stored, live[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(changed, live[1])
    assert not torch.allclose(stored, changed)


def test_a_teacher_sees_training_data_alone(objective: TaskObjective) -> None:
    setup = objective.setup
    hidden = {name: Unreadable() for name in ("calibration", "validation", "test")}
    setup._loaders["all"] = {**setup.loaders("all"), **hidden}
    teacher_of(taught_chain(objective, ENSEMBLE)).prepare()
    seen = row_keys(next(iter(setup.loaders("all")["train"]))[0])
    entry = setup.store.get(teacher_of(taught_chain(objective, ENSEMBLE))._key)
    assert entry is not None
    assert set(seen.tolist()) <= set(entry.tensors["keys"].tolist())
    assert len(entry.tensors["keys"]) == len(setup.loaders("all")["train"].rows)


def test_what_teachers_cost_is_counted_once(objective: TaskObjective) -> None:
    """The first to ask trains them; then they are free for any seed, and for whoever asks for fewer."""
    epochs = TinyTask.training["epochs"]
    _, first = evaluate(objective, ENSEMBLE)
    _, other = evaluate(objective, ENSEMBLE, seed=7)
    _, fewer = evaluate(objective, {"teacher": {"kd": {"of": "ensemble", "members": 2}}})
    assert other.info.epochs_run is not None
    assert first.info.epochs_run == other.info.epochs_run + 3 * epochs
    assert first.info.epochs_run == first.info.epochs_requested
    assert fewer.info.epochs_run == other.info.epochs_run
    assert first.info.phase_seconds["teacher"] > 10 * other.info.phase_seconds["teacher"] > 0
    assert len(first.info.phase_fractions) == len(other.info.phase_fractions) == 3 + 3


def test_the_dense_network_is_trained_again_on_its_own_outputs(objective: TaskObjective) -> None:
    """Two trainings of one seed; what they say of the calibration split gives the weight of the truth."""
    setup, epochs = objective.setup, TinyTask.training["epochs"]
    _, first = evaluate(objective, {"teacher": "dampened"})
    _, other = evaluate(objective, {"teacher": "dampened"}, seed=3)
    assert other.info.epochs_run is not None
    assert first.info.epochs_run == other.info.epochs_run + 2 * epochs == first.info.epochs_requested
    teacher = teacher_of(taught_chain(objective, {"teacher": "dampened"}))
    teacher.prepare()
    dense = objective.chain(setup.dense, seed=0, fold="all").trained().model.eval()
    again = setup.complete({**setup.dense, "teacher": SELF_TAUGHT})
    chain = objective.chain(again, seed=0, fold="all")
    second = chain.trained().model.eval()
    assert chain.context.work.epochs_run == 0  # an ordinary recipe's training
    images, labels = (torch.cat(part) for part in zip(*setup.loaders("all")["calibration"], strict=True))
    with torch.no_grad():
        said = [torch.softmax(network(images), 1) for network in (dense, second)]
        assert teacher.truth == pytest.approx(truth_weight(F.one_hot(labels, 10), *said), abs=1e-4)
        torch.testing.assert_close(teacher((images, labels)), dense(images), rtol=1e-4, atol=1e-5)
    costs = objective.phase_costs(setup.complete({"teacher": "dampened"}))
    assert [cost[1:] for cost in costs[:2]] == [(epochs, 0), (epochs, 0)]
    assert costs[0][0] != costs[1][0]


def test_a_taught_network_comes_nearer_to_its_teacher(objective: TaskObjective) -> None:
    half = {"sparsity": {"channel": {"amount": 0.5}}, "training": {"epochs": 6}}
    images = torch.cat([batch[0] for batch in objective.setup.loaders("all")["train"]])

    def distance(recipe: dict[str, Any], said: Tensor) -> float:
        network = taught_chain(objective, recipe).run().model
        with torch.no_grad():
            return float(F.kl_div(torch.log_softmax(network(images), 1), torch.softmax(said, 1), reduction="batchmean"))

    chain = taught_chain(objective, {**half, **ENSEMBLE})
    chain.run()
    said = teacher_of(chain)((images, None))
    plain = distance(half, said)
    for name in ("kd", "ttm", "squared_error"):
        assert distance({**half, "teacher": {name: {"of": "ensemble", "members": 3, "weight": 1.0}}}, said) < plain


class NumbersTask(TinyTask):
    """What the digits sum to: a regression."""

    quality = "loss"
    chance = 1.0

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 1))

    def loaders(self, fold: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(200, 64, generator=generator)
        for name, loader in split_loaders(x.numpy(), [i % 2 for i in range(200)]).items():
            rows = loader.rows.indices
            made[name] = [(x[part], x[part].mean(1, keepdim=True)) for part in rows.chunk(4)]
        return made

    def loss(self, output: Any, batch: Any) -> Tensor:
        return F.mse_loss(output, batch[-1])

    def metrics(self, outputs: list[Any], batches: list[Any]) -> dict[str, float]:
        return {"loss": sum(float(self.loss(o, b)) for o, b in zip(outputs, batches, strict=True)) / len(outputs)}


def test_numbers_are_learned_by_squared_error_and_by_nothing_else(objective: TaskObjective) -> None:
    options = TrialOptions(objective.options.store)
    numbers = TaskObjective(TaskRef(NumbersTask(), {}), options, latency=False)
    with pytest.raises(
        InputError,
        match="teacher: kd learns outputs that are classes; those of task 'numbers' are values; "
        "allowed: none, squared_error",
    ):
        numbers.costs(numbers.setup.complete({"teacher": "kd"}))
    metrics, trial = evaluate(numbers, {"teacher": {"squared_error": {"of": "ensemble", "members": 2}}})
    assert metrics["loss"] < 1.0
    assert trial.info.epochs_run == trial.info.epochs_requested  # batches of a list have no table: asked live


def test_an_ensemble_of_a_network_that_the_task_brings_is_refused(objective: TaskObjective) -> None:
    class GivenTask(TinyTask):
        def pretrained(self) -> dict[str, Tensor]:
            return dict(Setup(TinyTask(), objective.options).fresh_model(3).state_dict())

    given = TaskObjective(TaskRef(GivenTask(), {}), objective.options, latency=False)
    with pytest.raises(InputError, match="brings its network trained, of which there is one; allowed: a method"):
        given.costs(given.setup.complete(ENSEMBLE))
    recipe = {"teacher": {"kd": {"of": "dense"}}, "training": {"epochs": 1}}
    chain = given.chain(given.setup.complete(recipe), seed=5, fold="all")
    chain.run()
    images, labels = next(iter(given.setup.loaders("all")["train"]))
    weights = given.setup.given_weights
    assert weights is not None
    network = given.setup.fresh_model(0)
    network.load_state_dict(dict(weights))
    with torch.no_grad():
        torch.testing.assert_close(teacher_of(chain)((images, labels)), network.eval()(images), rtol=1e-4, atol=1e-5)


def test_without_a_store_a_teacher_says_the_same(objective: TaskObjective) -> None:
    alone = TaskObjective(objective.ref, replace(objective.options, cache=False), latency=False)
    images, labels = next(iter(objective.setup.loaders("all")["train"]))
    said = []
    for one in (objective, alone):
        teacher = teacher_of(taught_chain(one, ENSEMBLE))
        teacher.prepare()
        said.append(teacher((images, labels)))
    assert torch.equal(*said)
