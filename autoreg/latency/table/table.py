"""A machine's table: how long single layers take, by shape and kind, kept for every study and every task.

One JSON line per entry under a first line with the device's fingerprint; lines are appended as they are measured, so
that a killed run loses nothing. Loads without torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autoreg.errors import InputError
from autoreg.files import parse_json
from autoreg.latency.table.grid import LayerTime, interpolate
from autoreg.latency.table.layer_key import LayerKey
from autoreg.latency.timing import device_digest

TABLE_VERSION = 1


class LatencyTable:
    """Times of single layers on one device.

    Args:
        fingerprint: of the device, see `autoreg.latency.timing.device_fingerprint`.
        path: where entries are appended; None keeps them in memory alone.
    """

    def __init__(self, fingerprint: Mapping[str, str | int], path: Path | None = None) -> None:
        self.fingerprint = dict(fingerprint)
        self.path = path
        self.entries: dict[LayerKey, LayerTime] = {}
        self._families: dict[Any, dict[tuple[int, int], LayerTime]] = {}
        self._known: dict[LayerKey, LayerTime] = {}

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
        if path.exists() and b"\n" not in path.read_bytes():
            path.unlink()  # its writer was killed in the very first line
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
        if not head or head.get("format") != TABLE_VERSION or not isinstance(head.get("fingerprint"), dict):
            raise InputError(f"{path}: is no latency table of format {TABLE_VERSION}; build one with `autoreg latency`")
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
                    table._take_in(LayerKey.from_dict(data["key"]), LayerTime.from_dict(data["entry"]))
                except (LookupError, TypeError, ValueError, AttributeError):  # damaged, or a later version's
                    continue
        return table

    def add(self, key: LayerKey, entry: LayerTime) -> None:
        """Take an entry in, in place of an older one, and append it to the file."""
        self._take_in(key, entry)
        if self.path is None:
            return
        line = json.dumps({"key": key.to_dict(), "entry": asdict(entry)}) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            end = file.seek(0, os.SEEK_END)
            if end == 0:
                line = json.dumps({"format": TABLE_VERSION, "fingerprint": self.fingerprint}) + "\n" + line
            else:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    line = "\n" + line  # the last writer was killed in mid-line
            file.write(line.encode())
            file.flush()

    def _take_in(self, key: LayerKey, entry: LayerTime) -> None:
        self.entries[key] = entry
        self._families.setdefault(key.family, {})[key.inputs, key.outputs] = entry
        self._known.clear()

    def covers(self, key: LayerKey) -> bool:
        """Whether the table can say anything of a layer: it has entries of this kind and geometry."""
        return key in self.entries or key.family in self._families

    def find(self, key: LayerKey) -> LayerTime:
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


def _parse(line: str) -> dict[str, Any] | None:
    try:
        data = parse_json(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
