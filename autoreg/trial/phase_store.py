"""The store of a setup as the phases use it: networks in, networks out, and nothing at all where it is not used."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from autoreg.errors import InputError
from autoreg.plan import Phase, content_hash
from autoreg.trial.checkpoint import pack_training, unpack_training
from autoreg.trial.loop import seeded
from autoreg.trial.model_state import ModelState, pack, unpack
from autoreg.trial.run import Run
from autoreg.trial.setup import Setup
from autoreg.trial.store import StoreEntry


def snapshot_key(phase: Phase, epoch: int) -> str:
    """Key of the network in the midst of a training phase, after an epoch; on its trunk the same for all lengths."""
    return content_hash([phase.trunk.get(epoch, phase.key), "rung", epoch])


class PhaseStore:
    """Networks, metrics and outputs by key. Where the setup uses no store, nothing is found and nothing is stored."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._store = setup.store if setup.options.cache else None

    def computing(self, key: str) -> contextlib.AbstractContextManager[None]:
        """Hold the right to compute a phase; others on this machine wait for it.

        Never hold it while a report waits for its answer: whoever answers may want the same phase.
        """
        return contextlib.nullcontext() if self._store is None else self._store.writing(key)

    def network(self, key: str) -> ModelState | None:
        """The network under a key, None where there is none or it is damaged."""
        entry = None if self._store is None else self._store.get(key)
        if entry is None:
            return None
        try:
            with seeded(0):  # building it draws weights that are overwritten: a training in progress must not see that
                return unpack(entry, self._setup)
        except (InputError, KeyError, RuntimeError, TypeError, ValueError):  # damaged: as good as missing
            self._setup.store.drop(key)
            return None

    def resume(self, key: str, run: Run) -> list[float] | None:
        """Bring a run to where the training under a key stood; its losses, None where there is none or it is damaged.

        A damaged one is told before the run is changed: what does not fit the run is of no use to anybody.
        """
        entry = None if self._store is None else self._store.get(key)
        if entry is None:
            return None
        before = pack_training(run, ())
        current = replace(before, tensors={name: tensor.detach().clone() for name, tensor in before.tensors.items()})
        try:
            return unpack_training(entry, run, self._setup.device)
        except (KeyError, RuntimeError, TypeError, ValueError):
            unpack_training(current, run, self._setup.device)
            self._setup.store.drop(key)
            return None

    def put_training(self, key: str, run: Run, losses: Sequence[float]) -> None:
        """Leave a training in its midst for others, which go on from there."""
        if self._store is not None:
            self._store.put(key, pack_training(run, losses))

    def put_network(self, key: str, state: ModelState) -> None:
        """Leave a network for others."""
        if self._store is not None:
            self._store.put(key, pack(state))

    def metrics(self, key: str) -> dict[str, float] | None:
        """The metrics under a key, None where there are none."""
        entry = None if self._store is None else self._store.get(key)
        return None if entry is None else {str(name): float(value) for name, value in entry.meta["metrics"].items()}

    def put_metrics(self, key: str, metrics: Mapping[str, float]) -> None:
        """Leave metrics for others."""
        if self._store is not None:
            self._store.put(key, StoreEntry({}, {"metrics": dict(metrics)}))

    def outputs(self, key: str) -> torch.Tensor | None:
        """The outputs under a key, None where there are none."""
        entry = None if self._store is None else self._store.get(key)
        return None if entry is None else entry.tensors.get("outputs")

    def put_outputs(self, key: str, outputs: torch.Tensor) -> None:
        """Leave outputs for others."""
        if self._store is not None:
            self._store.put(key, StoreEntry({"outputs": outputs}, {}))
