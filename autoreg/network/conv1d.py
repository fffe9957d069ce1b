"""Linear layers under another name: `Conv1D` of the transformers library, a linear layer whose weight is transposed.

GPT-2 and its kin are built of them. They are no layers of torch, so nothing here would see their weights as those of
a layer: `conv1d_as_linear` puts an equal `nn.Linear` in the place of each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import skip_init


def conv1d_names(model: nn.Module) -> tuple[str, ...]:
    """Names of the `Conv1D` layers, in `named_modules` order.

    They are known by class name and attributes (`nf` outputs, a weight of [inputs, nf]): transformers is not imported.
    """
    return tuple(name for name, module in model.named_modules() if _is_conv1d(module))


def conv1d_as_linear(model: nn.Module) -> nn.Module:
    """Put a linear layer that computes the same in the place of each `Conv1D`, **in place**.

    Names, biases, modes and what is trained stay; weights are transposed. Build optimizers afterwards. A layer that
    stands in several places stands there again, and weights that several layers share stay shared.

    Args:
        model: any module, converted ones included.

    Returns:
        The same model; where the model itself is a `Conv1D`, the linear layer.
    """
    converted: dict[int, nn.Linear] = {}
    weights: dict[int, nn.Parameter] = {}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if not _is_conv1d(module):
            continue
        if id(module) not in converted:
            converted[id(module)] = _linear(module, weights)
        if not name:
            return converted[id(module)]
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, converted[id(module)])
    return model


def conv1d_state(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """The state dict of the converted model, from that of the model as it was built.

    Args:
        state: tensors by name.
        names: the layers that were converted (see `conv1d_names`).
    """
    turned = {f"{name}.weight".lstrip(".") for name in names}
    return {name: tensor.t().contiguous() if name in turned else tensor for name, tensor in state.items()}


def _is_conv1d(module: nn.Module) -> bool:
    if type(module).__name__ != "Conv1D" or not hasattr(module, "nf"):
        return False
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.dim() == 2 and weight.shape[1] == module.nf


def _linear(module: Any, weights: dict[int, nn.Parameter]) -> nn.Linear:
    old, bias = module.weight, getattr(module, "bias", None)
    make: Any = skip_init  # draws no random numbers
    layer: nn.Linear = make(
        nn.Linear, old.shape[0], old.shape[1], bias=bias is not None, device=old.device, dtype=old.dtype
    )
    if id(old) not in weights:
        weights[id(old)] = nn.Parameter(old.detach().t().contiguous(), requires_grad=old.requires_grad)
    layer.weight = weights[id(old)]
    if bias is not None:
        layer.bias = bias
    return layer.train(module.training)
