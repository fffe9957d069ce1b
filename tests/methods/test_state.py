"""What methods see of training."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autoreg.errors import InputError
from autoreg.methods import State, weighted_layers
from autoreg.methods.sparsity.masks import attach_masks
from autoreg.methods.weights import outputs_first, raw_weight
from autoreg.network.weights import weight_of


def test_weighted_layers_are_linear_and_convolutions_in_order_without_embeddings_and_norms() -> None:
    model = nn.ModuleDict(
        {
            "e": nn.Embedding(4, 4),
            "b": nn.Linear(4, 4),
            "n": nn.LayerNorm(4),
            "c": nn.Sequential(nn.Conv1d(4, 4, 1), nn.ConvTranspose2d(4, 4, 1)),
            "a": nn.Conv3d(1, 1, 1),
        }
    )
    assert [name for name, _ in weighted_layers(model)] == ["b", "c.0", "c.1", "a"]


def test_progress_counts_steps_over_the_whole_stretch() -> None:
    state = State(model=nn.Linear(1, 1), epochs=4, steps_per_epoch=5, step=10)
    assert state.progress == 0.5
    state.step = 100
    assert state.progress == 1.0
    assert State(model=nn.Linear(1, 1), epochs=0).progress == 1.0


def test_weights_are_live_and_masked_while_the_raw_weight_is_beneath() -> None:
    model = nn.Sequential(nn.Linear(2, 1))
    nn.init.ones_(weight_of(model[0]))
    original = model[0].weight
    attach_masks(model, {"0": torch.tensor([[True, False]])})
    ((name, weight),) = State(model=model).weights()
    assert name == "0"
    assert weight.tolist() == [[1.0, 0.0]]
    assert raw_weight(model[0]) is original
    assert raw_weight(model[0]).tolist() == [[1.0, 1.0]]


def test_logits_are_found_in_tensors_objects_mappings_and_tuples() -> None:
    logits = torch.zeros(2, 3)
    for output in (logits, SimpleNamespace(logits=logits), {"logits": logits}, (logits, 1)):
        assert State(model=nn.Linear(1, 1), output=output).logits() is logits
    with pytest.raises(InputError, match="no logits in a str"):
        State(model=nn.Linear(1, 1), output="x").logits()


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_is_turned_to_outputs_first(groups: int) -> None:
    """Row o of the turned weight is what makes output o: scaling output o's weights scales row o alone."""
    layer = nn.ConvTranspose2d(4, 6, (2, 3), groups=groups, bias=False)
    turned = outputs_first(layer.weight.detach(), layer)
    assert turned.shape == (6, 4 // groups, 2, 3)
    x = torch.randn(1, 4, 1, 1)
    y = layer(x)[0]  # [6, 2, 3]: with one input pixel the output is the kernel weighted by the inputs
    by_group = x.reshape(groups, 4 // groups).repeat_interleave(6 // groups, 0)
    torch.testing.assert_close((turned * by_group[:, :, None, None]).sum(1), y)
