"""The deployed network as a `torch.export` program (.pt2): weights as int8 buffers, values on their grids.

The graph holds plain ATen operations: integers are made into values by a subtraction and a product, and values are
rounded to their grids by division, rounding and clamping. So it computes what the trial's model computes to the bit,
in floating point; the file is small because its weights are bytes.
"""

from __future__ import annotations

import copy
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from autoreg.artifacts.deployable import Deployable, LayerCode
from autoreg.artifacts.torch.value_grids import attach_grids, find_value_grids
from autoreg.errors import InputError
from autoreg.files import write_whole
from autoreg.methods.functional.affine import dequantize
from autoreg.methods.weights import weighted_layers
from autoreg.network.inputs import batch_size
from autoreg.tasks.batches import repeat

PROGRAM_NOTES = "autoreg.json"  # the entry of the archive that says how the program is called
PROGRAM_FORMAT = "autoreg-torch"


class Program(nn.Module):
    """A network read from a file, called as the network was; in place of a mapping it returns a dict of its tensors.

    Attributes:
        batch: `dynamic` or `fixed`: whether any number of samples may be given.
        runs: by layer with a code, how it runs: `fp32`, since integers are made into values in the graph.
    """

    def __init__(self, program: nn.Module, names: Sequence[str], batch: str, runs: Mapping[str, str]) -> None:
        super().__init__()
        self.program, self.names = program, tuple(names)
        self.batch, self.runs = batch, dict(runs)

    def train(self, mode: bool = True) -> Program:
        """A program has one mode, that of evaluation: asking for another changes nothing."""
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Inputs by position, or by name where the network takes them by name."""
        return self.program(*args, *(kwargs[name] for name in self.names[len(args) :]))


class IntegerWeight(nn.Module):
    """The parametrization that makes a weight of its integers: the layer holds integers, scales and zero points.

    Args:
        code: its integers and grid.
    """

    def __init__(self, code: LayerCode) -> None:
        super().__init__()
        assert code.weight is not None
        assert code.integers is not None
        shape = [-1 if dim == code.axis else 1 for dim in range(code.integers.ndim)]
        kind = torch.int8 if code.weight.low < 0 else torch.uint8
        self._held = (
            code.integers.to(kind),
            code.weight.scale.reshape(shape),
            code.weight.zero_point.reshape(shape).to(code.weight.scale.dtype),
        )

    def forward(self, integers: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        """The weight, float32."""
        return dequantize(integers.to(scale.dtype), scale, zero_point)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is held in the weight's stead."""
        return self._held


class _Positional(nn.Module):
    """Takes its inputs by position and returns plain containers, so that a program loads without the network's code."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *args: Any) -> Any:
        output = self.model(**dict(zip(self.names, args, strict=True))) if self.names else self.model(*args)
        if isinstance(output, Mapping):
            return {str(key): value for key, value in output.items() if isinstance(value, Tensor)}
        return output


def save_torch(path: str | os.PathLike[str], found: Deployable, example_input: Any) -> int:
    """Write a network as a `torch.export` program, whole or not at all.

    The number of samples is free where torch can prove that the network allows it, else that of the example; the
    file says which (`load_torch(path).batch`).

    Args:
        path: the file, ending in `.pt2`.
        found: its batch norms not folded; left as it was.
        example_input: a tensor, a tuple of positional or a mapping of keyword arguments.

    Returns:
        Size of the file in bytes.

    Raises:
        InputError: if the name has another ending, or torch cannot export the network.
    """
    if not str(path).endswith(".pt2"):
        raise InputError(f"{path}: programs of torch.export end in .pt2")
    content = program_content(found, example_input)
    write_whole(Path(path), content)
    return len(content)


def program_content(found: Deployable, example_input: Any) -> bytes:
    """The content of the file that `save_torch` writes, with the arguments of that.

    Raises:
        InputError: if torch cannot export the network.
    """
    names = _arguments(example_input)[1]
    program, dynamic = _exported(_Positional(_prepared(found, example_input), names), example_input)
    _strip(program)
    notes = {
        "format": PROGRAM_FORMAT,
        "batch": "dynamic" if dynamic else "fixed",
        "inputs": list(names),
        "runs": dict.fromkeys(found.codes, "fp32"),
        "torch": str(torch.__version__),
    }
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={PROGRAM_NOTES: json.dumps(notes)})
    return buffer.getvalue()


def load_torch(path: str | os.PathLike[str], *, trust: bool = False) -> Program:
    """Read a program that `save_torch` wrote.

    A `.pt2` file is code: `torch.export.load` unpickles and evaluates parts of it, names of parameters become Python
    source, and some operators crash the process on what a file gives them. No list of what is forbidden can hold, so
    a file is read only where the caller trusts it.

    Args:
        path: the file.
        trust: that the file comes from somebody whose code you would run.

    Raises:
        InputError: without trust; if the file is missing, none of ours, damaged or written by another version of
            torch's format.
    """
    where = str(path)
    if not trust:
        raise InputError(
            f"{where}: loading a .pt2 file can run code that is in it; pass trust=True if you would run its author's "
            "code, else take packed weights, which hold numbers alone (`autoreg export --format safetensors`)"
        )
    try:
        content = Path(path).read_bytes()
        notes = _notes(content)
        if notes.get("format") != PROGRAM_FORMAT:
            raise InputError(f"{where}: not written by `autoreg export --format torch`")
        program = torch.export.load(io.BytesIO(content))
        names = [str(name) for name in notes["inputs"]]
        runs = {str(name): str(how) for name, how in notes["runs"].items()}
        return Program(program.module(), names, str(notes["batch"]), runs)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # torch raises anything on what it cannot read
        raise InputError(f"{where}: cannot be loaded ({type(error).__name__}: {error})") from error


def _notes(content: bytes) -> dict[str, Any]:
    """What `save_torch` noted in a file; nothing where it was written by others."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = next((name for name in archive.namelist() if name.endswith(f"/extra/{PROGRAM_NOTES}")), None)
        notes: dict[str, Any] = {} if entry is None else json.loads(archive.read(entry))
        return notes


def _prepared(found: Deployable, example_input: Any) -> nn.Module:
    """A copy of the network with integers for weights and grids around its layers."""
    places = find_value_grids(found, example_input)
    model = copy.deepcopy(found.model).eval()
    held: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        held.setdefault(id(parameter), []).append(name)
    for name, module in weighted_layers(model):
        code = found.codes.get(name)
        alone = len(held[id(module.weight)]) == 1  # a tied weight stays one tensor, in floating point
        if code is not None and code.integers is not None and alone:
            module.weight.requires_grad_(False)
            parametrize.register_parametrization(module, "weight", IntegerWeight(code), unsafe=True)
    attach_grids(model, places.inputs, places.outputs)
    return model


def _exported(model: nn.Module, example_input: Any) -> tuple[Any, bool]:
    """The program, and whether the number of samples is free."""
    last: Exception | None = None
    for dynamic in (True, False):
        given = _arguments(repeat(example_input, 2) if dynamic else example_input)[0]  # 1 would be taken for a constant
        try:
            with torch.no_grad():
                shapes = {"args": _free(given)} if dynamic else None
                return torch.export.export(model, given, dynamic_shapes=shapes, strict=False), dynamic
        except Exception as error:  # torch raises anything on what it cannot trace
            last = error
    raise InputError(f"torch cannot export the network ({type(last).__name__}: {last})") from last


def _arguments(example_input: Any) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Inputs by position, and their names where the network takes them by name."""
    if isinstance(example_input, Mapping):
        return tuple(example_input.values()), tuple(str(name) for name in example_input)
    return (tuple(example_input) if isinstance(example_input, tuple | list) else (example_input,)), ()


def _free(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Dynamic shapes: the first dimension of every tensor that has one entry per sample."""
    batch, dim = batch_size(values), torch.export.Dim("batch", min=1)
    fits = [isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == batch for value in values]
    return tuple({0: dim} if fit else None for fit in fits)


def _strip(program: Any) -> None:
    """Take out what the program does not need: the example, and where in the source each step came from."""
    program._example_inputs = None
    program._guards_code = []  # they compare the inputs' sizes with the example's; the graph has its own checks
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom"):
            node.meta.pop(key, None)
