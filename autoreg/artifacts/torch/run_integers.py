"""A finished network as a torch module that runs in integers where the runtime does, on the CPU or on CUDA."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from autoreg.artifacts.deployable import Deployable
from autoreg.artifacts.torch.cuda import cuda_layer, require_cuda
from autoreg.artifacts.torch.integer import converted, cpu_layer
from autoreg.errors import InputError

RUNTIMES = ("cpu", "cuda")


def integer_model(found: Deployable, example_input: Any, *, runtime: str = "cpu") -> tuple[nn.Module, dict[str, str]]:
    """A network that runs in integers where it can, else in fp32 on the grid.

    Args:
        found: its batch norms not folded; left as it was.
        example_input: what the model is called with; layers are tried on inputs of its shapes.
        runtime: `cpu`, or `cuda` (see `autoreg.artifacts.torch.cuda`).

    Returns:
        The network, for evaluation, and by layer with a code how it runs: `int8` or `fp32`; on CUDA also `2:4`, for
        any linear layer.

    Raises:
        InputError: on an unknown runtime, or one that is not there.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"runtime = {runtime!r}; allowed: {', '.join(RUNTIMES)}")
    if runtime == "cuda":
        require_cuda()
        return converted(found, example_input, cuda_layer, torch.device("cuda"))
    return converted(found, example_input, cpu_layer, torch.device("cpu"))
