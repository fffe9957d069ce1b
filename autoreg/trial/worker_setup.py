"""The setup that the objectives of one worker process share: that of the search, of fresh seeds and of baselines."""

from __future__ import annotations

import hashlib
import importlib

import cloudpickle

from autoreg.trial.setup import Setup, TrialOptions
from autoreg.trial.task_ref import TaskRef

_setups: dict[str, Setup] = {}


def setup_key(ref: TaskRef, options: TrialOptions) -> str:
    """What tells the setups of a worker apart."""
    return hashlib.sha256(cloudpickle.dumps((ref, options))).hexdigest()


def worker_setup(key: str, ref: TaskRef, options: TrialOptions) -> Setup:
    """The setup under a key, built when it is not the last one that was asked for; under no key a new one."""
    found = _setups.get(key)
    if found is None:
        found = Setup(ref.load(), options)
        if key:
            _setups.clear()
            _setups[key] = found
    return found


def warm_up(setup: Setup, *, latency: bool) -> None:
    """Build what every trial needs, and import what takes long."""
    _ = setup.base, setup.profile, setup.loaders(setup.task.folds[0])
    importlib.import_module("torch._dynamo")  # the first step of any optimizer imports it
    if latency:
        importlib.import_module("onnxruntime")
