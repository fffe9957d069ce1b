"""Low-rank factorization: two thin layers in place of one, from the truncated singular value decomposition.

A linear layer, or a convolution read as the matrix W of [out, in · kernel], becomes B · A with A = √S Vᵀ and B = U √S
of the `rank` largest singular values: of all matrices of that rank the nearest to W in the Frobenius and in the
spectral norm (Eckart, Young, "The approximation of one matrix by another of lower rank", Psychometrika 1936, doi
10.1007/BF02288367). A convolution becomes one with the same kernel and `rank` outputs, followed by a 1×1 convolution
(the split of Zhang et al., "Accelerating Very Deep Convolutional Networks", 2015, arXiv:1505.06798, without their fit
to the layer's responses; Denton et al., 2014, arXiv:1404.0736 and Jaderberg et al., 2014, arXiv:1405.3866 split the
kernel otherwise).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from autoreg.errors import InputError
from autoreg.network.inputs import call
from autoreg.network.surgery.factors import factor_shapes, full_rank
from autoreg.network.trace import evaluating, weighted_layers
from autoreg.network.weights import weight_of

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # these and no subclass: others may be called in another way


def factorable(model: nn.Module, example_input: Any) -> frozenset[str]:
    """Names of the layers that two layers can stand in for.

    Left out are grouped and transposed convolutions, layers of other classes, layers and weights that are used in
    more than one place, and layers whose attributes the model reads (as attention reads `out_proj.weight`) or that
    it does not call with one tensor. The model is run once in evaluation mode and left as it was.
    """
    shared = _shared(model)
    found = {name: layer for name, layer in weighted_layers(model).items() if name and not _refusal(layer, shared)}
    if not found:
        return frozenset()
    watched = {name: _Watched(layer) for name, layer in found.items()}
    try:
        with evaluating(model), torch.no_grad():
            for name, watch in watched.items():
                _put(model, name, watch)
            call(model, example_input)
    except Exception:  # a model that asks its layers what they are cannot do with others in their place
        return frozenset()
    finally:
        for name, layer in found.items():
            _put(model, name, layer)
    return frozenset(name for name, watch in watched.items() if watch.called and not watch.read)


def factorize(model: nn.Module, ranks: Mapping[str, int], *, values: bool = True) -> None:
    """Put two layers in place of each named one, in place; layer NAME becomes NAME.0 and NAME.1.

    Their parameters are new objects: build optimizers afterwards. Bake parametrizations before.

    Args:
        model: The model to change. Channels are removed and blocks dropped before.
        ranks: Rank by layer name, 1 to min(out, in · kernel).
        values: Whether the factors get their values from the singular value decomposition (on the CPU, in double
            precision). Otherwise their shapes are right and their values are constants: enough for a skeleton, and
            for a model whose weights are loaded afterwards.

    Raises:
        InputError: When a layer does not exist or cannot be factored, or a rank is out of range. The model is
            unchanged then.
    """
    layers, shared = weighted_layers(model), _shared(model)
    for name, rank in ranks.items():
        if name not in layers:
            near = difflib.get_close_matches(name, layers, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(layers) or 'none'}"
            raise InputError(f"ranks: the model has no weighted layer called {name!r}{hint}")
        reason = "it is the whole model" if not name else _refusal(layers[name], shared)
        if reason:
            raise InputError(f"ranks: layer {name!r} cannot be factored: {reason}")
        most = full_rank(weight_of(layers[name]).shape)
        if not 1 <= rank <= most:
            raise InputError(f"ranks: rank of layer {name!r} is {rank}; allowed: 1 to {most}")
    for name, rank in ranks.items():
        _put(model, name, _factors(layers[name], rank, truncated if values else _constants))


def truncated(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best factors of a rank: (B, A) with B · A nearest to the weight as a matrix.

    Args:
        weight: [out, in, *kernel], any floating type and device.
        rank: 1 to min(out, in · kernel).

    Returns:
        B [out, rank] and A [rank, in · kernel], float64 on the CPU; √S on both sides. The entry of largest magnitude
        in each column of B is positive, so that the factors do not depend on the sign that a library chooses.
    """
    u, s, vt = torch.linalg.svd(_matrix(weight), full_matrices=False)
    u, vt, root = u[:, :rank], vt[:rank], s[:rank].sqrt()
    largest = u.gather(0, u.abs().argmax(0, keepdim=True))
    sign = torch.where(largest[0] < 0, -1.0, 1.0).to(root.dtype)
    return u * (sign * root), vt * (sign * root)[:, None]


def spectrum(weight: Tensor) -> Tensor:
    """Squared singular values of a weight as the matrix [out, in · kernel], largest first; float64 on the CPU."""
    values: Tensor = torch.linalg.svdvals(_matrix(weight))
    return values.square()


def _matrix(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float64).flatten(1)


def _constants(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    out, inputs = weight.shape[0], weight[0].numel()
    return torch.full((out, rank), 1.0 / rank), torch.full((rank, inputs), 1.0 / inputs)


def _factors(layer: Any, rank: int, split: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> nn.Sequential:
    weight, bias = weight_of(layer), layer.bias
    like: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    make: Any = skip_init  # draws no random numbers
    if isinstance(layer, nn.Linear):
        first = make(nn.Linear, layer.in_features, rank, bias=False, **like)
        second = make(nn.Linear, rank, layer.out_features, bias=bias is not None, **like)
    else:
        kind = type(layer)
        settings = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "padding_mode")}
        first = make(kind, layer.in_channels, rank, layer.kernel_size, bias=False, **settings, **like)
        second = make(kind, rank, layer.out_channels, 1, bias=bias is not None, **like)
    outer, inner = split(weight, rank)
    shapes = factor_shapes(weight.shape, rank)
    with torch.no_grad():
        first.weight.copy_(inner.reshape(shapes[0]))
        second.weight.copy_(outer.reshape(shapes[1]))
        if bias is not None:
            second.bias.copy_(bias)
    return nn.Sequential(first, second).train(layer.training)


def _shared(model: nn.Module) -> frozenset[int]:
    """Identities of modules and parameters that stand in more than one place."""
    places = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    owners = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    return frozenset(one for one, times in (*places.items(), *owners.items()) if times > 1)


def _refusal(layer: Any, shared: frozenset[int]) -> str:
    """Why two layers cannot stand in for this one; empty where they can, as far as the modules tell."""
    if type(layer) not in _KINDS:
        return f"it is a {type(layer).__name__}; allowed: {', '.join(kind.__name__ for kind in _KINDS)}"
    if getattr(layer, "groups", 1) != 1:
        return "its channels are in groups"
    if shared & {id(layer), *(id(parameter) for parameter in layer.parameters(recurse=False))}:
        return "it or its weight is used in more than one place"
    return ""


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


class _Watched(nn.Module):
    """Calls a layer and notes whether anything but a call with one tensor was wanted of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.called = False
        self.read = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.called = True
        self.read = self.read or len(args) != 1 or bool(kwargs)
        return self.layer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            value = getattr(self.layer, name)
            self.read = True
            return value
