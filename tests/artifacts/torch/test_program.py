"""Programs of torch.export: the same numbers, a small file, and nothing in it that loading would execute."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.torch.on_grid import reference_model
from autoreg.artifacts.torch.program import load_torch, save_torch
from autoreg.artifacts.torch.pt2_gate import checked_program
from autoreg.errors import InputError
from autoreg.network.trace import call
from tests.artifacts.coded_nets import Coded, Net, TiedLM, coded


@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_bits": 4, "symmetric": False, "activation_bits": 6}, {"weight_bits": 32, "activation_bits": 32}],
    ids=str,
)
def test_a_program_computes_what_the_trials_model_does(tmp_path: Path, settings: dict[str, Any]) -> None:
    made = coded(**settings)
    path = tmp_path / "net.pt2"
    assert save_torch(path, made.found, made.example) == path.stat().st_size
    program = load_torch(path)
    assert program.batch == "dynamic"
    assert program.runs == dict.fromkeys(made.found.codes, "fp32")
    with torch.no_grad():
        for inputs in (made.example, made.example[:1], made.example.repeat(3, 1, 1, 1)):
            assert torch.equal(program(inputs), made.carried(inputs))


def test_weights_are_bytes_in_the_file(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return Net(width=64)

    plain = coded(build, weight_bits=32, activation_bits=32)
    small = coded(build, weight_bits=8, activation_bits=8)
    before = save_torch(tmp_path / "plain.pt2", plain.found, plain.example)
    after = save_torch(tmp_path / "small.pt2", small.found, small.example)
    weights = sum(code.integers.numel() for code in small.found.codes.values() if code.integers is not None)
    assert weights > 100_000
    assert before - after > 2 * weights  # of the 3 bytes saved a weight, the graph takes back some


class Fixed(nn.Module):
    """A network that looks at the number of samples."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x) * (1.0 if x.shape[0] > 3 else 2.0)
        return out


def test_a_batch_that_cannot_be_free_is_fixed_and_said(tmp_path: Path) -> None:
    made = coded(Fixed, torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))
    save_torch(tmp_path / "net.pt2", made.found, made.example)
    program = load_torch(tmp_path / "net.pt2")
    assert program.batch == "fixed"
    with torch.no_grad():
        assert torch.equal(program(made.example), made.carried(made.example))


class Output(dict[str, Any]):
    """A mapping of another library."""


class ByName(nn.Module):
    """Takes its inputs by name and returns a mapping with something in it that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, *, left: Tensor, right: Tensor) -> Output:
        return Output(logits=self.first(left) - self.second(right), note="of no matter", none=None)


def by_name() -> tuple[Coded, dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    example = {"right": torch.randn(2, 4, generator=draw), "left": torch.randn(2, 4, generator=draw)}

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ByName()

        def forward(self, x: Tensor) -> Any:
            return self.inner(left=x, right=-x)["logits"]

    made = coded(Both, example["left"], weight_bits=8, activation_bits=32)
    inner = type(made.found)(
        made.found.model.inner,  # type: ignore[arg-type]
        {name.removeprefix("inner."): code for name, code in made.found.codes.items()},
        {},
    )
    return Coded(made.found.model.inner, inner, ByName, example), example  # type: ignore[arg-type]


def test_inputs_by_name_and_outputs_by_name(tmp_path: Path) -> None:
    made, example = by_name()
    save_torch(tmp_path / "net.pt2", made.found, example)
    program = load_torch(tmp_path / "net.pt2")
    assert program.batch == "dynamic"
    with torch.no_grad():
        found = call(program, example)
        expected = call(made.found.model, example)
    assert found.keys() == {"logits"}
    assert torch.equal(found["logits"], expected["logits"])


def test_inputs_by_position_and_tied_weights(tmp_path: Path) -> None:
    ids = torch.randint(0, 11, (2, 5), generator=torch.Generator().manual_seed(0))
    made = coded(TiedLM, ids, weight_bits=4)
    save_torch(tmp_path / "net.pt2", made.found, (ids,))
    with torch.no_grad():
        expected = reference_model(made.found, ids)(ids)
        assert torch.equal(load_torch(tmp_path / "net.pt2")(ids), expected)


def test_the_file_names_no_place_on_this_machine(tmp_path: Path) -> None:
    made = coded()
    save_torch(tmp_path / "net.pt2", made.found, made.example)
    content = (tmp_path / "net.pt2").read_bytes()
    assert os.fsencode(Path(__file__).parent) not in content
    assert b"site-packages" not in content


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "net.pt2"
    made = coded(lambda: nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4))
    save_torch(path, made.found, made.example)
    return path.read_bytes()


def changed(good: bytes, member: str, edit: Callable[[Any], Any], extra: dict[str, bytes] | None = None) -> bytes:
    """The archive with one JSON member edited, and members added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(buffer, "w") as new:
        root = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            part = old.read(name)
            if name == f"{root}/{member}":
                document = json.loads(part)
                part = json.dumps(edit(document) or document).encode()
            new.writestr(name, part)
        for name, part in (extra or {}).items():
            new.writestr(f"{root}/{name}", part)
    return buffer.getvalue()


def node(document: Any) -> Any:
    return document["graph_module"]["graph"]["nodes"][0]


def spec(document: Any, kind: str, context: str) -> None:
    signature = document["graph_module"]["module_call_graph"][0]["signature"]
    signature["out_spec"] = json.dumps([1, {"type": kind, "context": context, "children_spec": []}])


def rename_path(document: Any) -> None:
    next(iter(document["config"].values()))["use_pickle"] = True


MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
HOSTILE: dict[str, tuple[str, Callable[[Any], Any], dict[str, bytes]]] = {
    "calls": (MODEL, lambda d: node(d).update(target="torch.os.system"), {}),
    "torch.ops.aten.from_file": (MODEL, lambda d: node(d).update(target="torch.ops.aten.from_file.default"), {}),
    "dunder": (MODEL, lambda d: node(d).update(target="torch.ops.aten.__init__.__globals__"), {}),
    "methodcaller": (MODEL, lambda d: node(d).update(target="_operator.methodcaller"), {}),
    "guards": (MODEL, lambda d: d.update(guards_code=["__import__('os').system('true')"]), {}),
    "metadata": (MODEL, lambda d: node(d).update(metadata={"source_fn_stack": "a,torch.hub.load"}), {}),
    "expression": (MODEL, lambda d: node(d).update(extra={"expr_str": "__import__('os').getpid()"}), {}),
    "returns": (MODEL, lambda d: spec(d, "collections.defaultdict", '["os", "system"]'), {}),
    "keys": (MODEL, lambda d: spec(d, "builtins.dict", '[{"__enum__": true}]'), {}),
    "a name": (MODEL, lambda d: node(d).update(name="x\nimport os"), {}),
    "unpickled": (WEIGHTS, rename_path, {}),
    "example": (MODEL, lambda d: None, {"data/sample_inputs/other.pt": b"x"}),
    "library": (MODEL, lambda d: None, {"data/aotinductor/model/x.so": b"x"}),
    "object": (MODEL, lambda d: None, {"data/constants/opaque_obj_0": b"x"}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_loading_would_execute_is_refused(tmp_path: Path, good: bytes, case: str) -> None:
    member, edit, extra = HOSTILE[case]
    path = tmp_path / "net.pt2"
    path.write_bytes(changed(good, member, edit, extra))
    with pytest.raises(InputError, match=r"net\.pt2: (calls|holds|returns)"):
        load_torch(path)


def test_an_unchanged_archive_that_was_packed_anew_is_read(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(changed(good, MODEL, lambda d: None))
    assert load_torch(path)(torch.randn(3, 4)).shape == (3, 3)
    assert checked_program(good, "net.pt2") == checked_program(checked_program(good, "net.pt2"), "net.pt2")


def test_an_example_is_refused(tmp_path: Path, good: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"pickle" if name.endswith("sample_inputs/model.pt") else old.read(name))
    path = tmp_path / "net.pt2"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="example, which would be unpickled"):
        load_torch(path)


def test_other_files_are_refused(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "net.pt2"
    with pytest.raises(InputError, match="cannot be read"):
        load_torch(path)
    path.write_bytes(b"GIF89a" * 30)
    with pytest.raises(InputError, match="no program"):
        load_torch(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match="no program"):
        load_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/version", "3")
    with pytest.raises(InputError, match="not written by"):
        load_torch(path)
    made = coded()
    with pytest.raises(InputError, match=r"end in \.pt2"):
        save_torch(tmp_path / "net.pt", made.found, made.example)
