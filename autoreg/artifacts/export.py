"""A finished network into a file of one of three formats, compared with what its trial recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from autoreg.artifacts.deployable import Deployable
from autoreg.artifacts.fixed_batch import FixedBatch
from autoreg.artifacts.onnx.file import OnnxModule, onnx_bytes
from autoreg.artifacts.onnx.graph import GraphCache
from autoreg.artifacts.packed.file import load_packed, packed_content, save_packed
from autoreg.artifacts.skeleton import build_skeleton, write_skeleton
from autoreg.artifacts.torch.program import load_torch, program_content, save_torch
from autoreg.artifacts.torch.run_integers import integer_model
from autoreg.costs.levels import Levels
from autoreg.files import write_whole
from autoreg.network.inputs import batch_size
from autoreg.network.shapes import Profile
from autoreg.tasks.batches import repeat

EXPORT_FORMATS = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}
"""Formats by name, with the ending of their files."""

GRAPHS = GraphCache()


@dataclass(frozen=True)
class FileFormat:
    """A format of files of networks.

    Attributes:
        name: a key of `EXPORT_FORMATS`.
        compress: entropy coding of integer weights (`safetensors` alone).
    """

    name: str = "safetensors"
    compress: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As a study's file says it."""
        return {"format": self.name, "compress": self.compress}


def file_bytes(
    found: Deployable,
    example_input: Any,
    format: FileFormat,
    *,
    record: Mapping[str, Any],
    batch: int | None = None,
) -> int:
    """Size of the file that `write` writes, without writing it.

    Args:
        found: the network.
        example_input: what it is called with.
        format: of the file.
        record: as of `write`.
        batch: as of `write`.

    Raises:
        AutoregError: the network cannot be written in this format.
    """
    if format.name == "onnx":
        return len(onnx_bytes(found, example_input, GRAPHS, batch=batch).content)
    if format.name == "torch":
        return len(program_content(found, example_input if batch is None else repeat(example_input, batch)))
    return len(packed_content(found, record, compress=format.compress))


@dataclass(frozen=True)
class Artifact:
    """A file of a network.

    Attributes:
        path: where it stands.
        format: a key of `EXPORT_FORMATS`.
        file_bytes: its size on disk.
        runs: by layer on a grid, how it runs here: `int8`, `int4` or `fp32`.
        notes: remarks for the reader.
    """

    path: Path
    format: str
    file_bytes: int
    runs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def write(
    found: Deployable,
    example_input: Any,
    path: Path,
    format: str,
    *,
    record: Mapping[str, Any] | None = None,
    compress: bool = False,
    build: Callable[..., nn.Module] | None = None,
    batch: int | None = None,
) -> tuple[Artifact, nn.Module]:
    """Write a network and load the file again.

    Args:
        found: the network.
        example_input: what it is called with.
        path: of the file; its folder is made, the file appears at once.
        format: a key of `EXPORT_FORMATS`.
        record: what was dropped, removed and factored (`safetensors` needs it to build the network again).
        compress: entropy coding of integer weights (`safetensors` alone).
        build: makes the dense network (`safetensors` alone).
        batch: samples in a call of a file whose batch cannot be free; by default those of the example.

    Returns:
        What was written, and a module that computes with the file, for any number of samples.

    Raises:
        AutoregError: the network cannot be written in this format, or the file cannot be loaded.
        OSError: the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "onnx":
        written = onnx_bytes(found, example_input, GRAPHS, batch=batch)
        write_whole(path, written.content)
        return Artifact(path, format, path.stat().st_size, written.runs, written.notes), OnnxModule(path)
    if format == "torch":
        given = example_input if batch is None else repeat(example_input, batch)
        save_torch(path, found, given)
        program = load_torch(path, trust=True)  # this very process has just written it
        size = path.stat().st_size
        if program.batch == "dynamic":
            return Artifact(path, format, size, program.runs), program
        samples = batch_size(given)
        note = f"the batch size is fixed at {samples}: the exporter could not leave it free"
        return Artifact(path, format, size, program.runs, (note,)), FixedBatch(program, samples)
    assert build is not None
    save_packed(path, found, record or {}, compress=compress)
    loaded = load_packed(path, build, example_input=example_input)
    model, runs = integer_model(loaded, example_input)
    return Artifact(path, format, path.stat().st_size, runs), model


class SkeletonSource(Protocol):
    """What a skeleton is built from (`autoreg.trial.setup.Setup`)."""

    @property
    def example_input(self) -> Any:
        """One sample."""

    @property
    def profile(self) -> Profile:
        """Of the dense network."""

    def skeleton(self) -> nn.Module:
        """A dense network whose weights do not matter."""


def skeleton(setup: SkeletonSource, levels: Levels, *, act_symmetric: bool = False) -> bytes:
    """The ONNX model of an untrained network at a recipe's structure and bits: what latency is timed on."""
    model = build_skeleton(setup.skeleton(), setup.example_input, setup.profile, levels)
    return write_skeleton(model, setup.example_input, levels, act_symmetric=act_symmetric)
