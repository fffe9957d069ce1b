"""Whatever a module is made of: counted as by hand, or named in a warning."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from autoreg.costs.count import count
from autoreg.costs.predict import predict
from autoreg.network.profile import profile
from autoreg.network.trace import trace


class Apply(nn.Module):
    """Any function of itself and its inputs, with modules and parameters of any name."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.function(self, *inputs, **named)


def weights(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape))


def macs(model: nn.Module, example: Any) -> int:
    """MACs of one sample without a warning; predicted and counted agree, and no parameter is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predicted, counted = predict(profile(model, example)), count(model, example)
    assert predicted == counted
    assert counted.params == sum(parameter.numel() for parameter in model.parameters())
    return counted.flops // 2


class Adapter(nn.Linear):
    """A linear layer with a product and parameters of its own beside its weight."""

    def __init__(self) -> None:
        super().__init__(6, 6)
        self.down, self.up, self.norm = weights(6, 2), weights(2, 6), nn.LayerNorm(6)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(self.norm(input)) + input @ self.down @ self.up


class CallsItsProjection(nn.MultiheadAttention):
    """Uses the output projection as a layer, which torch's own class does not."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:  # type: ignore[override]
        return self.out_proj(query), None


class Product(torch.autograd.Function):
    """A product behind an autograd function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


def inference(self: Any, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return F.linear(self.fc(x), self.w)


def fails_once(self: Any, x: Tensor) -> Tensor:
    with contextlib.suppress(ValueError):
        self.broken(x)
    out: Tensor = self.fc(x)
    return out


def broken(self: Any, x: Tensor) -> Tensor:
    self.inner(x)
    raise ValueError


ROWS = torch.randn(2, 6)


SEQUENCE = torch.randn(2, 5, 6)


ATTENTION = 4 * 5 * 6 * 6 + 2 * 5 * 5 * 6  # four projections of width 6 and two products over 5 places


COUNTED: dict[str, tuple[Callable[[], nn.Module], Any, int]] = {
    "x @ w": (lambda: Apply(lambda s, x: x @ s.w, w=weights(6, 5)), ROWS, 30),
    "F.linear": (lambda: Apply(lambda s, x: F.linear(x, s.w), w=weights(5, 6)), ROWS, 30),
    "F.conv2d": (lambda: Apply(lambda s, x: F.conv2d(x, s.w), w=weights(5, 6, 3, 3)), torch.randn(2, 6, 8, 8), 9720),
    "einsum": (lambda: Apply(lambda s, x: torch.einsum("bi,ijk->bjk", x, s.w), w=weights(6, 4, 3)), ROWS, 72),
    "baddbmm": (
        lambda: Apply(lambda s, x: torch.baddbmm(x, x, s.w.expand(2, 6, 6)), w=weights(6, 6)),
        SEQUENCE,
        5 * 36,
    ),
    "addmm in place": (lambda: Apply(lambda s, x: x.new_zeros(2, 5).addmm_(x, s.w), w=weights(6, 5)), ROWS, 30),
    "addbmm": (
        lambda: Apply(lambda s, x: torch.addbmm(x.new_zeros(2, 5), x[None], s.w), w=weights(1, 6, 5)),
        ROWS,
        30,
    ),
    "matrix times vector": (lambda: Apply(lambda s, x: torch.mv(x, s.w), w=weights(6)), ROWS, 6),
    "conv_tbc": (
        lambda: Apply(
            lambda s, x: torch.conv_tbc(x.transpose(0, 1).contiguous(), s.w, s.b), w=weights(3, 6, 4), b=weights(4)
        ),
        SEQUENCE,
        3 * 3 * 6 * 4,
    ),
    "autograd function": (
        lambda: Apply(
            lambda s, x: Product.apply(x, s.w),  # type: ignore[no-untyped-call]
            w=weights(6, 5),
        ),
        ROWS,
        30,
    ),
    "inference mode": (lambda: Apply(inference, fc=nn.Linear(6, 6), w=weights(5, 6)), ROWS, 66),
    "vmap": (lambda: Apply(lambda s, x: torch.vmap(s.fc)(x), fc=nn.Linear(6, 5)), ROWS, 30),
    "functional_call": (
        lambda: Apply(
            lambda s, x: torch.func.functional_call(s.fc, dict(s.fc.named_parameters()), (x,)), fc=nn.Linear(6, 5)
        ),
        ROWS,
        30,
    ),
    "one layer called twice": (lambda: Apply(lambda s, x: s.fc(s.fc(x)), fc=nn.Linear(6, 6)), ROWS, 72),
    "a module that fails": (
        lambda: Apply(fails_once, fc=nn.Linear(6, 5), broken=Apply(broken, inner=nn.Linear(6, 2))),
        ROWS,
        30 + 12,
    ),
    "adapter in a subclass": (lambda: nn.Sequential(Adapter()), ROWS, 36 + 24),
    "keywords to layers": (
        lambda: Apply(lambda s, x: s.up(input=x), up=nn.ConvTranspose1d(6, 3, 2, groups=3)),
        torch.randn(2, 6, 9),
        9 * 6 * 2,
    ),
    "attention module": (
        lambda: Apply(lambda s, x: s.a(query=x, key=x, value=x)[0], a=nn.MultiheadAttention(6, 2, batch_first=True)),
        SEQUENCE,
        ATTENTION,
    ),
    "attention as the model": (lambda: nn.MultiheadAttention(6, 2, batch_first=True), (SEQUENCE,) * 3, ATTENTION),
    "attention of other widths": (
        lambda: Apply(
            lambda s, x: s.a(x, x[..., :3], x[..., :4])[0],
            a=nn.MultiheadAttention(6, 2, kdim=3, vdim=4, batch_first=True),
        ),
        SEQUENCE,
        5 * 6 * (6 + 3 + 4 + 6) + 2 * 5 * 5 * 6,
    ),
    "attention encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2, enable_nested_tensor=False
        ),
        SEQUENCE,
        2 * (ATTENTION + 2 * 5 * 6 * 8),
    ),
    "grouped queries": (
        lambda: Apply(lambda s, q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True)),
        (torch.randn(1, 4, 5, 8), torch.randn(1, 2, 7, 8)),
        2 * 4 * 5 * 7 * 8,
    ),
    "lstm": (
        lambda: nn.LSTM(6, 4, 2, bidirectional=True, batch_first=True),
        SEQUENCE,
        5 * 2 * 16 * ((6 + 4) + (8 + 4)),
    ),
    "gru": (lambda: nn.GRU(6, 4, 2, batch_first=True), SEQUENCE, 5 * 12 * ((6 + 4) + (4 + 4))),
    "rnn by keyword": (
        lambda: Apply(lambda s, x: s.r(input=x)[0], r=nn.RNN(6, 4, batch_first=True)),
        SEQUENCE,
        5 * 4 * 10,
    ),
    "packed sequence": (
        lambda: nn.LSTM(6, 4),
        pack_padded_sequence(torch.randn(9, 2, 6), torch.tensor([9, 5])),
        (9 + 5) * 16 * 10 // 2,
    ),
    "lstm cell": (lambda: nn.LSTMCell(6, 4), ROWS, 160),
    "gru cell": (lambda: nn.GRUCell(6, 4), ROWS, 120),
    "embedding": (
        lambda: Apply(lambda s, x: s.fc(s.e(x)), e=nn.Embedding(9, 4), fc=nn.Linear(4, 2)),
        torch.randint(0, 9, (2, 5)),
        5 * 8,
    ),
    "embedding bag": (
        lambda: Apply(lambda s, x: s.fc(s.e(x)), e=nn.EmbeddingBag(9, 4), fc=nn.Linear(4, 2)),
        torch.randint(0, 9, (2, 5)),
        8,
    ),
    "embedding as head": (
        lambda: Apply(lambda s, x: F.linear(s.e(x), s.e.weight), e=nn.Embedding(9, 4)),
        torch.randint(0, 9, (2, 5)),
        5 * 36,
    ),
    "norms": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.RMSNorm(8)
        ),
        torch.randn(2, 4, 8, 8),
        64 * 16,
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_work_is_counted_as_by_hand(name: str) -> None:
    make, example, expected = COUNTED[name]
    assert macs(make(), example) == expected


def test_projections_of_an_lstm_are_counted() -> None:
    model = Apply(lambda s, x: s.r(x)[0], r=nn.LSTM(6, 4, 2, proj_size=3, bidirectional=True, batch_first=True))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LSTM with projections")
        found = profile(model, SEQUENCE)
    per_step = [16 * (6 + 3) + 12, 16 * (6 + 3) + 12]  # second layer: both directions' projections come in
    assert [(part.name, part.macs) for part in found.functional] == [("r", 5 * 2 * sum(per_step))]
    assert found.warnings == ()


def test_an_attention_that_calls_its_projection_counts_it_once() -> None:
    found = trace(Apply(lambda s, x: s.a(x, x, x)[0], a=CallsItsProjection(6, 2, batch_first=True)), SEQUENCE)
    assert (found.positions, found.functional) == ({"a.out_proj": 5}, {})


def test_biases_that_layers_share_are_stored_once() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].bias = model[0].bias
    assert macs(model, ROWS) == 72


NAMED: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "fft": (lambda: Apply(lambda s, x: torch.fft.rfft(x)), ROWS, "operation aten::_fft_r2c in 'model'"),
    "bilinear": (
        lambda: Apply(lambda s, x: s.b(x, x), b=nn.Bilinear(6, 6, 3)),
        ROWS,
        "operation aten::_trilinear in 'b'",
    ),
    "solver": (
        lambda: Apply(lambda s, x: torch.linalg.solve(x @ x.T + torch.eye(2), x)),
        ROWS,
        "operation aten::_linalg_solve_ex in 'model'",
    ),
    "complex numbers": (
        lambda: Apply(
            lambda s, x: x.to(torch.complex64) @ s.w, w=nn.Parameter(torch.randn(6, 5, dtype=torch.complex64))
        ),
        ROWS,
        "aten::mm of complex numbers, counted as if they were real, in 'model'",
    ),
    "sparse weights": (
        lambda: Apply(lambda s, x: torch.sparse.mm(s.w.to_sparse(), x.T), w=weights(5, 6)),
        ROWS,
        "operation aten::_sparse_addmm in 'model'",
    ),
    "a layer that is read": (
        lambda: Apply(lambda s, x: F.linear(x, s.fc.weight), fc=nn.Linear(6, 5)),
        ROWS,
        "layer 'fc' is never called (where other code reads its weight, the work is counted there, in fp32)",
    ),
    "a layer for the whole batch": (
        lambda: Apply(lambda s, x: x + s.fc(s.q), q=weights(1, 6), fc=nn.Linear(6, 6)),
        ROWS,
        "layer 'fc' is applied 1 times for 2 samples, rounded up for one",
    ),
    "a layer that does something else": (
        lambda: nn.Sequential(type("Odd", (nn.Linear,), {"forward": lambda self, x: x * 2})(6, 6)),
        ROWS,
        "layer '0' (Odd) is counted as 72 multiply-accumulates by the size of its weight, its kernels showed 0",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_cannot_be_counted_is_named(name: str) -> None:
    make, example, note = NAMED[name]
    with pytest.warns(UserWarning, match="not everything can be counted"):
        found = profile(make(), example)
    assert note in found.warnings


def test_the_work_of_a_layer_that_is_only_read_is_counted_where_it_is_done() -> None:
    make, example, _ = NAMED["a layer that is read"]
    assert trace(make(), example).functional == {"": 30}


def test_scripted_modules_are_counted_and_named() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # newer torch would rather have torch.export
        scripted = torch.jit.script(nn.Sequential(nn.Linear(6, 6), nn.ReLU()))
    model = nn.Sequential(scripted, nn.Linear(6, 2))
    with pytest.warns(UserWarning, match="'0' is TorchScript: its layers are counted as work without layers"):
        found = count(model, ROWS)
    assert (found.flops, found.params) == (2 * (36 + 12), 42 + 14)


def test_compiled_modules_are_counted_layer_by_layer() -> None:
    compiled: Any = torch.compile(nn.Sequential(nn.Linear(6, 6), nn.ReLU()), backend="eager")
    found = trace(nn.Sequential(compiled, nn.Linear(6, 2)), ROWS)
    assert dict(found.positions) == {"0._orig_mod.0": 1, "1": 1}
    assert (found.functional, found.warnings) == ({}, ())


def test_operations_of_other_libraries_are_named() -> None:
    @torch.library.custom_op("autoreg_tests::gram", mutates_args=())
    def gram(x: Tensor) -> Tensor:
        return x @ x.T

    found = trace(Apply(lambda s, x: gram(x)), ROWS)
    assert found.warnings == ("operation autoreg_tests::gram in 'model'",)
