"""The layers of a model that have weights, and their weights beneath and behind parametrizations."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")


def weighted_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Names and modules of linear layers and (transposed) convolutions, in `named_modules` order.

    Embeddings and norms are no weighted layers.
    """
    from torch.nn.modules.conv import _ConvNd

    return [(n, m) for n, m in model.named_modules() if isinstance(m, _ConvNd | torch.nn.Linear)]


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the weighted layer of that name.

    Raises:
        InputError: if there is none; the message has the nearest right name.
    """
    layers = dict(weighted_layers(model))
    if name in layers:
        return layers[name]
    near = difflib.get_close_matches(name, layers, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(layers) or 'none'}"
    raise InputError(f"no weighted layer is called {name!r}{hint}")


def raw_weight(module: nn.Module) -> nn.Parameter:
    """The parameter beneath a layer's weight: what an optimizer changes, whatever parametrizes it."""
    holder: Any = getattr(module, "parametrizations", {})
    weight = holder["weight"].original if "weight" in holder else module.weight
    assert isinstance(weight, torch.nn.Parameter)
    return weight


def weight_steps(module: nn.Module) -> list[nn.Module]:
    """The parametrizations on a layer's weight, in the order in which they act."""
    holder: Any = getattr(module, "parametrizations", {})
    return list(holder["weight"]) if "weight" in holder else []


def bake_weight(module: nn.Module) -> None:
    """Replace a layer's parametrized weight by the plain weight that it computes, in place.

    torch gives a parametrized module a class of its own, which its copies share, and takes the weight's property off
    that class when it bakes one of them. The module gets another class first, so that its copies go on working.
    """
    from torch.nn.utils import parametrize

    kind = type(module)
    own = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(kind.__name__, kind.__bases__, own)
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def is_transposed(module: nn.Module) -> bool:
    """Whether the layer is a transposed convolution, which stores its weight with the inputs first."""
    return bool(getattr(module, "transposed", False))


def outputs_first(weight: Tensor, module: nn.Module) -> Tensor:
    """A layer's weight as [out, in / groups, ...]: transposed convolutions are turned, others are as they are.

    Args:
        weight: shaped like the layer's weight.
        module: the layer.
    """
    if not is_transposed(module):
        return weight
    groups = int(module.groups)  # type: ignore[arg-type]
    inputs, outputs, *kernel = weight.shape
    turned = weight.reshape(groups, inputs // groups, outputs, *kernel).transpose(1, 2)
    return turned.reshape(groups * outputs, inputs // groups, *kernel)
