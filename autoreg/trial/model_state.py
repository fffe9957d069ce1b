"""A network between phases with the record of what was done to it; how it is written to the store and read back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from autoreg.methods.quantization import Quantization, attach_quantizers
from autoreg.methods.quantization.attach import ACTIVATION, OUTPUT, remove_quantizers
from autoreg.methods.sparsity.masks import attach_masks, masks
from autoreg.network.surgery.apply import apply_structure
from autoreg.network.surgery.factorize import factorize
from autoreg.trial.setup import Setup
from autoreg.trial.store import StoreEntry


@dataclass(frozen=True)
class ModelState:
    """A model with the record of what was done to it, enough to build the same model again.

    Attributes:
        model: the network as it stands.
        dropped: names of blocks that are gone.
        removed: by channel group, the indices of the channels that are gone, in the numbering of the full network.
        ranks: rank of the layers in whose place two stand, by their name in the full network.
        quantized: how weights and activations are quantized, or None.
        trained: names of the parameters that are trained (in the numbering of the plain network, factors by their
            own names), None for all.
        notes: remarks for the trial's record.
        train_losses: mean training loss by epoch, of all phases so far.
    """

    model: nn.Module
    dropped: tuple[str, ...] = ()
    removed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    quantized: Quantization | None = None
    trained: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    train_losses: tuple[float, ...] = ()

    @property
    def structure(self) -> dict[str, Any]:
        """What was dropped, removed and factored, as plain data: with it a file is made into the network again."""
        removed = {group: list(gone) for group, gone in self.removed.items()}
        return {"dropped": list(self.dropped), "removed": removed, "ranks": dict(self.ranks)}

    def with_model(self, model: nn.Module, **changes: Any) -> ModelState:
        """The same record around another model, with some of its entries changed."""
        return replace(self, model=model, **changes)


def pack(state: ModelState) -> StoreEntry:
    """Turn a network and its record into a store entry."""
    record = {
        **state.structure,
        "masked": sorted(masks(state.model)),
        "quantized": None if state.quantized is None else state.quantized.to_dict(),
        "trained": None if state.trained is None else list(state.trained),
        "notes": list(state.notes),
        "train_losses": list(state.train_losses),
    }
    return StoreEntry(dict(state.model.state_dict()), {"state": record})


def unpack(entry: StoreEntry, setup: Setup) -> ModelState:
    """Build the model that a store entry describes."""
    record = entry.meta["state"]
    model = setup.fresh_model(0)
    removed = {group: tuple(indices) for group, indices in record["removed"].items()}
    apply_structure(model, setup.example_input, record["dropped"], {g: list(i) for g, i in removed.items()})
    factorize(model, record["ranks"], values=False)
    if record["masked"]:
        weights = dict(model.named_parameters())
        full = {name: torch.ones_like(weights[f"{name}.weight"], dtype=torch.bool) for name in record["masked"]}
        attach_masks(model, full)
    quantized = None if record["quantized"] is None else Quantization.from_dict(record["quantized"])
    if quantized is not None:
        attach_quantizers(model, quantized)
    model.load_state_dict(dict(entry.tensors))
    return ModelState(
        model.to(setup.device),
        dropped=tuple(record["dropped"]),
        removed=removed,
        ranks=record["ranks"],
        quantized=quantized,
        trained=None if record["trained"] is None else tuple(record["trained"]),
        notes=tuple(record["notes"]),
        train_losses=tuple(record["train_losses"]),
    )


def plain_name(parameter: str) -> str:
    """The name a parameter has in the plain network, without the parametrizations that masks and quantizers add.

    >>> plain_name("conv.parametrizations.weight.original")
    'conv.weight'
    """
    return parameter.replace(".parametrizations.weight.original", ".weight").replace(
        "parametrizations.weight.original", "weight"
    )


def freeze_except(model: nn.Module, trained: tuple[str, ...] | None) -> None:
    """Let only the named parameters be trained (names of the plain network) and the steps of quantizers; None: all."""
    for name, parameter in model.named_parameters():
        helper = ACTIVATION in name or OUTPUT in name or ("parametrizations" in name and not name.endswith(".original"))
        parameter.requires_grad_(trained is None or helper or plain_name(name) in trained)


def baked_copy(model: nn.Module) -> nn.Module:
    """A copy of the model in which every parametrization is replaced by the weight that it computes."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            kind = type(module)  # torch shares the injected class among copies, and removing takes its property away
            module.__class__ = type(kind.__name__, kind.__bases__, dict(kind.__dict__))
            for tensor in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, str(tensor), leave_parametrized=True)
    return model


def plain_copy(model: nn.Module) -> nn.Module:
    """A baked copy without the quantizers of inputs and outputs: the layers that are counted."""
    model = baked_copy(model)
    remove_quantizers(model)
    return model
