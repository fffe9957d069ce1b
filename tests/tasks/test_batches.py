"""Tensors, tuples and mappings as batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from autoreg.errors import InputError
from autoreg.tasks import batch_size_of, call_model, inputs_of, logits_of, targets_of, to_device
from autoreg.tasks.batches import repeat, take, tensors_of

X, Y = torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 2])


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


def test_inputs_are_first_of_a_tuple_and_the_whole_of_anything_else() -> None:
    mapping = {"input_ids": X, "labels": Y}
    assert inputs_of((X, Y)) is X
    assert inputs_of([X, Y]) is X
    assert inputs_of(X) is X
    assert inputs_of(mapping) is mapping


def test_targets_are_last_of_a_tuple_or_stand_under_a_known_key() -> None:
    assert targets_of((X, X, Y)) is Y
    assert targets_of({"input_ids": X, "labels": Y}) is Y
    assert targets_of({"x": X, "y": Y}) is Y


@pytest.mark.parametrize(("batch", "message"), [(X, "Tensor"), ({"input_ids": X}, "input_ids"), ((X,), "tuple")])
def test_a_batch_without_targets_is_refused_by_what_it_is(batch: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        targets_of(batch)


def test_to_device_keeps_containers_and_other_values() -> None:
    moved = to_device({"a": X, "b": [Y, "text"], "c": Pair(X, Y)}, "meta")
    assert moved["a"].device.type == "meta"
    assert isinstance(moved["b"], list)
    assert moved["b"][1] == "text"
    assert isinstance(moved["c"], Pair)
    assert moved["c"].y.device.type == "meta"


def test_batch_size_is_the_length_of_the_first_tensor_with_a_dimension() -> None:
    assert batch_size_of((torch.tensor(1.0), X)) == 3
    assert batch_size_of({"labels": Y}) == 3
    with pytest.raises(InputError, match="batch dimension"):
        batch_size_of("nothing")


def test_take_and_repeat_index_every_tensor() -> None:
    part = take({"a": X, "b": (Y, torch.tensor(7))}, slice(1, 3))
    assert torch.equal(part["a"], X[1:3])
    assert torch.equal(part["b"][0], Y[1:3])
    assert part["b"][1] == 7
    again = repeat((X, Y), 4)
    assert torch.equal(again[0], X[:1].expand(4, 2))
    assert again[1].tolist() == [0, 0, 0, 0]


def test_tensors_are_found_in_order() -> None:
    assert [t.shape for t in tensors_of({"a": [X, Y], "b": X})] == [X.shape, Y.shape, X.shape]


def test_models_are_called_by_position_and_by_keyword() -> None:
    class Sum(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a - b

    assert torch.equal(call_model(Sum(), (X, 2 * X)), -X)
    assert torch.equal(call_model(Sum(), {"b": X, "a": 2 * X}), X)
    assert torch.equal(call_model(torch.nn.Identity(), X), X)


def test_logits_are_found_in_every_kind_of_output() -> None:
    for output in (X, SimpleNamespace(logits=X), {"logits": X}, (X, Y)):
        assert logits_of(output) is X
    with pytest.raises(InputError, match="no logits in a str"):
        logits_of("text")
