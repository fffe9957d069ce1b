"""A recipe's methods in a loop that stays the user's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import autoreg
from autoreg.errors import InputError
from autoreg.methods import Paper, create, method, uniform
from autoreg.methods.sparsity.structures.structure import Structure
from autoreg.trial.run import Run

X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def loop(recipe: dict[str, Any], epochs: int = 3, **more: Any) -> tuple[nn.Module, list[float]]:
    """Train a small network on 4 batches an epoch; returns it and the losses of the steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = autoreg.attach(model, optimizer, recipe, epochs=epochs, steps_per_epoch=4, **more)
    losses = []
    for _ in range(epochs):
        for batch in zip(torch.split(X, 16), torch.split(Y, 16), strict=True):
            x, y = run.batch(batch)

            def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
                optimizer.zero_grad()
                output = model(x)
                loss = run.loss(output, F.cross_entropy(output, y))
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                return loss

            losses.append(float(run.step(closure)))
    return run.finish(), losses


def test_an_average_takes_the_place_of_the_weights_and_leaves_the_training_alone() -> None:
    plain, losses = loop({})
    averaged, same = loop({"averaging": {"lawa": {"count": 2}}})
    assert losses == same
    shorter, _ = loop({}, epochs=2)
    for mean, last, before in zip(averaged.parameters(), plain.parameters(), shorter.parameters(), strict=True):
        torch.testing.assert_close(mean, (last + before) / 2)


def test_masks_and_quantizers_act_on_the_average() -> None:
    recipe = {"averaging": "ema", "sparsity": {"weight": {"amount": 0.5, "allocation": "uniform"}}}
    model, _ = loop({**recipe, "quantization": {"weights": {"bits": 4}}})
    for index in (0, 2):
        weight = layer_weight(model, index)
        assert float((weight == 0).float().mean()) >= 0.5
        assert all(row.unique().numel() <= 16 for row in weight)


def test_statistics_of_batch_norm_are_those_of_the_average() -> None:
    model = nn.Sequential(nn.Linear(16, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 2}
    with pytest.raises(InputError, match="an average of a network with batch norm looks at data"):
        autoreg.attach(model, optimizer, {"averaging": "ema"}, **settings)
    run = autoreg.attach(model, optimizer, {"averaging": "ema"}, calibration=[X], **settings)
    for _ in range(2):

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = run.loss(None, model(X)[:, 0].square().mean() - model(X)[:, 1].mean())
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        run.step(closure)
    run.finish()
    linear, norm = model
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, linear(X).mean(0))
    assert model.training


def layer_weight(model: nn.Module, index: int) -> torch.Tensor:
    """The weight of a layer as it computes, masks and quantizers applied."""
    layer = model.get_submodule(str(index))
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach()


def test_an_empty_recipe_is_the_plain_loop() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        for x, y in zip(torch.split(X, 16), torch.split(Y, 16), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    attached, _ = loop({})
    for a, b in zip(model.parameters(), attached.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_regularizer_adds_its_term_to_the_loss() -> None:
    _, plain = loop({}, epochs=1)
    _, penalized = loop({"regularizer": {"l1": {"strength": 1.0}}}, epochs=1)
    torch.manual_seed(0)
    weights = [nn.Linear(16, 16).weight, nn.Linear(16, 2).weight]
    mean = sum(float(w.detach().abs().sum()) for w in weights) / sum(w.numel() for w in weights)
    assert penalized[0] - plain[0] == pytest.approx(mean, abs=1e-5)


def test_several_regularizers_add_up_in_any_order() -> None:
    """The terms of both together are those of each alone; SAM's ascent leaves the first loss as it is."""
    strengths: dict[str, dict[str, float]] = {"l1": {"strength": 1.0}, "orthogonality": {"strength": 10.0}}
    _, plain = loop({}, epochs=1)
    alone = [loop({"regularizer": {name: params}}, epochs=1)[1][0] for name, params in strengths.items()]
    model, together = loop({"regularizer": {**strengths, "sam": {"rho": 0.05}}}, epochs=1)
    again, _ = loop({"regularizer": {"sam": {"rho": 0.05}, **dict(reversed(strengths.items()))}}, epochs=1)
    assert together[0] - plain[0] == pytest.approx(sum(loss - plain[0] for loss in alone), abs=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_two_methods_that_replace_the_gradient_are_refused() -> None:
    model = nn.Linear(2, 2)
    sams = [create("regularizer", "sam"), create("regularizer", "sam")]
    with pytest.raises(InputError, match="Sam and Sam both replace the gradient of a step"):
        Run(model, None, sams, epochs=1, steps_per_epoch=1, generator=torch.Generator())


def test_a_loop_learns_from_a_model_or_from_a_callable() -> None:
    """With all weight on a teacher that says one class of everything, so does the network; a model is not changed."""

    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return torch.tensor([[0.0, 6.0]]).expand(len(x), 2)

    recipe = {"teacher": {"kd": {"weight": 1.0, "temperature": 1.0}}}
    by_model, losses = loop(recipe, epochs=10, teacher=Constant().train())
    assert losses[-1] < 0.1 < losses[0]
    assert by_model(X).argmax(1).tolist() == [1] * len(X)
    _, same = loop(recipe, epochs=10, teacher=lambda batch: Constant().eval()(batch[0]))
    assert losses == same
    own, _ = loop({"teacher": "ps_kd"}, epochs=2)  # nobody need be given
    plain, _ = loop({}, epochs=2)
    assert not torch.equal(layer_weight(own, 0), layer_weight(plain, 0))


@pytest.mark.parametrize(
    ("recipe", "teacher", "message"),
    [
        ({"teacher": "kd"}, None, "the recipe says kd; allowed with it: teacher=a model, or a callable of a batch"),
        ({}, lambda batch: batch, "the recipe says none; allowed with it: no argument teacher"),
        ({"teacher": "ps_kd"}, lambda batch: batch, "the recipe says ps_kd; allowed with it: no argument teacher"),
    ],
)
def test_a_teacher_is_given_where_the_recipe_learns_from_one(recipe: Any, teacher: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"attach: teacher: {message}"):
        loop(recipe, teacher=teacher)


def test_masks_follow_the_schedule_to_their_exact_level() -> None:
    recipe = {"sparsity": {"weight": {"amount": 0.75, "schedule": {"gradual": {"start": 0.0, "end": 0.9}}}}}
    model, _ = loop(recipe)
    assert int(torch.count_nonzero(layer_weight(model, 0))) == 64
    assert int(torch.count_nonzero(layer_weight(model, 2))) == 8


def test_learned_quantizers_leave_few_values_and_zeros_stay_zero() -> None:
    recipe = {
        "sparsity": {"weight": {"amount": 0.5}},
        "quantization": {"quantizer": "lsq", "weights": {"bits": 2, "granularity": "tensor"}},
    }
    model, _ = loop(recipe)
    weight = layer_weight(model, 0)
    assert len(set(weight.flatten().tolist())) <= 4
    assert int((weight == 0).sum()) >= 128


def test_activations_are_quantized_on_calibration_batches() -> None:
    recipe = {"quantization": {"weights": {"bits": 8}, "activations": {"bits": 8}}}
    plain, _ = loop({})
    model, _ = loop(recipe, calibration=[(X, Y)])
    difference = (model.eval()(X) - plain.eval()(X)).abs().max()
    assert 0 < difference.item() < 0.1


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"sparsity": {"channel": {"amount": 0.5}}}, "channel changes the shape of the network"),
        ({"sparsity": "low_rank"}, "low_rank changes the shape of the network"),
        ({"layers": {"drop": {"last": {"count": 1}}}}, "last changes the shape of the network"),
        ({"reparam": "spectral_norm", "sparsity": {"weight": {"amount": 0.5}}}, "spectral_norm is baked before"),
        ({"layers": {"train": "norm_only"}}, "choose the trained parameters when the optimizer is made"),
        ({"sparsity": {"weight": {"criterion": "wanda", "allocation": "lamp"}}}, "criterion wanda looks at data"),
        ({"quantization": {"activations": {"bits": 8}}}, "quantization of activations looks at data"),
        ({"regularizer": {"l3": {}}}, "l1"),
    ],
)
def test_what_a_loop_cannot_do_is_refused(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(autoreg.InputError, match=message):
        loop(recipe)


@pytest.mark.usefixtures("own_methods")
def test_a_structure_without_masks_is_refused() -> None:
    """It keeps the shape, but what its own hooks do a loop of one's own does not carry out."""

    @method("rows", kind="structure", paper=Paper("Title", "Authors", 2024))
    class Rows(Structure):
        """Rows of weights."""

        amount: float = uniform(0.1, 0.9)

    with pytest.raises(autoreg.InputError, match="sparsity: rows is no structure of masks"):
        loop({"sparsity": {"rows": {"amount": 0.5}}})
