"""Torch's own attention reads the weight of its last layer without calling it: that layer's input has no quantizer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import deployable
from autoreg.artifacts.onnx.file import OnnxModule
from autoreg.artifacts.skeleton import write_skeleton
from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.engine.log.trial import Trial
from autoreg.methods import registry
from autoreg.methods.bound import bind
from autoreg.methods.quantization.attach import activation_quantizers
from autoreg.tasks import Task
from autoreg.tasks.splits import split_loaders
from autoreg.trial.compress import quantize
from autoreg.trial.model_state import pack, unpack
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef

READ = "encoder.self_attn.out_proj"


class Net(nn.Module):
    """One encoder layer of torch and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(x).mean(1))
        return out


class AttentionTask(Task):
    """Which of four numbers is the largest."""

    training: ClassVar[dict[str, Any]] = {"epochs": 1, "finetune_epochs": 1, "qat_epochs": 1, "lr": 0.05}

    def build_model(self) -> nn.Module:
        return Net()

    def loaders(self, fold: str) -> dict[str, Any]:
        x = torch.randn(120, 5, 16, generator=torch.Generator().manual_seed(0))
        return dict(split_loaders(x.numpy(), x.reshape(120, -1)[:, :4].argmax(1).numpy()))


@pytest.fixture
def objective(tmp_path: Path) -> TaskObjective:
    """The task as an objective, with a store of its own."""
    return TaskObjective(TaskRef(AttentionTask(), {}), TrialOptions(str(tmp_path / "store")), latency=False)


@pytest.mark.filterwarnings("ignore:costs:UserWarning")
@pytest.mark.parametrize("quantizer", registry().methods["quantizer"])
def test_eight_bits_everywhere_cost_what_was_predicted(quantizer: str, objective: TaskObjective) -> None:
    """No remark, the artifact holds what the levels say, and the store gives the same model back."""
    setup = objective.setup
    recipe = {"quantizer": quantizer, "weights": {"bits": 8}, "activations": {"bits": 8}}
    config = setup.complete({"quantization": recipe})
    trial = Trial(seed=0)
    metrics = objective(config, trial)
    assert trial.info.notes == []
    outcome = objective.chain(config, seed=0, fold=setup.task.folds[0]).run()
    predicted, counted = predict(setup.profile, outcome.levels), objective.count(outcome)
    assert metrics["bops"] == predicted.bops == counted.bops
    assert {layer.name for layer in setup.profile.layers if not layer.called} == {READ}
    assert {layer.name: layer.activation_bits for layer in counted.per_layer}[READ] == 32
    codes = deployable(outcome.model).codes
    assert {name for name, code in codes.items() if code.weight is not None} == setup.profile.names
    assert {name for name, code in codes.items() if code.input is not None} == setup.profile.names - {READ}


def test_a_layer_that_calibration_does_not_reach_stays_in_floating_point(objective: TaskObjective) -> None:
    """Even when levels name it: the record says so, and can be built again."""
    setup = objective.setup
    config = setup.complete({"quantization": {"weights": {"bits": 8}, "activations": {"bits": 8}}})
    bits = dict.fromkeys(setup.profile.names, 8)
    fold = setup.task.folds[0]
    state = objective.chain(config, seed=0, fold=fold).trained()
    levels = Levels(weight_bits=bits, activation_bits=bits)
    state = quantize(state, bind(config).quantization, levels, setup, fold, trained=False)
    assert state.notes == (f"{READ}: its input was not seen in calibration and stays in fp32",)
    assert not any(READ in name for name in activation_quantizers(state.model))
    again = unpack(pack(state), setup)
    x = torch.randn(3, 5, 16)
    assert torch.equal(again.model.eval()(x), state.model.eval()(x))


def test_a_skeleton_is_written_without_it() -> None:
    """Levels that name the layer all the same, as the tables of latency have them."""
    model, x = Net().eval(), torch.randn(1, 5, 16)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    bits = dict.fromkeys(names, 8)
    content = write_skeleton(model, x, Levels(weight_bits=bits, activation_bits=bits))
    assert OnnxModule(content)(x).shape == (1, 4)


def test_layers_that_are_called_are_told_from_those_that_are_not() -> None:
    """By the profile of any module; an unused layer is not called, one that is called twice is."""
    from autoreg.network.profile import profile

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.idle, self.read = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(self.twice(self.twice(x)), self.read.weight)

    model, x = Odd(), torch.randn(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = profile(model, x)
        assert predict(found).totals() == count(model, x).totals()
    assert {layer.name: layer.called for layer in found.layers} == {"twice": True, "idle": False, "read": False}
