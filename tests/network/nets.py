"""Small networks with known costs, one for each way channels can be tied together."""

# long: a catalogue of networks, each by itself short

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions; a 1×1 convolution with batch norm where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """The CIFAR ResNet of depth 6 n + 2 (He et al., 2016), with 1×1 convolutions as shortcuts."""

    def __init__(self, n: int = 3, widths: tuple[int, ...] = (16, 32, 64), classes: int = 10, inputs: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, widths[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        blocks, before = [], widths[0]
        for stage, width in enumerate(widths):
            for number in range(n):
                blocks.append(BasicBlock(before, width, 2 if stage and not number else 1))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class PaddedResNet(nn.Module):
    """One stage change by striding and padding zero channels: what torch-pruning cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.outer = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        x = F.relu(self.outer(F.relu(self.inner(x))) + short)
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class PlainCNN(nn.Module):
    """Blocks of convolution, batch norm and ReLU in a row, flattened into two linear layers."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
            )

        self.features = nn.Sequential(block(1, 6, 1), block(6, 6, 1), block(6, 9, 2), block(9, 9, 1))
        self.hidden = nn.Linear(9 * 4 * 4, 11)
        self.fc = nn.Linear(11, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(F.relu(self.hidden(self.features(x).flatten(1))))
        return out


class Separable(nn.Module):
    """Depthwise-separable convolutions, one transposed convolution, PReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(2, 8)
        self.depth1, self.point1 = conv_bn(8, 8, groups=8), conv_bn(8, 12, 1)
        self.depth2, self.point2 = conv_bn(12, 12, stride=2, groups=12), conv_bn(12, 10, 1)
        self.act = nn.PReLU(10)
        self.up = nn.ConvTranspose2d(10, 7, 2, stride=2)
        self.fc = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.point1(F.relu(self.depth1(x))))
        x = self.up(self.act(self.point2(F.relu(self.depth2(x)))))
        out: Tensor = self.fc(F.relu(x).mean((2, 3)))
        return out


class Dense(nn.Module):
    """Concatenated feature maps, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 5, 3, padding=1)
        self.one = nn.Conv2d(5, 4, 3, padding=1)
        self.two = nn.Conv2d(9, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = torch.cat([x, F.relu(self.one(x))], 1)
        x = torch.cat([x, F.relu(self.two(x))], 1)
        out: Tensor = self.fc(F.relu(self.norm(x)).mean((2, 3)))
        return out


class MLP(nn.Module):
    """Hidden blocks of equal width without a residual, so that dropping one joins the channels around it."""

    def __init__(self) -> None:
        super().__init__()
        widths = [7, 12, 12, 12, 9]
        self.blocks = nn.Sequential(
            *[nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in itertools.pairwise(widths)]
        )
        self.fc = nn.Linear(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.blocks(x))
        return out


class Attention(nn.Module):
    """Causal self-attention over 2 heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, 2, width // 2).transpose(1, 2) for part in self.qkv(x).split(width, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return out


class Transformer(nn.Module):
    """A tiny language model; `tied` shares the embedding with the head."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(13, 8), nn.Parameter(torch.randn(1, 6, 8) * 0.1)
        self.blocks = nn.ModuleList([TransformerBlock(8, 16), TransformerBlock(8, 20)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 13, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.place[:, : tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x))
        return out


class HeadAttention(nn.Module):
    """Self-attention that knows its number of heads, with one projection for queries, keys and values.

    `together` stores queries, keys and values of one head side by side.
    """

    def __init__(self, width: int, heads: int, together: bool = False) -> None:
        super().__init__()
        self.num_heads, self.inner_dim, self.together = heads, width, together
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        if self.together:
            q, k, v = self.qkv(x).view(batch, length, self.num_heads, -1).transpose(1, 2).chunk(3, -1)
        else:
            parts = self.qkv(x).split(self.inner_dim, dim=2)
            q, k, v = (part.view(batch, length, self.num_heads, -1).transpose(1, 2) for part in parts)
        mixed = F.softmax(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5, -1) @ v
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, -1))
        return out


class SharedAttention(nn.Module):
    """Grouped queries: several heads share keys and values; queries and keys are normalized within each head."""

    def __init__(self, width: int, heads: int, kv_heads: int, each: int) -> None:
        super().__init__()
        self.num_heads, self.num_key_value_heads = heads, kv_heads
        self.q, self.proj = nn.Linear(width, heads * each, bias=False), nn.Linear(heads * each, width)
        self.k, self.v = nn.Linear(width, kv_heads * each, bias=False), nn.Linear(width, kv_heads * each)
        self.q_norm, self.k_norm = nn.LayerNorm(each), nn.LayerNorm(each)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        times = self.num_heads // self.num_key_value_heads
        q = self.q_norm(self.q(x).view(batch, length, self.num_heads, -1)).transpose(1, 2)
        k = self.k_norm(self.k(x).view(batch, length, self.num_key_value_heads, -1)).transpose(1, 2)
        v = self.v(x).view(batch, length, self.num_key_value_heads, -1).transpose(1, 2)
        k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, -1))
        return out


class Residual(nn.Module):
    """x + branch(norm(x))."""

    def __init__(self, width: int, branch: nn.Module) -> None:
        super().__init__()
        self.norm, self.branch = nn.LayerNorm(width), branch

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.branch(self.norm(x))
        return out


class HeadTransformer(nn.Module):
    """Every kind of attention whose heads can go, each a block of its own, and a feed-forward block."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Linear(5, width)
        branches = [
            HeadAttention(width, 4),
            nn.Sequential(nn.Linear(width, 20), nn.GELU(), nn.Linear(20, width)),
            HeadAttention(width, 3, together=True),
            SharedAttention(width, 6, 3, 4),
        ]
        self.blocks = nn.ModuleList([Residual(width, branch) for branch in branches])
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(x.mean(1))
        return out


class InvertedResidual(nn.Module):
    """The block of MobileNetV2: 1×1 wider, depthwise, 1×1 narrower; a residual where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.conv = nn.Sequential(
            nn.Sequential(*conv_bn(inputs, hidden, 1), nn.ReLU6()),
            nn.Sequential(*conv_bn(hidden, hidden, 3, stride, hidden), nn.ReLU6()),
            *conv_bn(hidden, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class MobileNet(nn.Module):
    """A tiny MobileNetV2."""

    def __init__(self) -> None:
        super().__init__()
        settings = [(6, 6, 1, 2), (6, 8, 2, 2), (8, 8, 1, 3)]
        self.features = nn.Sequential(
            nn.Sequential(*conv_bn(1, 6), nn.ReLU6()),
            *[InvertedResidual(*setting) for setting in settings],
            nn.Sequential(*conv_bn(8, 14, 1), nn.ReLU6()),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(14, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))
        return out


class DenseLayer(nn.Module):
    """Batch norm, ReLU and convolution twice, on all feature maps so far."""

    def __init__(self, inputs: int, growth: int, wide: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, wide, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(wide), nn.Conv2d(wide, growth, 3, padding=1, bias=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.conv1(F.relu(self.norm1(torch.cat(maps, 1))))
        out: Tensor = self.conv2(F.relu(self.norm2(x)))
        return out


class DenseNet(nn.Module):
    """Two dense blocks with a transition, as in DenseNet-BC; flattened with several positions a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.first = nn.ModuleList([DenseLayer(6, 4, 8), DenseLayer(10, 4, 8)])
        self.norm, self.transition = nn.BatchNorm2d(14), nn.Conv2d(14, 7, 1, bias=False)
        self.second = nn.ModuleList([DenseLayer(7, 3, 6), DenseLayer(10, 3, 6)])
        self.last, self.fc = nn.BatchNorm2d(13), nn.Linear(13 * 4, 3)

    def dense(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        maps = [x]
        for layer in layers:
            maps.append(layer(maps))
        return torch.cat(maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dense(self.first, self.stem(x))
        x = F.avg_pool2d(self.transition(F.relu(self.norm(x))), 2)
        x = F.relu(self.last(self.dense(self.second, x)))
        out: Tensor = self.fc(x.flatten(1))
        return out


def zoo() -> dict[str, tuple[nn.Module, Any]]:
    """Fresh, seeded networks with an example input each."""
    torch.manual_seed(0)
    nets: dict[str, tuple[nn.Module, Any]] = {
        "plain": (PlainCNN(), torch.randn(2, 1, 8, 8)),
        "residual": (ResNet(2, (4, 6), 3, 1), torch.randn(2, 1, 8, 8)),
        "separable": (Separable(), torch.randn(1, 2, 6, 6)),
        "dense": (Dense(), torch.randn(1, 1, 4, 4)),
        "mlp": (MLP(), torch.randn(3, 7)),
        "mobile": (MobileNet(), torch.randn(2, 1, 8, 8)),
        "densenet": (DenseNet(), torch.randn(2, 1, 4, 4)),
        "heads": (HeadTransformer(), torch.randn(2, 7, 5)),
        "transformer": (Transformer(), torch.randint(0, 13, (2, 6))),
        "tied": (Transformer(tied=True), torch.randint(0, 13, (1, 5))),
    }
    for model, _ in nets.values():
        warm(model)
    return nets


def warm(model: nn.Module) -> None:
    """Give batch norms trained-looking statistics and affine parameters."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for value, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                assert value is not None
                nn.init.uniform_(value, low, high)
