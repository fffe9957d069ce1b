"""A machine's table: how long single layers take, by shape and kind, kept for every study and every task.

One JSON line per entry under a first line with the device's fingerprint; lines are appended as they are measured, so
that a killed run loses nothing. Loads without torch.
"""

from __future__ import annotations

import json
import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autoreg.costs.layer_key import LayerKey
from autoreg.costs.timing import device_digest
from autoreg.errors import InputError

VERSION = 1
LIMIT = 3000  # entries that are measured one by one; above it a grid of them is measured and the rest interpolated
_AXIS = 16  # levels along an axis of the finest grid that is tried


@dataclass(frozen=True)
class Entry:
    """Median time of one layer in milliseconds, with its 95 % interval; `noisy` when no try went undisturbed."""

    ms: float
    low: float
    high: float
    runs: int = 0
    noisy: bool = False

    @property
    def doubt(self) -> tuple[bool, float]:
        """Of two measurements of one layer, the one with less of it is kept: disturbed or not, then the spread."""
        return self.noisy, (self.high - self.low) / self.ms


class LatencyTable:
    """Times of single layers on one device.

    Args:
        fingerprint: of the device, see `autoreg.costs.timing.device_fingerprint`.
        path: where entries are appended; None keeps them in memory alone.
    """

    def __init__(self, fingerprint: Mapping[str, str | int], path: Path | None = None) -> None:
        self.fingerprint = dict(fingerprint)
        self.path = path
        self.entries: dict[LayerKey, Entry] = {}
        self._families: dict[Any, dict[tuple[int, int], Entry]] = {}
        self._known: dict[LayerKey, Entry] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, key: LayerKey) -> bool:
        return key in self.entries

    @classmethod
    def file(cls, folder: str | Path, fingerprint: Mapping[str, str | int]) -> Path:
        """Where the table of a device stands in a store's folder of latencies."""
        return Path(folder) / f"table-{device_digest(fingerprint)}.jsonl"

    @classmethod
    def open(cls, folder: str | Path, fingerprint: Mapping[str, str | int]) -> LatencyTable:
        """The device's table in a folder, empty when it has none; what is added is written to it."""
        path = cls.file(folder, fingerprint)
        return cls.load(path, fingerprint) if path.exists() else cls(fingerprint, path)

    @classmethod
    def load(cls, path: str | Path, fingerprint: Mapping[str, str | int]) -> LatencyTable:
        """Read a table; a last line that was cut off is passed over.

        Raises:
            InputError: it is no table, or was measured on another device; the message names what differs.
        """
        path = Path(path)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        head = _parse(lines[0]) if lines else None
        if not head or head.get("format") != VERSION or not isinstance(head.get("fingerprint"), dict):
            raise InputError(f"{path}: is no latency table of format {VERSION}; build one with `autoreg latency`")
        there = head["fingerprint"]
        names = sorted({*there, *fingerprint})
        differs = [
            f"{name} {there.get(name)!r} (here {fingerprint.get(name)!r})"
            for name in names
            if there.get(name) != fingerprint.get(name)
        ]
        if differs:
            raise InputError(
                f"{path}: was measured on another device: {', '.join(differs)}; a table holds only where it was "
                "measured, build this one's with `autoreg latency`"
            )
        table = cls(there, path)
        for line in lines[1:]:
            data = _parse(line)
            if data is not None:
                try:
                    table._keep(LayerKey.from_dict(data["key"]), Entry(**data["entry"]))
                except (KeyError, TypeError):
                    continue
        return table

    def add(self, key: LayerKey, entry: Entry) -> None:
        """Take an entry in, in place of an older one, and append it to the file."""
        self._keep(key, entry)
        if self.path is None:
            return
        line = json.dumps({"key": key.to_dict(), "entry": asdict(entry)}) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            end = file.seek(0, os.SEEK_END)
            if end == 0:
                line = json.dumps({"format": VERSION, "fingerprint": self.fingerprint}) + "\n" + line
            else:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    line = "\n" + line  # the last writer was killed in mid-line
            file.write(line.encode())
            file.flush()

    def _keep(self, key: LayerKey, entry: Entry) -> None:
        self.entries[key] = entry
        self._families.setdefault(key.family, {})[key.inputs, key.outputs] = entry
        self._known.clear()

    def covers(self, key: LayerKey) -> bool:
        """Whether the table can say anything of a layer: it has entries of this kind and geometry."""
        return key in self.entries or key.family in self._families

    def find(self, key: LayerKey) -> Entry:
        """The time of a layer: measured, or interpolated between measured channels of the same geometry and kind.

        Between four (in depthwise layers two) measured ones it is linear in the logarithms of time and channels;
        outside of all that were measured it grows with the multiply-accumulates of the nearest.

        Raises:
            InputError: nothing of this kind and geometry was measured.
        """
        if key in self.entries:
            return self.entries[key]
        if key not in self._known:
            family = self._families.get(key.family)
            if not family:
                shape = f"{key.kind} {key.geometry.op} with {key.inputs} inputs and {key.outputs} outputs"
                raise InputError(
                    f"the latency table has no layer like this one ({shape}, {key.geometry.rows} rows, input "
                    f"{list(key.geometry.spatial)}); complete it with `autoreg latency`"
                )
            self._known[key] = interpolate(family, key)
        return self._known[key]


def interpolate(family: Mapping[tuple[int, int], Entry], key: LayerKey) -> Entry:
    """Time of a layer from those that differ in channels alone; see `LatencyTable.find`.

    Args:
        family: entries by (inputs, outputs), at least one.
        key: the layer.
    """
    at = (key.inputs, key.outputs)
    corners = _rectangle(family, at)
    if corners is None:
        near = min(family, key=lambda one: abs(math.log(one[0] / at[0])) + abs(math.log(one[1] / at[1])))
        other = LayerKey(key.kind, key.geometry, *near)
        return _scaled(family[near], max(1e-3, key.macs / other.macs))
    (low_in, low_out), (high_in, high_out) = corners
    right, up = _share(low_in, at[0], high_in), _share(low_out, at[1], high_out)
    weights: dict[tuple[int, int], float] = {}
    sides = ((low_in, 1 - right), (high_in, right))
    if key.geometry.depthwise:
        for channels, weight in sides:
            weights[channels, channels] = weights.get((channels, channels), 0.0) + weight
    else:
        for inputs, one in sides:
            for outputs, other_weight in ((low_out, 1 - up), (high_out, up)):
                weights[inputs, outputs] = weights.get((inputs, outputs), 0.0) + one * other_weight

    def mean(values: Iterable[tuple[float, float]]) -> float:
        return math.exp(sum(weight * math.log(value) for value, weight in values if weight > 0))

    return Entry(
        ms=mean((family[corner].ms, weight) for corner, weight in weights.items()),
        low=mean((family[corner].low, weight) for corner, weight in weights.items()),
        high=mean((family[corner].high, weight) for corner, weight in weights.items()),
        noisy=any(family[corner].noisy for corner in weights),
    )


def _rectangle(
    family: Mapping[tuple[int, int], Entry], at: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The smallest rectangle around a point whose corners were all measured."""
    if all(inputs == outputs for inputs, outputs in family) and at[0] == at[1]:  # depthwise: a line of channels
        line = sorted(inputs for inputs, _ in family)
        low, high = bisect_right(line, at[0]) - 1, bisect_left(line, at[0])
        return ((line[low], line[low]), (line[high], line[high])) if low >= 0 and high < len(line) else None
    rows, columns = sorted({inputs for inputs, _ in family}), sorted({outputs for _, outputs in family})
    best: tuple[tuple[int, int], tuple[int, int]] | None = None
    smallest = math.inf
    for low_in in [i for i in reversed(rows) if i <= at[0]]:  # near ones first: most rectangles are then too large
        for high_in in [i for i in rows if i >= at[0]]:
            for low_out in [o for o in reversed(columns) if o <= at[1]]:
                for high_out in [o for o in columns if o >= at[1]]:
                    area = math.log(2 * high_in / low_in) * math.log(2 * high_out / low_out)
                    if (
                        area < smallest
                        and {(i, o) for i in (low_in, high_in) for o in (low_out, high_out)} <= family.keys()
                    ):
                        best, smallest = ((low_in, low_out), (high_in, high_out)), area
    return best


def _share(low: int, value: int, high: int) -> float:
    return 0.0 if low == high else math.log(value / low) / math.log(high / low)


def _scaled(entry: Entry, factor: float) -> Entry:
    return Entry(entry.ms * factor, entry.low * factor, entry.high * factor, entry.runs, entry.noisy)


def to_measure(wanted: Iterable[LayerKey], limit: int = LIMIT) -> list[LayerKey]:
    """The entries to measure so that `wanted` can all be told.

    Up to `limit` they are `wanted` themselves. Above, a grid of each family's channels is measured: the lowest and
    the highest and between them about evenly on a log scale, as fine as the limit allows.

    Example:
        >>> to_measure([])
        []
    """
    keys = sorted(set(wanted), key=lambda key: (repr(key.family), key.inputs, key.outputs))
    if len(keys) <= limit:
        return keys
    families: dict[Any, list[LayerKey]] = {}
    for key in keys:
        families.setdefault(key.family, []).append(key)
    found: list[LayerKey] = []
    for size in range(_AXIS, 1, -1):
        found = [key for members in families.values() for key in _grid(members, size)]
        if len(found) <= limit:
            break
    return found


def _grid(members: list[LayerKey], size: int) -> list[LayerKey]:
    first = members[0]
    inputs, outputs = (spread_over({getattr(key, end) for key in members}, size) for end in ("inputs", "outputs"))
    if first.geometry.depthwise:
        return [LayerKey(first.kind, first.geometry, channels, channels) for channels in inputs]
    return [LayerKey(first.kind, first.geometry, i, o) for i in inputs for o in outputs]


def spread_over(values: set[int], size: int) -> list[int]:
    """At most `size` of some numbers, the extremes among them, about evenly on a log scale."""
    ordered = sorted(values)
    if len(ordered) <= size:
        return ordered
    low, high = math.log(ordered[0]), math.log(ordered[-1])
    aims = [math.exp(low + (high - low) * step / (size - 1)) for step in range(size)]
    return sorted({min(ordered, key=lambda value: abs(math.log(value / aim))) for aim in aims})


def _parse(line: str) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
