"""The networks of the built-in tasks: small, with batch norm or layer norm, made of residual blocks.

Every block is a child of a `Sequential`, so that block dropping finds it; a shortcut that changes
the shape is a convolution, never padding or slicing, so that channels can be removed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvBlock(nn.Module):
    """relu(x + branch(x)), the branch two 3×3 convolutions with batch norm (He et al. 2016, "basic block").

    The shortcut is the identity where shape allows, so that the block can be dropped; otherwise a
    1×1 convolution with batch norm.

    Args:
        inputs: input channels.
        outputs: output channels.
        stride: of the first convolution, 1 or 2.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, height, width] to [batch, outputs, height / stride, width / stride]."""
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        activated: Tensor = self.relu(out + self.shortcut(x))
        return activated


class ConvNet(nn.Module):
    """Stem, stages of `ConvBlock`s, global average pooling, classifier.

    Args:
        classes: number of classes.
        widths: channels of each stage; each stage after the first halves height and width.
        blocks: blocks per stage, >= 1; the first of a stage changes the shape (but for the first stage's).
        halvings: how often the stem halves height and width: 0, 1 (stride) or 2 (stride and pooling).
    """

    def __init__(self, classes: int, widths: Sequence[int], blocks: Sequence[int], halvings: int = 0) -> None:
        super().__init__()
        first = nn.Conv2d(1, widths[0], 3, 2 if halvings else 1, 1, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(widths[0]), nn.ReLU())
        if halvings > 1:
            self.stem.append(nn.MaxPool2d(2))
        layers: list[nn.Module] = []
        channels = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for index in range(count):
                layers.append(ConvBlock(channels, width, 2 if stage and not index else 1))
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, height, width] to logits [batch, classes]."""
        logits: Tensor = self.head(self.flatten(self.pool(self.blocks(self.stem(x)))))
        return logits


class MLPBlock(nn.Module):
    """x + branch(x), the branch batch norm, linear, relu, linear.

    Args:
        width: features in and out.
        hidden: features between.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.linear1 = nn.Linear(width, hidden)
        self.relu = nn.ReLU()
        self.linear2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, width] to the same."""
        out: Tensor = x + self.linear2(self.relu(self.linear1(self.norm(x))))
        return out


class MLP(nn.Module):
    """A linear stem, residual blocks, batch norm and a classifier, for tables."""

    def __init__(self, features: int, classes: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Linear(features, width)
        self.blocks = nn.Sequential(*(MLPBlock(width, width) for _ in range(blocks)))
        self.norm = nn.BatchNorm1d(width)
        self.relu = nn.ReLU()
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, features] to logits [batch, classes]."""
        logits: Tensor = self.head(self.relu(self.norm(self.blocks(self.stem(x)))))
        return logits


class Attention(nn.Module):
    """Causal self-attention with separate projections, so that each is a weighted layer of its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, length, width] to the same."""
        batch, length, _ = x.shape
        q, k, v = (
            layer(x).view(batch, length, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, -1))
        return out


class AttentionBlock(nn.Module):
    """x + attention(norm(x)): the first half of a pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, length, width] to the same."""
        out: Tensor = x + self.attention(self.norm(x))
        return out


class FeedForwardBlock(nn.Module):
    """x + mlp(norm(x)): the second half of a pre-norm transformer layer, hidden width four times its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.shrink = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, length, width] to the same."""
        out: Tensor = x + self.shrink(self.gelu(self.expand(self.norm(x))))
        return out


class CharTransformer(nn.Module):
    """A small causal pre-norm transformer over characters; attention and feed-forward are blocks of their own.

    Args:
        vocabulary: number of different characters.
        context: longest input, in characters.
        width: features per position, a multiple of `heads`.
        layers: pairs of an attention block and a feed-forward block.
        heads: attention heads.
    """

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.register_buffer("places", torch.arange(context), persistent=False)
        self.places: Tensor
        pairs = [block for _ in range(layers) for block in (AttentionBlock(width, heads), FeedForwardBlock(width))]
        self.blocks = nn.Sequential(*pairs)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.2)

    def forward(self, ids: Tensor) -> Tensor:
        """Characters [batch, length], int64, to logits [batch, length, vocabulary]."""
        x = self.token(ids) + self.position(self.places[: ids.shape[1]])
        logits: Tensor = self.head(self.norm(self.blocks(x)))
        return logits
