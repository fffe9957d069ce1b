"""Which module alone consumes what another returns: code outside of any module counts, and changes in place, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")


def tensor_version(tensor: Tensor) -> int:
    """How often a tensor was changed in place so far; 0 for tensors of the inference mode, which do not count."""
    return 0 if tensor.is_inference() else tensor._version


def sole_consumers(model: nn.Module, run: Callable[[nn.Module], Any], links: Mapping[str, str]) -> dict[str, str]:
    """Keep the links from a module to the one module that alone consumes its output.

    Everybody but the named consumer is handed NaN; it must not arrive at the model's output. What turns NaN into
    numbers (comparisons, `nan_to_num`) is not seen.

    Args:
        model: run in evaluation mode and left as it was.
        run: calls the model on an example.
        links: by module, the module that is said to be its only consumer; both get the very tensor. The first is called
            once and returns one floating-point tensor, the second may be called more often.
    """
    if not links or _nobody_else(model, run, links):
        return dict(links)
    if len(links) == 1:
        return {}
    return {name: consumer for name, consumer in links.items() if _nobody_else(model, run, {name: consumer})}


def _nobody_else(model: nn.Module, run: Callable[[nn.Module], Any], links: Mapping[str, str]) -> bool:
    outputs: list[Any] = []
    handles = []
    for name, consumer in links.items():
        handed_out: list[tuple[Tensor, Tensor]] = []  # what is handed out, and what was computed

        def poison(module: Any, args: Any, output: Any, handed_out: list[tuple[Tensor, Tensor]] = handed_out) -> Any:
            handed_out.append((torch.full_like(output, torch.nan), output))
            return handed_out[-1][0]

        def antidote(module: Any, args: Any, kwargs: Any, handed_out: list[tuple[Tensor, Tensor]] = handed_out) -> Any:
            def healed(value: Any) -> Any:
                return next((right for wrong, right in handed_out if wrong is value), value)

            return tuple(healed(value) for value in args), {key: healed(value) for key, value in kwargs.items()}

        handles.append(model.get_submodule(name).register_forward_hook(poison))
        handles.append(model.get_submodule(consumer).register_forward_pre_hook(antidote, with_kwargs=True))
    handles.append(model.register_forward_hook(lambda module, args, output: outputs.append(output)))
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            run(model)
    except Exception:  # who fails on NaN has read it
        return False
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    found = [value for value in torch.utils._pytree.tree_leaves(outputs) if isinstance(value, torch.Tensor)]
    found = [value for value in found if value.is_floating_point()]
    return bool(found) and not any(bool(value.isnan().any()) for value in found)
