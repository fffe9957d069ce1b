"""Droppable blocks: which they are, and what stands in the place of one that is gone."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.network.inputs import call
from autoreg.network.trace import WEIGHTED, evaluating, hooked

Form = int | None  # what a block gives back: None is a tensor, n a tuple of n entries of which only the first is one


class PassThrough(nn.Identity):
    """Stands in the place of a dropped block: gives back the first thing it is called with, in the block's form.

    Takes whatever else the block was called with. Plain settings of the block (numbers, flags, strings) stay
    readable, as some models look them up on their layers.

    Args:
        block: the block that is dropped.
        length: entries of the tuple that it gave back, None for a tensor; those after the first are None.
    """

    def __init__(self, block: nn.Module, length: int | None = None) -> None:
        super().__init__()
        self.length = length
        for key, value in vars(block).items():
            if not key.startswith("_") and not hasattr(self, key) and isinstance(value, bool | int | float | str):
                setattr(self, key, value)

    def forward(self, input: Any, *others: Any, **named: Any) -> Any:
        """Return `input`, alone or as the first entry of a tuple."""
        return input if self.length is None else (input, *[None] * (self.length - 1))


def find_blocks(model: nn.Module, example_input: Any) -> tuple[str, ...]:
    """Names of the blocks that can be dropped, in `named_modules` order.

    A block is a child of a `Sequential` or `ModuleList` that has children of its own and at least one weighted
    layer, runs once, and maps its first argument, a tensor, to one of the same shape and type: alone, or as the
    first entry of a tuple that holds nothing else. Of nested ones only the outermost is named; a `Sequential` of
    blocks is a stage, not a block.
    """
    runs = _watch(model, example_input, _candidates(model))
    whole = [name for name, seen in runs.items() if len(seen) == 1 and seen[0] is not None]
    blocks: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{block}.") for block in blocks)
        stage = isinstance(module, nn.Sequential) and any(other.startswith(f"{name}.") for other in whole)
        if name in whole and not inside and not stage and not _used_elsewhere(model, name, module):
            blocks.append(name)
    return tuple(blocks)


def drop_blocks(model: nn.Module, names: Collection[str], example_input: Any = None) -> None:
    """Put modules that pass on their input in the place of blocks, in place.

    Args:
        model: the model.
        names: blocks, as `find_blocks` names them.
        example_input: what the model is called with. Without it every block is taken for one that maps one tensor
            to one tensor; with it, blocks that are called with more or give back tuples are replaced in their form.

    Raises:
        InputError: When the model has no module of that name.
    """
    known = dict(model.named_modules())
    for name in names:
        if name not in known or not name:
            raise InputError(unknown_name("block", name, known))
    runs = _watch(model, example_input, names) if names and example_input is not None else {}
    for name in names:
        parent, _, child = name.rpartition(".")
        seen = next((form for form in runs.get(name, []) if form is not None), None)
        plain = seen is None or seen == (True, None)
        stand_in = nn.Identity() if plain or seen is None else PassThrough(known[name], seen[1])
        setattr(model.get_submodule(parent), child, stand_in.train(known[name].training))


def unknown_name(what: str, name: str, known: Collection[str]) -> str:
    """What to say when a model lacks something of that name."""
    near = difflib.get_close_matches(name, [one for one in known if one], 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known)) or 'none'}"
    return f"the model has no {what} called {name!r}{hint}"


def first_output(output: Any) -> Any:
    """Of what a block gives back, what stands for its first argument."""
    return output[0] if isinstance(output, tuple) and output else output


def _watch(model: nn.Module, example_input: Any, names: Collection[str]) -> dict[str, list[tuple[bool, Form] | None]]:
    """By block and call: whether it is called with one tensor alone, and its form; None where it cannot be dropped."""
    runs: dict[str, list[tuple[bool, Form] | None]] = {}
    handles = []
    for name in names:

        def hook(module: nn.Module, inputs: Any, named: Any, output: Any, name: str = name) -> None:
            runs.setdefault(name, []).append(_form(inputs, named, output))

        handles.append(model.get_submodule(name).register_forward_hook(hook, with_kwargs=True))
    with hooked(handles), evaluating(model), torch.no_grad():
        call(model, example_input)
    return runs


def _form(inputs: Sequence[Any], named: Any, output: Any) -> tuple[bool, Form] | None:
    first = first_output(output)
    if not inputs or not isinstance(inputs[0], Tensor) or not isinstance(first, Tensor):
        return None
    if inputs[0].shape != first.shape or inputs[0].dtype != first.dtype:
        return None
    if isinstance(output, tuple):
        return (False, len(output)) if all(entry is None for entry in output[1:]) else None
    return len(inputs) == 1 and not named, None


def _candidates(model: nn.Module) -> list[str]:
    found = []
    for name, parent in model.named_modules():
        if isinstance(parent, nn.Sequential | nn.ModuleList):
            for child_name, child in parent.named_children():
                inner = list(child.modules())[1:]
                if inner and any(isinstance(module, WEIGHTED) for module in inner):
                    found.append(f"{name}.{child_name}" if name else child_name)
    return found


def _used_elsewhere(model: nn.Module, name: str, block: nn.Module) -> bool:
    """Whether the block shares modules with the rest of the model."""
    inside = set(block.modules())
    return any(
        module in inside and other != name and not other.startswith(f"{name}.")
        for other, module in model.named_modules(remove_duplicate=False)
    )
