"""Programs of torch.export: the same numbers, a small file, and loaded only where they are trusted."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.torch.program import load_torch, save_torch
from autoreg.errors import InputError
from autoreg.network.inputs import call
from tests.artifacts.coded_nets import Coded, Net, TiedLM, coded, reference_model


@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_bits": 4, "symmetric": False, "activation_bits": 6}, {"weight_bits": 32, "activation_bits": 32}],
    ids=str,
)
def test_a_program_computes_what_the_trials_model_does(tmp_path: Path, settings: dict[str, Any]) -> None:
    made = coded(**settings)
    path = tmp_path / "net.pt2"
    assert save_torch(path, made.found, made.example) == path.stat().st_size
    program = load_torch(path, trust=True)
    assert program.batch == "dynamic"
    assert program.runs == dict.fromkeys(made.found.codes, "fp32")
    with torch.no_grad():
        for inputs in (made.example, made.example[:1], made.example.repeat(3, 1, 1, 1)):
            assert torch.equal(program(inputs), made.trained(inputs))


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
    program = load_torch(tmp_path / "net.pt2", trust=True)
    assert program.batch == "fixed"
    with torch.no_grad():
        assert torch.equal(program(made.example), made.trained(made.example))


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
    program = load_torch(tmp_path / "net.pt2", trust=True)
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
        assert torch.equal(load_torch(tmp_path / "net.pt2", trust=True)(ids), expected)


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


def test_a_program_is_loaded_only_where_it_is_trusted(tmp_path: Path, good: bytes, monkeypatch: Any) -> None:
    """A parameter's name becomes Python source in torch: this file makes a folder when its program is called."""
    name = 'training"), getattr(__import__("os"), "mkdir")("made_by_the_file'
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry).replace(b'"model.0.bias"', json.dumps(f"model.0.{name}").encode()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"net\.pt2: loading a \.pt2 file can run code.*trust=True.*safetensors"):
        load_torch(path)(torch.randn(2, 4))
    assert not (tmp_path / "made_by_the_file").exists()
    with pytest.raises((RuntimeError, InputError)) as refused:  # what stands in the bias's place is none
        load_torch(path, trust=True)(torch.randn(2, 4))
    ran = (tmp_path / "made_by_the_file").exists()  # so the danger is real; torch 2.8 refuses this name by itself
    assert ran or isinstance(refused.value, InputError)


def test_other_files_are_refused(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "net.pt2"
    with pytest.raises(InputError, match="cannot be read"):
        load_torch(path, trust=True)
    path.write_bytes(b"GIF89a" * 30)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_torch(path, trust=True)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_torch(path, trust=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/version", "3")
    with pytest.raises(InputError, match="not written by"):
        load_torch(path, trust=True)
    made = coded()
    with pytest.raises(InputError, match=r"end in \.pt2"):
        save_torch(tmp_path / "net.pt", made.found, made.example)
