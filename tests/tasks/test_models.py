"""The networks: shapes, blocks that can go, and training that works."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoreg.tasks.models import MLP, AttentionBlock, CharTransformer, ConvBlock, ConvNet, FeedForwardBlock, MLPBlock


@pytest.mark.parametrize(("halvings", "size"), [(0, 8), (1, 4), (2, 2)])
def test_the_stem_halves_the_picture_as_often_as_asked_for(halvings: int, size: int) -> None:
    model = ConvNet(5, (4, 6), (1, 2), halvings=halvings).eval()
    x = torch.randn(2, 1, 8, 8)
    assert model.stem(x).shape == (2, 4, size, size)
    assert model(x).shape == (2, 5)


def test_a_block_that_keeps_its_shape_has_an_identity_shortcut_and_can_be_dropped() -> None:
    model = ConvNet(3, (4, 8), (2, 2)).eval()
    identity = [isinstance(block.shortcut, nn.Identity) for block in model.blocks]
    assert identity == [True, True, False, True]
    for index in (0, 1, 3):
        smaller = ConvNet(3, (4, 8), (2, 2)).eval()
        smaller.blocks[index] = nn.Identity()
        assert smaller(torch.randn(2, 1, 8, 8)).shape == (2, 3)


def test_a_residual_block_whose_branch_is_silent_passes_its_input() -> None:
    x = torch.randn(3, 4, 5, 5).abs()
    conv = ConvBlock(4, 4).eval()
    nn.init.zeros_(conv.norm2.weight)
    assert torch.allclose(conv(x), x)
    table = MLPBlock(6, 5).eval()
    nn.init.zeros_(table.linear2.weight)
    nn.init.zeros_(table.linear2.bias)
    row = torch.randn(3, 6)
    assert torch.equal(table(row), row)
    text = torch.randn(2, 7, 8)
    for block, last in ((a := AttentionBlock(8, 2), a.attention.proj), (f := FeedForwardBlock(8), f.shrink)):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        assert torch.equal(block(text), text)


def test_the_transformer_takes_any_length_up_to_its_context() -> None:
    model = CharTransformer(11, 6, 8, 2, 2)
    assert model(torch.zeros(3, 4, dtype=torch.long)).shape == (3, 4, 11)
    assert len(model.blocks) == 4
    assert "places" not in model.state_dict()


def test_attention_is_the_softmax_of_products_of_queries_and_keys() -> None:
    attention = AttentionBlock(4, 2).attention.double()
    x = torch.randn(1, 3, 4, dtype=torch.double)
    q, k, v = (layer(x)[0].reshape(3, 2, 2) for layer in (attention.query, attention.key, attention.value))
    mixed = torch.zeros(3, 2, 2, dtype=torch.double)
    for head in range(2):
        for place in range(3):
            scores = q[place, head] @ k[: place + 1, head].T / 2**0.5
            mixed[place, head] = scores.softmax(dim=0) @ v[: place + 1, head]
    assert torch.allclose(attention(x)[0], attention.proj(mixed.reshape(3, 4)))


def test_the_mlp_works_without_blocks() -> None:
    assert MLP(5, 3, 8, 0)(torch.randn(4, 5)).shape == (4, 3)


def test_digits_are_learned_in_a_few_epochs() -> None:
    """The default digits task is more than 90 % right on validation after eight epochs of decaying steps."""
    from autoreg.tasks import load_task, seed_loaders
    from autoreg.tasks.fingerprint import initial_model

    task = load_task("digits")
    model, loaders = initial_model(task), task.loaders("all")
    seed_loaders(loaders, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(8):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / 8)
        for batch in loaders["train"]:
            optimizer.zero_grad()
            task.loss(model(batch[0]), batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()
    with torch.no_grad():
        batches = list(loaders["validation"])
        assert task.metrics([model(x) for x, _ in batches], batches)["error"] < 0.1
