"""Which weights stay: exact counts, ties by place, coupled channels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.methods import create
from autoreg.methods.sparsity.allocations import LayerShape
from autoreg.methods.sparsity.structures import group_scores, nm_mask, top_mask
from autoreg.methods.sparsity.structures.picking import partial_mask

SHAPES = st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple)


@settings(deadline=None)
@given(SHAPES, st.booleans(), st.integers(0, 2**31), st.data())
def test_top_mask_keeps_exactly_the_number_and_nothing_lower_than_what_goes(
    shape: tuple[int, ...], rows: bool, seed: int, data: st.DataObject
) -> None:
    scores = torch.randint(4, shape, generator=torch.Generator().manual_seed(seed)).float()  # many ties
    retained = data.draw(st.integers(0, scores.numel()))
    mask = top_mask(scores, retained, rows=rows)
    assert mask.shape == scores.shape
    assert int(mask.sum()) == retained
    assert torch.equal(mask, top_mask(scores, retained, rows=rows))
    for row_scores, row in zip(scores.flatten(1), mask.flatten(1), strict=True) if rows else [(scores, mask)]:
        if bool(row.any()) and not bool(row.all()):
            assert float(row_scores[row].min()) >= float(row_scores[~row].max())
    if rows:
        per_row = mask.flatten(1).sum(1)
        assert int(per_row.max()) - int(per_row.min()) <= 1


def test_ties_keep_what_comes_first() -> None:
    assert top_mask(torch.ones(5), 2).tolist() == [True, True, False, False, False]
    assert nm_mask(torch.ones(1, 8), 2, 4).tolist() == [[True, True, False, False] * 2]


def test_rows_that_cannot_be_served_alike_give_the_rest_to_the_highest_next_scores() -> None:
    """5 of 9: each row keeps one, and the two rows with the best second keep it, too."""
    scores = torch.tensor([[9.0, 1.0, 0.0], [8.0, 7.0, 0.0], [6.0, 5.0, 4.0]])
    assert top_mask(scores, 5, rows=True).tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, False],
    ]


def test_top_mask_refuses_impossible_counts_and_nan() -> None:
    with pytest.raises(InputError, match="5 weights to keep; allowed: 0 to 4"):
        top_mask(torch.zeros(2, 2), 5)
    with pytest.raises(InputError, match="NaN"):
        top_mask(torch.tensor([1.0, float("nan")]), 1)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (4, 8), (1, 4)])
@pytest.mark.parametrize("shape", [(6, 16), (4, 8, 3, 3), (3, 8, 1)])
def test_nm_mask_keeps_the_n_highest_of_every_m(n: int, m: int, shape: tuple[int, ...]) -> None:
    scores = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    mask = nm_mask(scores, n, m).reshape(-1, m)
    assert bool((mask.sum(1) == n).all())
    grouped = scores.reshape(-1, m)
    assert bool((grouped.masked_fill(~mask, 9.0).amin(1) >= grouped.masked_fill(mask, -9.0).amax(1)).all())


def test_nm_groups_run_along_inputs_and_kernel_of_one_output() -> None:
    """With 4 inputs and a 1×1 kernel a group is one output's four inputs."""
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]]).reshape(2, 4, 1, 1)
    assert nm_mask(scores, 2, 4).reshape(2, 4).tolist() == [[False, False, True, True], [True, True, False, False]]


@pytest.mark.parametrize("shape", [(4, 6), (4, 1, 3, 3), (8,)])
def test_nm_refuses_what_is_not_divisible(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="2:4: shape"):
        nm_mask(torch.zeros(shape), 2, 4)


def test_layers_whose_rows_no_pattern_divides_stay_dense() -> None:
    shapes = {"stem": (16, 1, 3, 3), "conv": (16, 16, 3, 3), "half": (4, 4), "head": (10, 32)}
    layers = [LayerShape(name, shape) for name, shape in shapes.items()]
    assert create("structure", "2:4").retained(layers) == {"conv": 16 * 16 * 9 // 2, "half": 8, "head": 160}
    assert create("structure", "4:8").retained(layers) == {"conv": 16 * 16 * 9 // 2, "head": 160}


def test_partial_masks_grow_from_the_final_one_by_score() -> None:
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    pattern = create("structure", "2:4")
    assert pattern.mask(scores).tolist() == [[True, True, False, False]]
    assert pattern.mask(scores, 3).tolist() == [[True, True, True, False]]
    assert pattern.mask(scores, 4).all()
    with pytest.raises(InputError, match="1 weights to keep; allowed: 2 to 4"):
        pattern.mask(scores, 1)


def test_partial_masks_are_nested_and_exact_when_scores_tie() -> None:
    final, scores = nm_mask(torch.zeros(4, 8), 2, 4), torch.zeros(4, 8)
    before = final
    for retained in range(16, 33):
        mask = partial_mask(final, scores, retained)
        assert int(mask.sum()) == retained
        assert bool((mask | ~before).all())
        before = mask


@pytest.mark.parametrize(("criterion", "rows"), [("magnitude", [0, 2]), ("wanda", [1, 1])])
def test_weights_compete_in_rows_or_in_the_layer_as_the_criterion_says(criterion: str, rows: list[int]) -> None:
    structure = create("structure", "weight", {"criterion": criterion})
    scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert structure.mask(scores, 2).sum(1).tolist() == rows
    assert structure.mask(scores.reshape(2, 2, 1, 1), 2).flatten(1).sum(1).tolist() == [
        0,
        2,
    ]  # a convolution: the layer


def test_group_scores_are_means_over_all_weights_that_go_with_the_channel() -> None:
    conv = torch.arange(1.0, 9.0).reshape(2, 1, 2, 2)  # channel 0: 1..4, channel 1: 5..8
    following = torch.tensor([10.0, 20.0]).reshape(1, 2, 1, 1).expand(3, 2, 1, 1)
    found = group_scores({"conv": conv, "next": following}, [("conv", 0), ("norm", 0), ("next", 1)], 2)
    assert found.tolist() == pytest.approx([(10 + 30) / 7, (26 + 60) / 7])


def test_group_scores_follow_channels_through_a_flattening_and_named_dimensions() -> None:
    """A linear layer behind a flattening holds each channel's pixels side by side."""
    head = torch.tensor([[1.0, 3.0, 10.0, 30.0]])
    assert group_scores({"head": head}, [("head", "in")], 2).tolist() == [2.0, 20.0]
    assert group_scores({"up": head.T}, [("up", "in")], 2, transposed=["up"]).tolist() == [2.0, 20.0]
    assert group_scores({"up": head}, [("up", "out")], 2, transposed=["up"]).tolist() == [2.0, 20.0]


def test_group_scores_follow_channels_through_a_concatenation() -> None:
    """Three channels before ours fill places 0 to 2."""
    weight = torch.tensor([[9.0, 9.0, 9.0, 1.0, 2.0]])
    assert group_scores({"c": weight}, [("c", 1)], 2, spans=[(3, 1)]).tolist() == [1.0, 2.0]


def test_group_scores_refuse_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="'c' has 5 places in dimension 1; 2 channels of 2 from 0 do not fit"):
        group_scores({"c": torch.ones(1, 5)}, [("c", 1)], 2)
    with pytest.raises(InputError, match="no scores for any of a, b"):
        group_scores({}, [("a", 0), ("b", 1)], 2)
    with pytest.raises(InputError, match="dimension 'width'"):
        group_scores({"a": torch.ones(2, 2)}, [("a", "width")], 2)


def test_channel_keeps_multiples() -> None:
    assert create("structure", "channel", {"round_to": 8}).retained_channels(64, 0.4) == 40
