"""What a trial records beside its metrics: its layers, its latency, its notes, and what it cost.

Whoever runs a trial fills a `TrialInfo`, the log stores its JSON form, and every report reads it back. A log written
before the form had a version is read too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from autoreg.errors import StudyError
from autoreg.files import is_number

VERSION = 1
VERSION_KEY = "info_version"
QUANTILE_95 = 1.6449
"""Standard deviations of a normal distribution from its median to its 95 % quantile: predicted costs lie within with
90 %."""
UNVERSIONED = {  # what fields were called before the form had a version
    "layers": "layers",
    "latency": "latency",
    "latency_predicted": "latency_predicted",
    "notes": "notes",
    "curve": "train_losses",
    "epochs_asked": "epochs_requested",
    "epochs_paid": "epochs_run",
    "seconds": "seconds",
    "phase_seconds": "phase_seconds",
    "finished": "phase_fractions",
    "uncompressed": "uncompressed_quality",
    "folds": "fold_quality",
    "test": "test_metrics",
    "traceback": "traceback",
}


@dataclass(frozen=True)
class LayerRecord:
    """One weighted layer of a trial's network, as it was left.

    Attributes:
        name: of the module.
        type: of the module, `Conv2d` say.
        shape: of its weight, after removal.
        macs: multiply-accumulates for one sample.
        density: share of its weights that are not zero, in [0, 1].
        weight_bits: of a weight; 32 is floating point.
        activation_bits: of an input; 32 is floating point.
        dropped: the layer is gone.
        trained: the layer was trained.
        factor_of: name of the layer in whose place it stands, where that was factorized.
    """

    name: str
    type: str = ""
    shape: tuple[int, ...] = ()
    macs: int = 0
    density: float = 1.0
    weight_bits: int = 32
    activation_bits: int = 32
    dropped: bool = False
    trained: bool = True
    factor_of: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `factor_of` only where there is one."""
        row = {**asdict(self), "shape": list(self.shape)}
        return row if self.factor_of is not None else {k: v for k, v in row.items() if k != "factor_of"}

    @classmethod
    def from_dict(cls, row: Any) -> LayerRecord | None:
        """Read a row; what it does not say has its default. None where it names no layer."""
        if not isinstance(row, Mapping) or "name" not in row:
            return None
        shape, factor_of = row.get("shape"), row.get("factor_of")
        return cls(
            name=str(row["name"]),
            type=str(row.get("type") or ""),
            shape=tuple(int(n) for n in shape if is_number(n)) if isinstance(shape, list | tuple) else (),
            macs=int(_number(row.get("macs")) or 0),
            density=1.0 if (density := _number(row.get("density"))) is None else density,
            weight_bits=int(_number(row.get("weight_bits")) or 32),
            activation_bits=int(_number(row.get("activation_bits")) or 32),
            dropped=bool(row.get("dropped")),
            trained=bool(row.get("trained", True)),
            factor_of=None if factor_of is None else str(factor_of),
        )


@dataclass(frozen=True)
class Latency:
    """Median time of one call in milliseconds, with its 95 % confidence interval `low` to `high`.

    Attributes:
        ms: the median.
        low: lower end of its interval.
        high: upper end.
        runs: how many calls were timed; 0 where that is not known, as in the next two.
        threads: within an operation.
        batch: samples in a call.
        device: what ran it.
        runtime: name and version of the runtime, and its provider.
        noisy: the machine was disturbed meanwhile, so that the time is not to be trusted.
        reference_ms: median of a tiny fixed network that ran in between.
    """

    ms: float
    low: float
    high: float
    runs: int = 0
    threads: int = 0
    batch: int = 0
    device: str = ""
    runtime: str = ""
    noisy: bool = False
    reference_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Latency | None:
        """Read what `to_dict` wrote; what it does not say has its default. None where it holds no time."""
        ends = _interval(data)
        if ends is None:
            return None
        runs, threads, batch = (int(_number(data.get(name)) or 0) for name in ("runs", "threads", "batch"))
        device, runtime = (str(data.get(name) or "") for name in ("device", "runtime"))
        reference = _number(data.get("reference_ms")) or 0.0
        return cls(*ends, runs, threads, batch, device, runtime, bool(data.get("noisy")), reference)


@dataclass(frozen=True)
class PredictedLatency:
    """Predicted milliseconds of a whole exported network; 9 of 10 of the networks fitted on lay in `low` to `high`."""

    ms: float
    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float, float]:
        """Lower end, middle and upper end."""
        return self.low, self.ms, self.high

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> PredictedLatency | None:
        """Read what `to_dict` wrote; None where it holds no time."""
        ends = _interval(data)
        return None if ends is None else cls(*ends)


@dataclass(frozen=True)
class CacheSeconds:
    """Seconds that went into values of `trial.cached`: those that this trial computed, and those it took over."""

    computed: float = 0.0
    saved: float = 0.0


@dataclass
class TrialInfo:
    """What a trial records beside its metrics. A field that nobody filled is None or empty.

    Attributes:
        layers: the weighted layers of its network, in the order of the modules.
        latency: of the untrained network at the recipe's structure and bits, exported.
        latency_predicted: what this machine's latency table predicted of it.
        notes: remarks, one sentence each.
        train_losses: mean training loss of each epoch of the first fold.
        epochs_requested: passes over the training data that the recipe asks for, each weighted by its gradients.
        epochs_run: those that this trial ran; phases from the store cost none.
        seconds: wall-clock time.
        phase_seconds: seconds by phase.
        phase_fractions: of each phase of the recipe in order of work, the share that is done, in [0, 1].
        uncompressed_quality: validation quality of the trained network before anything was compressed.
        fold_quality: validation quality by fold, where there are several.
        test_metrics: by test set, the metrics on it; empty where test data was not looked at.
        cache_seconds: what `trial.cached` cost and saved; None where it was not called.
        traceback: of a trial that failed, its end.
        user: what an objective of the user's own leaves here, by name: JSON data.
    """

    layers: list[LayerRecord] = field(default_factory=list)
    latency: Latency | None = None
    latency_predicted: PredictedLatency | None = None
    notes: list[str] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    epochs_requested: float | None = None
    epochs_run: float | None = None
    seconds: float | None = None
    phase_seconds: dict[str, float] = field(default_factory=dict)
    phase_fractions: list[float] = field(default_factory=list)
    uncompressed_quality: float | None = None
    fold_quality: dict[str, float] = field(default_factory=dict)
    test_metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    cache_seconds: CacheSeconds | None = None
    traceback: str | None = None
    user: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The version and every field that is filled, as plain data (as far as `user` holds plain data)."""
        found: dict[str, Any] = {VERSION_KEY: VERSION}
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            if value is None or (isinstance(value, Sequence | Mapping) and not value):
                continue
            if name == "layers":
                value = [layer.to_dict() if isinstance(layer, LayerRecord) else layer for layer in value]
            elif isinstance(value, Latency | PredictedLatency | CacheSeconds):
                value = asdict(value)
            found[name] = value
        return found

    @classmethod
    def from_dict(cls, data: Any) -> TrialInfo:
        """Read what `to_dict` wrote, or the plain mapping of a log from before there was a version.

        Values that do not fit their field are left out; names that an older log does not share with this form are the
        user's own.

        Raises:
            StudyError: a later version wrote it.
        """
        if not isinstance(data, Mapping):
            return cls()
        version = data.get(VERSION_KEY)
        if version is None:
            data = _with_version(data)
        elif isinstance(version, bool) or version != VERSION:
            raise StudyError(
                f"{VERSION_KEY}: found {version!r:.40}; this version of autoreg reads {VERSION} and logs without one"
            )
        layers, cache, user = data.get("layers"), data.get("cache_seconds"), data.get("user")
        rows = [LayerRecord.from_dict(row) for row in layers] if isinstance(layers, list | tuple) else []
        return cls(
            layers=[row for row in rows if row is not None],
            latency=Latency.from_dict(data.get("latency")),
            latency_predicted=PredictedLatency.from_dict(data.get("latency_predicted")),
            notes=[str(note) for note in _items(data.get("notes"))],
            train_losses=[float(x) if is_number(x) else math.nan for x in _items(data.get("train_losses"))],
            epochs_requested=_number(data.get("epochs_requested")),
            epochs_run=_number(data.get("epochs_run")),
            seconds=_number(data.get("seconds")),
            phase_seconds=_numbers(data.get("phase_seconds")),
            phase_fractions=[float(x) for x in _items(data.get("phase_fractions")) if is_number(x)],
            uncompressed_quality=_number(data.get("uncompressed_quality")),
            fold_quality=_numbers(data.get("fold_quality")),
            test_metrics={str(k): _numbers(v) for k, v in _entries(data.get("test_metrics")).items()},
            cache_seconds=CacheSeconds(**_numbers(cache)) if isinstance(cache, Mapping) else None,
            traceback=None if data.get("traceback") is None else str(data["traceback"]),
            user={str(k): v for k, v in _entries(user).items()},
        )


def _with_version(data: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of a log without a version under the names of version 1."""
    found = {new: data[old] for old, new in UNVERSIONED.items() if old in data}
    cached = _numbers(data.get("cached"))
    if cached:
        found["cache_seconds"] = {"computed": cached.get("paid", 0.0), "saved": cached.get("saved", 0.0)}
    found["user"] = {name: value for name, value in data.items() if name not in UNVERSIONED and name != "cached"}
    return found


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def _numbers(values: Any) -> dict[str, float]:
    return {str(name): float(value) for name, value in _entries(values).items() if is_number(value)}


def _items(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list | tuple) else ()


def _entries(values: Any) -> Mapping[Any, Any]:
    return values if isinstance(values, Mapping) else {}


def _interval(data: Any) -> tuple[float, float, float] | None:
    """Milliseconds and the ends of their interval, which holds them; None where there are none."""
    ms = _number(_entries(data).get("ms"))
    if ms is None or ms <= 0:
        return None
    low, high = (_number(data.get(end)) for end in ("low", "high"))
    if any(end is not None and end <= 0 for end in (low, high)):
        return None
    return ms, ms if low is None else min(low, ms), ms if high is None else max(high, ms)
