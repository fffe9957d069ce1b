"""Tables by name, wherever they come from."""

from __future__ import annotations

from functools import lru_cache

from autoreg.errors import InputError
from benchmarks.tables import own, published
from benchmarks.tables.measures import Judge, judge
from benchmarks.tables.table import Table

OWN = (*own.NAMES, *own.VARIANTS)
"""Tables by real training with autoreg, and the same at other costs; they have learning curves and shared phases."""
GROUPS = {
    "tune": published.TUNE,
    "read": published.NAMES[len(published.TUNE) :],
    "own": own.NAMES,
    "all": (*published.NAMES, *OWN),
}
"""An engine may be tuned on `tune` and on `own-digits` alone; the others are read at the end."""


def load(name: str) -> Table:
    """Load a table.

    Raises:
        InputError: If there is no such table.
    """
    if name not in GROUPS["all"]:
        raise InputError(f"table {name!r} is not known; allowed: {', '.join(GROUPS['all'])}")
    return own.load(name) if name in OWN else published.load(name)


@lru_cache(maxsize=64)
def judge_of(name: str, seed: int) -> Judge:
    """The judge of a (table, seed); kept."""
    return judge(load(name), seed)
