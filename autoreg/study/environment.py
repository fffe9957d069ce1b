"""What results depend on beside the study: the machine, the device and the versions of libraries."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

LIBRARIES = ("autoreg", "torch", "optuna", "ray", "xgboost", "scikit-learn", "onnxruntime", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """The machine as far as timings depend on it; no names of hosts or people."""
    return {"system": platform.system(), "machine": platform.machine(), "python": sys.implementation.name}


def trial_device(executor: str, gpus_per_trial: float) -> str:
    """The device of every process of a study: driver and workers must agree, since results are keyed by it.

    Args:
        executor: `local` or `ray`.
        gpus_per_trial: fraction of a GPU that each trial gets.

    Raises:
        InputError: a GPU is wanted and there is none.
    """
    if gpus_per_trial > 0 and not torch.cuda.is_available():
        raise InputError(f"--gpus-per-trial {gpus_per_trial:g}: this machine has no GPU that PyTorch can use")
    if executor == "ray" and gpus_per_trial == 0:
        return "cpu"  # Ray hides the GPUs from workers that request none
    return "cuda" if torch.cuda.is_available() else "cpu"
