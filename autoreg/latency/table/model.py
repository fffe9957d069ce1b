"""Predicted latency of a task's recipes on this machine, as studies use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.files import parse_json, write_whole
from autoreg.latency.artifact_latency import LatencyCache, signature
from autoreg.latency.calibration import Correction, features
from autoreg.latency.table.table import LatencyTable
from autoreg.latency.timing import device_digest, device_fingerprint
from autoreg.network.geometry import Geometry
from autoreg.network.inputs import batch_size
from autoreg.network.layer_geometries import layer_geometries
from autoreg.network.shapes import Profile
from autoreg.trial_info import PredictedLatency

CORRECTION_VERSION = 1


class TimedSetup(Protocol):
    """What is needed of a task's setup (`autoreg.trial.setup.Setup`)."""

    latency: LatencyCache

    @property
    def task(self) -> Any:
        """Gives `latency_input()`."""

    @property
    def profile(self) -> Profile:
        """Of the dense network."""

    def skeleton(self) -> Any:
        """A dense model whose weights do not matter."""


@dataclass(frozen=True)
class HeldOutErrors:
    """How well whole recipes are predicted that the correction was not fitted on.

    Attributes:
        predicted: milliseconds, by recipe.
        measured: milliseconds, by recipe.
        median: of |predicted - measured| / measured.
        p90: 90th percentile of the same.
        noisy: how many of the measurements were disturbed, all tries long.
    """

    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    median: float
    p90: float
    noisy: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return {**vars(self), "predicted": list(self.predicted), "measured": list(self.measured)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HeldOutErrors:
        """Read what `to_dict` wrote."""
        return cls(**{**data, "predicted": tuple(data["predicted"]), "measured": tuple(data["measured"])})


@dataclass(frozen=True)
class LatencyModel:
    """Predicts the latency of any levels of one task's network on this machine.

    Attributes:
        table: times of single layers.
        correction: what whole networks of this task take beside them.
        check: errors on held-out recipes of this task.
        geometries: of the dense network's layers at the latency batch.
        profile: of the dense network.
        batch: samples in a timed call.
    """

    table: LatencyTable
    correction: Correction
    check: HeldOutErrors
    geometries: Mapping[str, Geometry]
    profile: Profile
    batch: int

    @classmethod
    def load(cls, setup: TimedSetup, *, threads: int = 1) -> LatencyModel | None:
        """The model of a task on this machine; None where `autoreg latency` was not run for its network here."""
        fingerprint = device_fingerprint(threads)
        folder = setup.latency.folder
        path = correction_file(folder, fingerprint, network_digest(setup))
        table = LatencyTable.file(folder, fingerprint)
        try:
            stored = parse_json(path.read_text(encoding="utf-8"))
            if stored["format"] != CORRECTION_VERSION or stored["fingerprint"] != fingerprint:
                return None
            correction, check = Correction.from_dict(stored["correction"]), HeldOutErrors.from_dict(stored["check"])
            known = LatencyTable.load(table, fingerprint)
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ):  # missing, cut short, foreign or of another version
            return None
        return cls(known, correction, check, *timed_network(setup))

    def features(self, levels: Levels) -> dict[str, float]:
        """Features of levels, see `autoreg.latency.calibration`."""
        return features(self.table, self.geometries, predict(self.profile, levels), levels, self.batch)

    def predict(self, levels: Levels) -> PredictedLatency:
        """Milliseconds that the exported network of these levels takes, with the threads of the table.

        Raises:
            InputError: the levels do not fit the network, or have layers that the table knows nothing of.
        """
        return self.correction.predict(self.features(levels))

    def summary(self) -> dict[str, float]:
        """What a study keeps of the table: its size, and the errors on held-out recipes when it was built."""
        return {
            "error_median": self.check.median,
            "error_p90": self.check.p90,
            "recipes": len(self.check.measured),
            "entries": len(self.table),
        }


def timed_network(setup: TimedSetup) -> tuple[dict[str, Geometry], Profile, int]:
    """Geometries, profile and batch of a task's dense network as it is timed."""
    given = setup.task.latency_input()
    return layer_geometries(setup.skeleton(), given), setup.profile, batch_size(given)


def network_digest(setup: TimedSetup) -> str:
    """Digest of the dense network and the batch that is timed: what a correction belongs to.

    Tasks that differ in their data alone share it.
    """
    return signature(setup.skeleton(), setup.task.latency_input())


def correction_file(folder: str | Path, fingerprint: Mapping[str, str | int], network: str) -> Path:
    """Where the correction of a network stands; see `network_digest`."""
    return Path(folder) / f"correction-{device_digest(fingerprint)}-{network}.json"


def save_correction(
    folder: str | Path,
    fingerprint: Mapping[str, str | int],
    network: str,
    correction: Correction,
    check: HeldOutErrors,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Keep what was fitted, with what a reader wants to know (`about`); the file appears at once."""
    path = correction_file(folder, fingerprint, network)
    stored = {"format": CORRECTION_VERSION, "fingerprint": dict(fingerprint), "network": network, **(about or {})}
    stored |= {"correction": correction.to_dict(), "check": check.to_dict()}
    write_whole(path, json.dumps(stored, indent=1).encode())
    return path
