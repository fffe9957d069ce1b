"""A training in its midst as a store entry: all that it needs to go on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoreg.methods.state import is_plain
from autoreg.trial.run import Run
from autoreg.trial.store import StoreEntry

Plain = Any
"""Numbers, strings, None, and lists and mappings of them and of tensors."""


def pack_training(run: Run, losses: Sequence[float]) -> StoreEntry:
    """Everything that changes from step to step: weights, optimizer, what methods keep, and all generators.

    Of `state.scratch` that is what is plain data; handles and modules are made again by a method's `prepare`.

    Args:
        run: between two epochs.
        losses: mean loss of each epoch so far.
    """
    state = run.state
    assert state.optimizer is not None
    changing = {
        "model": dict(state.model.state_dict()),
        "optimizer": {str(index): dict(slots) for index, slots in state.optimizer.state_dict()["state"].items()},
        "scratch": {str(key): value for key, value in state.scratch.items() if is_plain(value)},
        "generators": [_generator_state(state.generator), torch.get_rng_state(), *_device_generators()],
        "losses": list(losses),
        "step": state.step,
        "epoch": state.epoch,
    }
    tensors: dict[str, Tensor] = {}
    return StoreEntry(tensors, {"training": _without_tensors(changing, tensors)})


def unpack_training(entry: StoreEntry, run: Run, device: torch.device) -> list[float]:
    """Bring a run of the same methods on the same network to where another stood; returns its losses.

    Raises:
        KeyError, RuntimeError, TypeError, ValueError: the entry is damaged, or is of another training. The run may then
            be changed in part.
    """
    found = _with_tensors(entry.meta["training"], entry.tensors)
    state = run.state
    assert state.optimizer is not None
    state.model.load_state_dict(found["model"])
    groups = state.optimizer.state_dict()["param_groups"]
    slots = {int(index): value for index, value in found["optimizer"].items()}
    state.optimizer.load_state_dict({"state": slots, "param_groups": groups})
    state.scratch.update(_on(found["scratch"], device))
    own, cpu, *others = found["generators"]
    state.random_generator().set_state(own)
    torch.set_rng_state(cpu)
    if others:
        torch.cuda.set_rng_state_all(others)
    state.step, state.epoch = int(found["step"]), int(found["epoch"])
    return [float(loss) for loss in found["losses"]]


def _generator_state(generator: torch.Generator | None) -> Tensor:
    return (generator or torch.Generator().manual_seed(0)).get_state()


def _device_generators() -> list[Tensor]:
    return list(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else []


def _without_tensors(value: Plain, tensors: dict[str, Tensor]) -> Plain:
    """The same data with a number in place of each tensor, which is put into `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": {key: _without_tensors(item, tensors) for key, item in value.items()}}
    return [_without_tensors(item, tensors) for item in value] if isinstance(value, list) else value


def _with_tensors(value: Plain, tensors: Any) -> Plain:
    """What `_without_tensors` was given."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _with_tensors(item, tensors) for key, item in value["items"].items()}
    return [_with_tensors(item, tensors) for item in value] if isinstance(value, list) else value


def _on(value: Plain, device: torch.device) -> Plain:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _on(item, device) for key, item in value.items()}
    return [_on(item, device) for item in value] if isinstance(value, list) else value
