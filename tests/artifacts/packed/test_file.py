"""Packed weights: bytes as the formula says, exact round trips, clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from autoreg.artifacts.deployable import Deployable, deployable
from autoreg.artifacts.packed.entropy import shannon_bytes
from autoreg.artifacts.packed.file import load_packed, save_packed
from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.errors import AutoregError, InputError
from autoreg.methods.quantization.lsq import Lsq
from autoreg.network.surgery.apply import apply_structure, channel_groups
from autoreg.network.surgery.factorize import factorize
from tests.artifacts.coded_nets import Coded, Net, TiedLM, coded, fresh, with_statistics

SETTINGS: dict[str, dict[str, Any]] = {
    "float": {"weight_bits": 32, "activation_bits": 32},
    "int8": {},
    "tensor": {"granularity": "tensor"},
    "asymmetric": {"symmetric": False, "weight_bits": 5},
    "2 bits": {"weight_bits": 2, "activation_bits": 32},
    "learned": {"quantizer": Lsq(), "weight_bits": 4, "activation_bits": 4},
    "mixed": {"weight_bits": {"stem.0": 8, "blocks.0.conv1": 3, "hidden": 7}, "activation_bits": 6},
    "sparse": {"weight_bits": 6, "density": {"blocks.0.conv1": 0.5, "blocks.0.conv2": 0.03, "hidden": 0.97}},
    "sparse asymmetric": {"weight_bits": 4, "symmetric": False, "density": {"blocks.0.conv1": 0.2, "head": 0.0}},
    "sparse float": {"weight_bits": 32, "density": {"blocks.0.conv1": 0.5, "hidden": 0.02, "head": 1.0}},
}


def levels_of(found: Deployable) -> Levels:
    weights = {name: code.weight for name, code in found.codes.items() if code.weight is not None}
    return Levels(
        weight_bits={name: grid.bits for name, grid in weights.items()},
        granularity="channel" if any(code.axis is not None for code in found.codes.values()) else "tensor",
        symmetric=all(grid.low < 0 for grid in weights.values()),
    )


def same(one: Deployable, other: Deployable) -> None:
    assert one.codes.keys() == other.codes.keys()
    for name, code in one.codes.items():
        twin = other.codes[name]
        assert (code.axis, code.shared) == (twin.axis, twin.shared)
        assert (code.integers is None) == (twin.integers is None)
        if code.integers is not None and twin.integers is not None:
            assert twin.integers.dtype == torch.int16
            assert torch.equal(code.integers, twin.integers)
        for grid, same_grid in ((code.weight, twin.weight), (code.input, twin.input), (code.output, twin.output)):
            assert (grid is None) == (same_grid is None)
            if grid is not None and same_grid is not None:
                assert torch.equal(grid.scale, same_grid.scale)
                assert torch.equal(grid.zero_point, same_grid.zero_point)
                assert grid.zero_point.dtype == same_grid.zero_point.dtype == torch.int32
                assert (grid.low, grid.high, grid.bits) == (same_grid.low, same_grid.high, same_grid.bits)
    own = one.model.state_dict()
    for key, value in other.model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, own[key]), key


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("case", SETTINGS)
def test_a_network_comes_back_exactly_and_weighs_what_was_counted(tmp_path: Path, case: str, compress: bool) -> None:
    made = coded(**SETTINGS[case])
    path = tmp_path / "net.safetensors"
    size = save_packed(path, made.found, {}, compress=compress)
    assert size == path.stat().st_size
    back = load_packed(path, lambda: fresh(made.build()), example_input=made.example)
    same(made.found, back)
    assert torch.equal(back.model(made.example), made.found.model(made.example))
    payload = payload_of(path)
    assert payload["constants"] == 4  # the buffer `size`
    assert sum(tensor.nbytes for tensor in load_file(path).values()) == sum(payload.values())
    counted = count(made.found.model, made.example, made.found.masks, levels_of(made.found)).bytes
    assert payload["counted"] <= counted if compress else payload["counted"] == counted
    packing = json.loads(header(path)["autoreg"])["layers"]
    for name, mask in made.found.masks.items():
        held = back.masks[name]
        exact = packing[name]["packing"] != "dense" or bool(mask.all())
        assert torch.equal(held, mask) if exact else not bool(held[~mask].any())


def payload_of(path: Path) -> dict[str, int]:
    """Bytes of the tensors in a file: `counted`, what the cost formula counts, and `constants`."""
    sizes = {name: tensor.nbytes for name, tensor in load_file(path).items()}
    constants = sum(sizes[name] for name in json.loads(header(path)["autoreg"])["constants"])
    return {"counted": sum(sizes.values()) - constants, "constants": constants}


def header(path: Path) -> dict[str, str]:
    raw = path.read_bytes()
    found: dict[str, str] = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    return found


def test_a_masked_tensor_takes_the_smallest_packing(tmp_path: Path) -> None:
    made = coded(**SETTINGS["sparse"])
    save_packed(tmp_path / "net.safetensors", made.found, {})
    layers = json.loads(header(tmp_path / "net.safetensors")["autoreg"])["layers"]
    found = {name: layers[name]["packing"] for name in made.found.masks}
    assert found == {"blocks.0.conv1": "bitmask", "blocks.0.conv2": "index", "hidden": "dense"}


def test_compressing_a_skewed_network_makes_the_file_smaller(tmp_path: Path) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        model = with_statistics(Net(width=64, blocks=1))
        with torch.no_grad():
            model.blocks[0].conv1.weight.pow_(5)  # type: ignore[index, union-attr]
        return model

    made = coded(build, weight_bits=8, activation_bits=32)
    plain = save_packed(tmp_path / "plain.safetensors", made.found, {})
    small = save_packed(tmp_path / "small.safetensors", made.found, {}, compress=True)
    entry = json.loads(header(tmp_path / "small.safetensors")["autoreg"])
    assert entry["compressed"] is True
    assert entry["layers"]["blocks.0.conv1"]["coded"] == ["values"]
    integers = made.found.codes["blocks.0.conv1"].integers
    assert integers is not None
    held = load_file(tmp_path / "small.safetensors")["blocks.0.conv1.weight:values"].nbytes
    bound = shannon_bytes(integers.reshape(-1).numpy())
    assert bound < held < 1.02 * bound + 4 + 3 * 256
    assert small < plain


def test_tied_weights_are_held_once(tmp_path: Path) -> None:
    ids = torch.randint(0, 11, (2, 5), generator=torch.Generator().manual_seed(0))
    made = coded(TiedLM, ids, weight_bits=4, activation_bits=32)
    path = tmp_path / "tied.safetensors"
    save_packed(path, made.found, {})
    assert "embed.weight" not in load_file(path)
    assert payload_of(path)["counted"] == count(made.found.model, ids, {}, levels_of(made.found)).bytes
    back = load_packed(path, TiedLM, example_input=ids)
    assert back.model.get_submodule("head").weight is back.model.get_submodule("embed").weight
    same(made.found, back)


def test_structure_is_replayed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, example = with_statistics(Net(8, 3)), torch.randn(2, 3, 8, 8)
    apply_structure(model, example, ["blocks.1"])
    group = next(group for group in channel_groups(model, example) if group.removable)
    removed = {group.id: [0, 2]}
    apply_structure(model, example, (), removed)
    ranks = {"blocks.0.conv1": 3, "hidden": 2}
    factorize(model, ranks)
    found = deployable(model)
    path = tmp_path / "small.safetensors"
    save_packed(path, found, {"dropped": ["blocks.1"], "removed": removed, "notes": ["not stored"], "ranks": ranks})
    back = load_packed(path, lambda: with_statistics(Net(8, 3)), example_input=example)
    assert torch.equal(back.model(example), model(example))
    assert "not stored" not in path.read_bytes().decode("latin1")


@pytest.fixture
def made() -> Coded:
    return coded(weight_bits=4)


def refusal(path: Path, build: Callable[[], nn.Module] = Net) -> str:
    with pytest.raises(InputError) as caught:
        load_packed(path, build, example_input=torch.randn(2, 3, 8, 8))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, made: Coded) -> None:
    path = tmp_path / "net.safetensors"
    assert "cannot be read" in refusal(path)
    path.write_bytes(b"GIF89a" * 40)
    assert "no safetensors file" in refusal(path)
    save_file({"a": torch.zeros(3)}, path)
    assert "holds no packed weights" in refusal(path)


@pytest.mark.parametrize(
    ("left", "what"), [(5, "is no safetensors file"), (200, "is cut off or damaged"), (-1, "is cut off or damaged")]
)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, made: Coded, left: int, what: str) -> None:
    path = tmp_path / "net.safetensors"
    save_packed(path, made.found, {})
    path.write_bytes(path.read_bytes()[:left])
    assert f"{path}: {what} (" in refusal(path)


def rewrite(path: Path, **changes: Any) -> None:
    """Change the metadata of a file."""
    metadata = header(path)
    tensors = load_file(path)
    save_file(tensors, path, {**metadata, **changes})


def test_another_version_is_refused(tmp_path: Path, made: Coded) -> None:
    path = tmp_path / "net.safetensors"
    save_packed(path, made.found, {})
    rewrite(path, version="2")
    assert "version 2; allowed: 1" in refusal(path)


def test_a_network_that_does_not_fit_is_refused_with_tensor_and_shapes(tmp_path: Path, made: Coded) -> None:
    path = tmp_path / "net.safetensors"
    save_packed(path, made.found, {})
    message = refusal(path, lambda: Net(classes=6))
    assert "'head.weight' is (5, 16) in the file, (6, 16) in the network" in message
    assert "layer 'blocks.2.conv1' is only in the network" in refusal(path, lambda: Net(blocks=3))
    assert "layer 'blocks.1.conv1' is only in the file" in refusal(path, lambda: Net(blocks=1))

    def without_norm() -> nn.Module:
        net = Net()
        net.stem[1] = nn.Identity()
        return net

    assert "'stem.1.bias', which the network does not have" in refusal(path, without_norm)


GRID = {"scale": 0.1, "zero_point": 0, "low": 0, "high": 255, "bits": 8}
LAYER = "the weight of layer 'blocks.0.conv1' is damaged "


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kept", 7, LAYER + "(309 positions, 7 values)"),
        ("packing", "other", LAYER + "(a tensor is packed as 'other', 309 of 576 retained)"),
        ("coded", ["values"], LAYER + "(the table of a coded tensor is damaged)"),
        ("axis", 9, LAYER + "(scales along dimension 9)"),
        ("weight", {"bits": 4, "low": 0}, "damaged (KeyError: 'high')"),
        ("weight", {"bits": 40, "low": 0, "high": 3}, LAYER + "(40 bits for integers from 0 to 3)"),
        ("input", {**GRID, "high": 2**70}, LAYER + f"(8 bits for integers from 0 to {2**70})"),
        ("input", {**GRID, "scale": float("inf")}, LAYER + "(scale inf and zero point 0 for integers from 0 to 255)"),
        ("output", {**GRID, "zero_point": 300}, LAYER + "(scale 0.1 and zero point 300 for integers from 0 to 255)"),
        ("tied", ["stem"], "the weight of layer 'blocks.0.conv1' is shared in the file or in the network, not both"),
        ("shape", [1], "the shape of 'blocks.0.conv1.weight' is (1,) in the file, (8, 8, 3, 3) in the network"),
    ],
)
def test_damaged_entries_of_a_layer_are_refused(
    tmp_path: Path, made: Coded, key: str, value: Any, message: str
) -> None:
    path = tmp_path / "net.safetensors"
    save_packed(path, coded(**SETTINGS["sparse"]).found, {})
    facts = json.loads(header(path)["autoreg"])
    facts["layers"]["blocks.0.conv1"][key] = value
    rewrite(path, autoreg=json.dumps(facts))
    assert refusal(path) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "damaged (ValueError: nested too deeply)"),
        ("[]", "damaged (TypeError: "),
        ("{}", "damaged (KeyError: 'layers')"),
        ('{"layers": [], "record": {}, "constants": []}', "damaged (TypeError: 'layers' is a list)"),
        ('{"layers": {"a": 1}, "record": {}, "constants": []}', "damaged (TypeError: a layer is no mapping)"),
        ("nonsense", "damaged (JSONDecodeError: "),
    ],
)
def test_damaged_metadata_is_refused(tmp_path: Path, made: Coded, text: str, message: str) -> None:
    path = tmp_path / "net.safetensors"
    save_packed(path, made.found, {})
    rewrite(path, autoreg=text)
    assert refusal(path).startswith(f"{path}: {message}")


def test_integers_that_are_not_the_weight_are_not_written(tmp_path: Path, made: Coded) -> None:
    with torch.no_grad():
        made.found.model.head.weight.add_(0.5)  # type: ignore[union-attr, operator]
    with pytest.raises(AutoregError, match="'head'"):
        save_packed(tmp_path / "net.safetensors", made.found, {})
    assert not list(tmp_path.iterdir())
