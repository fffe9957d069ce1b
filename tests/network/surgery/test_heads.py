"""Attention heads leave for real: found, removed, counted; whatever the attention module looks like."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after, predict
from autoreg.errors import InputError
from autoreg.methods.sparsity.structures import group_scores
from autoreg.methods.sparsity.structures.channel import Channel
from autoreg.network.conv1d import conv1d_as_linear
from autoreg.network.profile import Profile, profile
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.apply import apply_structure, channel_groups, drop_blocks, find_blocks, remove_channels
from autoreg.tasks.models import CharTransformer
from tests.network.nets import Attention, HeadAttention, HeadTransformer, SharedAttention


def char() -> tuple[nn.Module, Any]:
    """The shipped language model, small: 4 heads of 6 features."""
    return CharTransformer(11, 16, 24, 2, 4), torch.randint(0, 11, (2, 9))


def gpt2(attention: str = "sdpa") -> tuple[nn.Module, Any]:
    """GPT-2 of transformers, its Conv1D turned into linear layers: fused projections, a cache that it hands on."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {"vocab_size": 50, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 4}
    sizes["attn_implementation"] = attention
    config = GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)
    return conv1d_as_linear(GPT2LMHeadModel(config)), {"input_ids": torch.randint(0, 50, (2, 7))}


def bert(attention: str = "sdpa") -> tuple[nn.Module, Any]:
    """BERT of transformers: post-norm, separate projections, called with a mask."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes: dict[str, Any] = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes["attn_implementation"] = attention
    config = BertConfig(**sizes, intermediate_size=24)
    example = {"input_ids": torch.randint(0, 50, (2, 7)), "attention_mask": torch.ones(2, 7, dtype=torch.int64)}
    return BertForSequenceClassification(config), example


def vit() -> tuple[nn.Module, Any]:
    """ViT of transformers."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=16, patch_size=4
    )
    return ViTForImageClassification(config), {"pixel_values": torch.randn(2, 3, 16, 16)}


def llama() -> tuple[nn.Module, Any]:
    """Llama of transformers: rotary embeddings, 4 heads of queries on 2 of keys and values."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32, use_cache=False, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config), {"input_ids": torch.randint(0, 50, (2, 7))}


MODELS: dict[str, tuple[Callable[[], tuple[nn.Module, Any]], int]] = {  # with the heads of each of its attentions
    "char": (char, 4),
    "gpt2": (gpt2, 4),
    "gpt2 eager": (lambda: gpt2("eager"), 4),
    "bert": (bert, 4),
    "bert eager": (lambda: bert("eager"), 4),
    "vit": (vit, 4),
    "llama": (llama, 2),
}


@functools.cache
def built(name: str) -> tuple[nn.Module, Any, Profile]:
    """A seeded model in double precision, with its profile."""
    torch.manual_seed(1)
    model, example = MODELS[name][0]()
    for value in model.parameters():
        nn.init.normal_(value, std=0.4)
    model = model.double().eval()
    if isinstance(example, dict) and "pixel_values" in example:
        example = {"pixel_values": example["pixel_values"].double()}
    return model, example, profile(model, example)


def run(model: nn.Module, example: Any) -> Tensor:
    """Logits."""
    with torch.no_grad():
        found = model(**example) if isinstance(example, dict) else model(example)
    logits: Tensor = found if isinstance(found, Tensor) else found.logits
    return logits


def silence(model: nn.Module, groups: tuple[ChannelGroup, ...], removed: dict[str, list[int]]) -> None:
    """Make the readers of heads and hidden features blind to those that go: columns of linear layers at zero."""
    for group in groups:
        gone = torch.tensor(removed.get(group.id, []), dtype=torch.int64)
        for name in group.consumed if len(gone) else ():
            weight = model.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            weight.detach().view(len(weight), group.size, -1)[:, gone] = 0.0


def pick(found: Profile, draw: random.Random, dropped: tuple[str, ...] = ()) -> dict[str, list[int]]:
    """Random channels and heads to remove."""
    return {
        group.id: sorted(draw.sample(range(group.size), draw.randrange(group.size)))
        for group in groups_after(found, dropped)
        if group.removable and draw.random() < 0.8
    }


@pytest.mark.parametrize("name", MODELS)
def test_heads_of_every_layer_are_found(name: str) -> None:
    """As many as the configuration says, beside the hidden features of the feed-forward layers."""
    groups = [group for group in built(name)[2].channel_groups if group.heads]
    assert [(group.size, group.removable) for group in groups] == [(MODELS[name][1], True)] * 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_small_model_equals_the_silenced_one(name: str, seed: int) -> None:
    """Random heads and hidden features gone, with and without a dropped layer: equal far below 1e-5."""
    model, example, found = built(name)
    draw = random.Random(seed)
    dropped = tuple(block.name for block in found.blocks[:1] if seed == 2)
    removed = pick(found, draw, dropped)
    masked, small = copy.deepcopy(model), copy.deepcopy(model)
    drop_blocks(masked, dropped, example)
    silence(masked, channel_groups(masked, example), removed)
    apply_structure(small, example, dropped, removed)
    expected = run(masked, example)
    assert not torch.allclose(expected, run(model, example), atol=1e-2)
    assert torch.allclose(run(small, example), expected, rtol=0, atol=1e-9 * max(1.0, float(expected.abs().max())))


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(["char", "char", "gpt2", "bert", "llama"]), seed=st.integers(0, 2**31))
def test_predicted_costs_equal_counted_costs(name: str, seed: int) -> None:
    """Blocks dropped, heads and channels removed, bits at random: totals and layers agree to the integer."""
    model, example, found = built(name)
    draw = random.Random(seed)
    dropped = tuple(block.name for block in found.blocks if draw.random() < 0.3)
    removed = pick(found, draw, dropped)
    small = copy.deepcopy(model)
    apply_structure(small, example, dropped, removed)
    sizes = {group.id: group.size for group in groups_after(found, dropped)}
    names = [layer.name for layer in found.layers]
    levels = Levels(
        dropped=dropped,
        channels={group: sizes[group] - len(gone) for group, gone in removed.items()},
        weight_bits={layer: draw.choice([4, 8, 32]) for layer in names if draw.random() < 0.7},
        granularity=draw.choice(["tensor", "channel"]),
        symmetric=draw.random() < 0.5,
    )
    predicted, counted = predict(found, levels), count(small, example, None, levels)
    assert predicted.totals() == counted.totals()
    assert [layer for layer in predicted.per_layer if not layer.dropped] == list(counted.per_layer)


def test_costs_of_heads_by_hand() -> None:
    """One of 4 heads of 6 features gone from one attention over 9 characters: three rows, one column, two products."""
    _, _, found = built("char")
    dense, small = predict(found), predict(found, Levels(channels={"blocks.0.attention.query": 3}))
    weights = 4 * 6 * 24
    assert dense.weights - small.weights == weights
    assert dense.flops - small.flops == 2 * (weights * 9 + 2 * 9 * 9 * 6)
    assert dense.params - small.params == weights + 3 * 6


def test_attributes_follow_the_heads() -> None:
    """Numbers of heads and widths of all heads go down, the width of one and that of the model do not."""
    model, example, _ = built("gpt2")
    small = copy.deepcopy(model)
    remove_channels(small, example, {"transformer.h.1.attn.c_attn": [0, 3]})
    attention: Any = small.get_submodule("transformer.h.1.attn")
    assert (attention.num_heads, attention.split_size, attention.head_dim, attention.embed_dim) == (2, 8, 4, 16)
    assert attention.c_attn.weight.shape == (24, 16)
    model, example, _ = built("bert")
    small = copy.deepcopy(model)
    remove_channels(small, example, {"bert.encoder.layer.0.attention.self.query": [1]})
    inner: Any = small.get_submodule("bert.encoder.layer.0.attention.self")
    assert (inner.num_attention_heads, inner.all_head_size, inner.attention_head_size) == (3, 12, 4)


def test_removing_heads_step_by_step_is_removing_them_at_once() -> None:
    """Down to the last head, which stays one group of one head and cannot go."""
    model, example, _ = built("char")
    one, two = copy.deepcopy(model), copy.deepcopy(model)
    name = "blocks.2.attention.query"
    remove_channels(one, example, {name: [0, 1, 3]})
    remove_channels(two, example, {name: [1]})
    remove_channels(two, example, {name: [0, 2]})
    assert torch.equal(run(one, example), run(two, example))
    last = next(group for group in channel_groups(one, example) if group.id == name)
    assert (last.size, last.removable, last.reason) == (1, False, "there is only one attention head")
    with pytest.raises(InputError, match="all 1 channels; at least one must stay"):
        remove_channels(one, example, {name: [0]})


def test_layouts_of_fused_and_shared_projections() -> None:
    """Side by side per head, one after the other, and keys and values that heads share."""
    torch.manual_seed(0)
    groups = {group.id: group for group in channel_groups(HeadTransformer(), torch.randn(2, 7, 5))}
    fused, together, shared = (groups[f"blocks.{name}"] for name in ("0.branch.qkv", "2.branch.qkv", "3.branch.q"))
    assert fused.spans == ((0, 3), (12, 3), (24, 3), (0, 3))
    assert together.spans == ((0, 12), (0, 4))
    assert dict(zip([name for name, _ in shared.members], shared.spans, strict=True)) == {
        "blocks.3.branch.q": (0, 8),
        "blocks.3.branch.k": (0, 4),
        "blocks.3.branch.v": (0, 4),
        "blocks.3.branch.proj": (0, 8),
    }
    assert [group.width for group in (fused, together, shared)] == [3, 4, 8]
    assert ("blocks.3.branch", "num_heads", 2) in shared.attributes


def test_score_of_a_head_is_the_mean_of_all_its_weights() -> None:
    """Rows of queries, keys and values wherever they lie, and columns of the output projection."""
    attention = HeadAttention(12, 4)
    group = channel_groups(attention, torch.randn(1, 5, 12))[0]
    scores = {name: module.get_parameter("weight").detach().abs() for name, module in attention.named_children()}
    found = group_scores(scores, group.members, group.size, spans=group.spans)
    rows = scores["qkv"].view(3, 4, 3 * 12).transpose(0, 1).reshape(4, -1)
    columns = scores["proj"].view(12, 4, 3).transpose(0, 1).reshape(4, -1)
    assert torch.allclose(found, torch.cat([rows, columns], 1).double().mean(1))


@pytest.mark.parametrize(
    ("heads", "amount", "width", "retained"),
    [(8, 0.4, 16, 5), (8, 0.4, 6, 4), (4, 0.3, 32, 3), (4, 0.9, 3, 4), (2, 0.5, 8, 1)],
)
def test_features_of_heads_are_rounded_not_heads(heads: int, amount: float, width: int, retained: int) -> None:
    """With multiples of 4: three of four heads of 32 features may stay; heads of 6 go in pairs."""
    assert Channel(round_to=4).retained_channels(heads, amount, width) == retained


class NormedHeads(HeadAttention):
    """Normalizes over all heads before the output projection."""

    def __init__(self) -> None:
        super().__init__(12, 4)
        self.proj = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 12))  # type: ignore[assignment]


class BiasedHeads(nn.Module):
    """A bias per head, in a parameter of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.q, self.k, self.v, self.proj = (nn.Linear(8, 8) for _ in range(4))
        self.table = nn.Parameter(torch.zeros(2, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(1, 5, self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.table)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(1, 5, -1))
        return out


@pytest.mark.parametrize(
    ("model", "group", "reason"),
    [
        (Attention(8), "qkv", "attention heads.*: no attribute of 'Attention' says how many heads there are"),
        (NormedHeads(), "qkv", r"'proj.0' \(LayerNorm\) normalizes over all heads"),
        (BiasedHeads(), "q", "attention heads cannot be removed one by one: the model does not run without some"),
    ],
)
def test_heads_that_cannot_go_are_named_with_the_reason(model: nn.Module, group: str, reason: str) -> None:
    """Reported, and refused when asked for."""
    width = 12 if isinstance(model, NormedHeads) else 8
    with pytest.raises(InputError, match=f"group {group!r} cannot be removed: .*{reason}"):
        remove_channels(model, torch.randn(1, 5, width), {group: [0]})


@pytest.mark.parametrize(
    ("name", "layers"),
    [("gpt2", "transformer.h"), ("bert", "bert.encoder.layer"), ("vit", "vit.layers"), ("llama", "model.layers")],
)
def test_layers_of_transformers_are_dropped_as_if_never_built(name: str, layers: str) -> None:
    """Called with masks, caches and flags by name: equal to the model without that layer."""
    model, example, _ = built(name)
    assert find_blocks(model, example) == (f"{layers}.0", f"{layers}.1")
    shorter, dropped = copy.deepcopy(model), copy.deepcopy(model)
    stack: Any = shorter.get_submodule(layers)
    del stack[1]
    if hasattr(shorter.config, "num_hidden_layers"):
        shorter.config.num_hidden_layers = 1
    drop_blocks(dropped, [f"{layers}.1"], example)
    assert torch.equal(run(dropped, example), run(shorter, example))


def test_shared_keys_and_values_leave_with_all_their_heads() -> None:
    """Two of six heads of queries with the one head of keys that they share."""
    attention = SharedAttention(12, 6, 3, 4)
    remove_channels(attention, torch.randn(1, 5, 12), {"q": [1]})
    assert (attention.num_heads, attention.num_key_value_heads) == (4, 2)
    assert [tuple(layer.weight.shape) for layer in (attention.q, attention.k, attention.proj)] == [
        (16, 12),
        (8, 12),
        (12, 16),
    ]
