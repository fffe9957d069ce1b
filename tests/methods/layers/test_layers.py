"""Which layers are trained, which blocks are dropped."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods import create, registry
from autoreg.methods.layers.drop import angular_distance, block_distances
from autoreg.methods.layers.selectors import fisher_scores, select_parameters
from autoreg.methods.testing import cross_entropy, forward, tiny_batches, tiny_model
from autoreg.network.weights import weight_of


def chosen(name: str, model: nn.Module, **params: int) -> set[str]:
    return select_parameters(create("train", name, params), model, tiny_batches(), forward, cross_entropy)


def both(*names: str) -> set[str]:
    return {f"{name}.{part}" for name in names for part in ("weight", "bias")}


def test_selectors_name_parameters_by_hand() -> None:
    model = tiny_model()  # 0 convolution, 1 norm, 3 convolution, 6 head
    assert chosen("all", model) == both("0", "1", "3", "6")
    assert chosen("last", model, count=1) == both("6")
    assert chosen("last", model, count=2) == both("3", "6")
    assert chosen("last", model, count=9) == both("0", "1", "3", "6")
    assert chosen("norm_only", model) == both("1", "6")


def test_last_takes_the_norms_behind_its_first_layer() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    assert chosen("last", model, count=2) == both("2", "3", "4")


def test_norms_of_other_libraries_are_known_by_name_and_their_absence_is_refused() -> None:
    class RootNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2))

    model = nn.ModuleDict({"a": RootNorm(), "b": nn.Linear(2, 2)})
    assert create("train", "norm_only").select(model) == {"a.gain", "b.weight", "b.bias"}
    with pytest.raises(InputError, match="no normalization layer"):
        create("train", "norm_only").select(nn.Sequential(nn.Linear(2, 2)))


def test_fisher_scores_are_mean_squares_of_sample_gradients_not_squares_of_the_mean() -> None:
    """Two samples with opposite gradients: the mean is zero, the information is not."""
    assert fisher_scores([{"w": torch.tensor([2.0])}, {"w": torch.tensor([-2.0])}]) == {"w": 4.0}
    with pytest.raises(InputError, match="no calibration samples"):
        fisher_scores([])


def test_fisher_trains_the_layers_of_most_information_and_the_head() -> None:
    """y = c·b·a·x with squared loss: the gradients of a, b, c are e·bc·x, e·ac·x, e·ab·x; the smallest weight wins."""
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(4)))
    with torch.no_grad():
        for layer, value in zip(model, (2.0, 0.1, 0.5, 3.0), strict=True):
            weight_of(layer).fill_(value)
    batches = [(torch.tensor([[1.0], [-1.0]]), torch.tensor([[5.0], [-5.0]]))]

    def loss(output: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        return (output - batch[1]).square().mean()

    for count, wanted in ((1, {"1", "3"}), (2, {"1", "2", "3"}), (5, {"0", "1", "2", "3"})):
        found = select_parameters(create("train", "fisher", {"count": count}), model, batches, forward, loss)
        assert found == {f"{name}.weight" for name in wanted}


def test_fisher_looks_at_samples_one_by_one_up_to_the_limit_and_leaves_the_model_alone() -> None:
    model = tiny_model().train()
    sizes: list[int] = []

    def counted(m: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        sizes.append(len(batch[0]))
        return forward(m, batch)

    select_parameters(create("train", "fisher"), model, tiny_batches(), counted, cross_entropy, limit=8)
    assert sizes == [1] * 8
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(InputError, match="needs gradients"):
        create("train", "fisher").select(model)


def test_selectors_without_need_of_data_never_call_the_model() -> None:
    def never(model: nn.Module, batch: object) -> Tensor:
        raise AssertionError("the model was called")

    selectors = [create("train", name) for name in registry().methods["train"]]
    without = [selector for selector in selectors if not selector.needs]
    assert without
    for selector in without:
        assert select_parameters(selector, tiny_model(), tiny_batches(), never, cross_entropy)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.3, math.pi / 2, 2.0, math.pi])
def test_angular_distance_of_known_angles(angle: float) -> None:
    a = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    b = 5 * torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    assert float(angular_distance(a, b)) == pytest.approx(angle / math.pi, abs=1e-12)
    assert float(angular_distance(a, b)) == pytest.approx(math.acos(math.cos(angle)) / math.pi, abs=1e-7)


class Turn(nn.Module):
    """Adds a turned copy of its input, so that the direction changes by a known angle."""

    def __init__(self, angle: float) -> None:
        super().__init__()
        self.angle = angle

    def forward(self, x: Tensor) -> Tensor:
        """Turn [..., 2]."""
        turn = torch.tensor(
            [[math.cos(self.angle), -math.sin(self.angle)], [math.sin(self.angle), math.cos(self.angle)]]
        )
        return x @ turn.T


def test_block_distances_are_the_angles_between_input_and_output() -> None:
    model = nn.Sequential(Turn(0.5), Turn(0.1), Turn(1.5))
    found = block_distances(model, ["0", "1", "2"], [(torch.randn(8, 2),), (torch.randn(3, 2),)], forward)
    assert found == pytest.approx({"0": 0.5 / math.pi, "1": 0.1 / math.pi, "2": 1.5 / math.pi}, abs=1e-5)
    assert create("drop", "angular", {"count": 2}).select(["0", "1", "2"], found) == ("0", "1")


def test_block_distances_of_sequences_look_at_the_last_token() -> None:
    class LastTurned(Turn):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x[:, :-1], super().forward(x[:, -1:])], dim=1)

    found = block_distances(nn.Sequential(LastTurned(0.4)), ["0"], [(torch.randn(4, 6, 2),)], forward)
    assert found["0"] == pytest.approx(0.4 / math.pi, abs=1e-5)


def test_blocks_that_change_the_shape_or_are_not_reached_are_refused() -> None:
    with pytest.raises(InputError, match=r"block '0' turns shape \(4, 2\) into \(4, 3\)"):
        block_distances(nn.Sequential(nn.Linear(2, 3)), ["0"], [(torch.randn(4, 2),)], forward)
    with pytest.raises(InputError, match="blocks 0 were not reached"):
        block_distances(nn.Sequential(nn.Linear(2, 2)), ["0"], [], forward)


def test_droppers_by_hand() -> None:
    blocks = ["a", "b", "c", "d"]
    assert create("drop", "last", {"count": 2}).select(blocks) == ("c", "d")
    angular = create("drop", "angular", {"count": 2})
    assert angular.select(blocks, {"a": 0.2, "b": 0.1, "c": 0.4, "d": 0.1}) == ("b", "d")
    one = create("drop", "angular", {"count": 1})
    assert one.select(blocks, dict.fromkeys(blocks, 0.1)) == ("d",)  # equal: the deeper
    assert not create("drop", "last").needs
    assert angular.needs


def test_more_blocks_than_there_are_cannot_be_dropped() -> None:
    for name in ("last", "angular"):
        with pytest.raises(InputError, match="count = 2, but only 1 blocks can be dropped"):
            create("drop", name, {"count": 2}).select(["a"], {"a": 0.1})
    with pytest.raises(InputError, match="missing: b"):
        create("drop", "angular").select(["a", "b"], {"a": 0.1})
