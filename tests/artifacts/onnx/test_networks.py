"""Networks that exporters have trouble with: fixed batches, inputs by name, several outputs, operations unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import deployable
from autoreg.artifacts.fixed_batch import FixedBatch
from autoreg.artifacts.onnx.file import OnnxModule, onnx_bytes
from autoreg.artifacts.onnx.graph import BATCH, ExportError, GraphCache
from autoreg.artifacts.onnx.runtime import INTEGER_NODES, operator_counts
from autoreg.latency.interleaved import time_interleaved
from autoreg.latency.onnx_runtime import OnnxError, feed, onnx_session
from autoreg.latency.timing import time_onnx
from autoreg.methods.quantization import Quantization, attach_quantizers, calibrate, placement


class Baked(nn.Module):
    """Exporters take the number of samples for a constant; the tracer does not notice."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.relu(x).reshape(len(x), -1))
        return out


class Fixed(nn.Module):
    """No exporter can leave the number of samples free."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.stack([x[int(i)].flatten() for i in range(int(x.shape[0]))]))
        return out


class Named(nn.Module):
    """Takes keywords and gives a mapping whose logits come second."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 16), nn.Linear(16, 20)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        hidden = self.embed(ids)
        return {"hidden": hidden, "logits": self.head((hidden * mask[..., None]).mean(1))}


class Singular(nn.Module):
    """Singular values, which ONNX does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.linalg.svdvals(x.reshape(-1, 3, 4)))
        return out


@pytest.mark.parametrize(("kind", "fast"), [(Baked, True), (Baked, False), (Fixed, True)])
def test_a_fixed_batch_is_that_of_the_timing_and_is_filled_up(kind: type[nn.Module], fast: bool) -> None:
    """The file takes 4 samples: it is timed with them, and run on 10 in three portions."""
    torch.manual_seed(0)
    model, x = kind().eval(), torch.randn(10, 3, 4)
    written = onnx_bytes(deployable(model), x[:1], GraphCache(fast=fast), batch=4)
    assert any("fixed at 4" in note for note in written.notes)
    file = OnnxModule(written.content)
    for samples in (10, 4, 1):
        assert torch.allclose(file(x[:samples]), model(x[:samples]), atol=1e-5)
    assert time_onnx(written.content, x[:4], seconds=0.0).batch == 4
    with pytest.raises(OnnxError, match=r"^ONNX Runtime: [^\n]*$"):
        time_onnx(written.content, x, seconds=0.0)


def test_portions_give_what_one_call_gives() -> None:
    """For structures of tensors too; an input without an entry per sample is given whole."""

    class Both(nn.Module):
        def forward(self, x: Tensor, *, scale: Tensor) -> dict[str, Tensor]:
            assert len(x) == 4
            return {"sum": x.sum(1), "scaled": x * scale}

    x, scale = torch.randn(10, 3), torch.randn(3)
    found = FixedBatch(Both(), 4)(x, scale=scale)
    assert torch.equal(found["sum"], x.sum(1))
    assert torch.equal(found["scaled"], x * scale)


@pytest.mark.parametrize("fast", [True, False])
def test_mappings_are_fed_by_name_and_the_logits_are_given(fast: bool) -> None:
    """Whatever the order of the mapping, in running and in timing."""
    torch.manual_seed(0)
    model = Named().eval()
    given = {"mask": torch.rand(6, 7), "ids": torch.randint(0, 20, (6, 7))}
    turned = {name: given[name] for name in ("ids", "mask")}
    written = onnx_bytes(deployable(model), {name: value[:1] for name, value in given.items()}, GraphCache(fast=fast))
    expected = model(**given)["logits"]
    for order in (given, turned):
        assert torch.allclose(OnnxModule(written.content)(**order), expected, atol=1e-5)
        assert time_onnx(written.content, order, seconds=0.0).batch == 6
        assert [one.batch for one in time_interleaved([written.content], order, seconds=0.0)] == [6]
    session = onnx_session(written.content, 1)
    assert {name: list(value.shape) for name, value in feed(session, given).items()} == {"ids": [6, 7], "mask": [6, 7]}
    with pytest.raises(OnnxError, match="given: ids, length"):
        feed(session, {"ids": given["ids"], "length": given["mask"]})


@pytest.mark.parametrize("fast", [True, False])
def test_a_network_that_onnx_cannot_take_is_one_line(fast: bool) -> None:
    """The same one when it is asked for again."""
    graphs, x = GraphCache(fast=fast), torch.randn(2, 12)
    messages = []
    for _ in range(2):
        with pytest.raises(ExportError) as caught:
            graphs.filled(Singular().eval(), x)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "svd" in messages[0]
    assert "\n" not in messages[0]
    assert len(messages[0]) < 320


def test_what_onnx_runtime_raises_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file that is none, and inputs of another shape."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(OnnxError):
        OnnxModule(bad)
    written = onnx_bytes(deployable(nn.Linear(3, 2).eval()), torch.randn(1, 3), GraphCache(fast=True))
    with pytest.raises(OnnxError):
        OnnxModule(written.content)(torch.randn(2, 5))
    with pytest.raises(OnnxError, match="given: 2 tensors"):
        OnnxModule(written.content)(torch.randn(2, 3), torch.randn(2, 3))


@pytest.mark.parametrize("batch", ["x", "0", "-3", ""])
def test_a_file_that_takes_no_number_of_samples_is_refused(batch: str) -> None:
    """Its metadata may be anybody's."""
    written = onnx_bytes(deployable(nn.Linear(3, 2).eval()), torch.randn(1, 3), GraphCache(fast=True))
    proto = onnx.load_from_string(written.content)
    onnx.helper.set_model_props(proto, {BATCH: batch})
    with pytest.raises(OnnxError, match=f"it takes '{batch}' samples; allowed: a whole number, 1 or more"):
        OnnxModule(proto.SerializeToString())


def test_an_untrained_network_that_overflows_is_exported_all_the_same() -> None:
    """Infinite outputs say nothing against a graph."""

    class Large(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.exp(x * 1e6)

    model: Any = nn.Sequential(nn.Linear(3, 2), Large()).eval()
    with torch.no_grad():
        model[0].bias.fill_(1.0)
    written = onnx_bytes(deployable(model), torch.ones(1, 3), GraphCache(fast=True))
    assert numpy.isinf(OnnxModule(written.content)(torch.full((2, 3), 0.0)).numpy()).all()
    assert model(torch.zeros(1, 3)).isinf().all()


def test_runs_are_what_the_runtime_has_fused() -> None:
    """A layer that was planned in integers counts as such only where ONNX Runtime made an integer node of it."""

    class Swish(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.deep, self.after = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.relu6(self.norm(self.stem(x)))
            out: Tensor = self.head((x + nn.functional.hardswish(self.after(self.deep(x)))).mean((2, 3)))
            return out

    torch.manual_seed(0)
    model, x = Swish().eval(), torch.randn(16, 3, 8, 8)
    bits = dict.fromkeys(("stem", "deep", "head"), 8)
    found = placement(model, lambda network: network(x), bits, bits)
    attach_quantizers(model, Quantization(bits, bits, placement=found))
    calibrate(model, [x], lambda network, batch: network(batch))
    written = onnx_bytes(deployable(model.eval()), x[:1], GraphCache(fast=True))
    nodes = operator_counts(written.content)
    assert list(written.runs.values()).count("int8") == sum(nodes[kind] for kind in INTEGER_NODES)
    unfused = nodes["Conv"] + nodes["FusedConv"] + nodes["Gemm"] + nodes["FusedGemm"] + nodes["NhwcFusedConv"]
    assert list(written.runs.values()).count("fp32") == unfused
