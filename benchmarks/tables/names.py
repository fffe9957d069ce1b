"""Tables by name, wherever they come from."""

from __future__ import annotations

from functools import lru_cache

from autoreg.errors import InputError
from benchmarks.tables import published
from benchmarks.tables.measures import Judge, judge
from benchmarks.tables.table import Table

OWN = ("digits", "speech", "adult")
"""Tables by real training with autoreg; they have learning curves and shared phases."""
GROUPS = {
    "tune": published.TUNE,
    "read": published.NAMES[len(published.TUNE) :],
    "own": OWN,
    "all": (*published.NAMES, *OWN),
}
"""An engine may be tuned on `tune` and on digits alone; the others are read at the end."""


def load(name: str) -> Table:
    """Load a table.

    Raises:
        InputError: If there is no such table.
    """
    if name not in GROUPS["all"]:
        raise InputError(f"table {name!r} is not known; allowed: {', '.join(GROUPS['all'])}")
    if name in OWN:
        from benchmarks.tables import own

        return own.load(name)
    return published.load(name)


@lru_cache(maxsize=64)
def judge_of(name: str, seed: int) -> Judge:
    """The judge of a (table, seed); kept."""
    return judge(load(name), seed)
