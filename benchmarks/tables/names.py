"""Tables by name, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from autoreg.errors import InputError
from benchmarks.tables import live, own, published
from benchmarks.tables.measures import Judge, judge
from benchmarks.tables.table import Table

OWN = (*own.NAMES, *own.VARIANTS)
"""Tables by real training with autoreg, and the same at other costs; they have learning curves and shared phases."""
GROUPS = {
    "tune": published.TUNE,
    "read": published.NAMES[len(published.TUNE) :],
    "own": own.NAMES,
    "live": live.NAMES,
    "all": (*published.NAMES, *OWN, *live.NAMES),
}
"""An engine may be tuned on `tune` and on `own-digits` alone; the others are read at the end."""


def load(name: str) -> Table:
    """Load a table.

    Raises:
        InputError: If there is no such table.
    """
    if name not in GROUPS["all"]:
        raise InputError(f"table {name!r} is not known; allowed: {', '.join(GROUPS['all'])}")
    if name in live.NAMES:
        return live.load(name)
    return own.load(name) if name in OWN else published.load(name)


def judge_of(name: str, seed: int) -> Judge:
    """The judge of a (table, seed); cached until the table grows, as live ones do."""
    return _judged(name, seed, len(load(name)) if name in live.NAMES else 0)


@lru_cache(maxsize=64)
def _judged(name: str, seed: int, rows: int) -> Judge:
    return judge(load(name), seed)


def restored(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recorded run, with the rows that this process has for it: those of live tables differ between processes."""
    return live.load(run["table"]).restored(run) if run["table"] in live.NAMES else run
