"""Our own tables, by real training with `benchmarks.tables.build`, as tables of finished trials.

`own-digits`, `own-speech` and `own-adult` cost bit operations; `own-digits-bytes` and the like cost something else. An
engine may be tuned on digits; speech and Adult are read at the end.

Two rules were fixed before any arm ran: the tolerance is an eighth of the way from the error of the dense recipe
(validation, mean over columns) to chance, and *near* is a tenth of the tolerance.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import InputError
from autoreg.space import Space
from benchmarks.tables.grids import GRIDS, UNCOMPRESSED, Grid
from benchmarks.tables.table import Config, Floats, Table, key_of

DATA = Path(__file__).parent / "data"
COSTS = ("bops", "bytes", "flops")
DEFAULT_COST = COSTS[0]
"""It spans the widest range: channels, masks and bits all count."""
NAMES = tuple(f"own-{name}" for name in GRIDS)
VARIANTS = tuple(f"{name}-{cost}" for name in NAMES for cost in COSTS[1:])
"""The same recipes at another cost."""
TOLERANCE, NEAR = 1 / 8, 1 / 10


@functools.lru_cache(maxsize=4)
def load(name: str) -> Table:
    """Load one of `NAMES` or `VARIANTS`.

    Raises:
        InputError: there is no such table, or it was not built.
    """
    if name not in (*NAMES, *VARIANTS):
        raise InputError(f"table {name!r} is not known; allowed: {', '.join((*NAMES, *VARIANTS))}")
    _, grid, *cost = name.split("-")
    path = DATA / f"own-{grid}.parquet"
    if not path.is_file():
        raise InputError(
            f"table {name}: there is no {path.name}; build it with python -m benchmarks.tables.build {grid}"
        )
    return read(path, name, cost[0] if cost else DEFAULT_COST)


def read(path: Path, name: str, cost: str = DEFAULT_COST) -> Table:
    """Read a table that `build` has written.

    Columns of the file are the table's seeds. Seconds of a phase are the mean over them; its key is the first one's,
    since recipes share a phase with every seed or with none.

    Raises:
        InputError: the recipes of the file are not those that its grid stands for.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"autoreg"])
    grid = Grid(**{**about["grid"], "data": tuple(about["grid"]["data"]), "seeds": tuple(about["grid"]["seeds"])})
    configs = grid.configs()
    shape = len(configs), len(grid.seeds)
    if grid.digest != about["digest"] or table.num_rows != shape[0] * shape[1]:
        raise InputError(f"{path.name}: holds {table.num_rows:,} rows of another space; expected {shape[0]:,} recipes")
    columns = {field: table.column(field).to_pylist() for field in table.column_names}
    order = np.lexsort((columns["column"], columns["recipe"]))

    def matrix(field: str) -> Floats:
        return np.asarray(columns[field], dtype=float)[order].reshape(*shape, -1).squeeze(-1)

    def lists(field: str) -> list[list[Any]]:
        """By recipe, the lists of all its columns."""
        flat = [columns[field][k] for k in order]
        return [flat[k : k + shape[1]] for k in range(0, len(flat), shape[1])]

    keys, epochs, seconds = (lists(f"phase_{part}") for part in ("keys", "epochs", "seconds"))
    phases = [
        tuple(zip(own[0], weights[0], np.mean(took, axis=0).tolist(), strict=True))
        for own, weights, took in zip(keys, epochs, seconds, strict=True)
    ]
    validation, curves = matrix("validation"), np.asarray(lists("curve"), dtype=float)
    dense = [key_of(config) for config in configs].index(key_of(grid.dense))
    tolerance = TOLERANCE * (about["chance"] - float(validation[dense].mean()))
    return Table(
        name=name,
        space=Space.from_dict(grid.space, name=name),
        configs=configs,
        costs=matrix(cost)[:, 0],
        validation=validation,
        dense=dense,
        tolerance=tolerance,
        near=NEAR * tolerance,
        ideal=0.0,
        test=matrix("test"),
        curves=curves,
        curve_epochs=_curve_epochs(configs, phases, curves.shape[2]),
        phases=phases,
        prefixes=_prefixes(configs),
    )


def _prefixes(configs: list[Config]) -> NDArray[np.int64]:
    """Row of each recipe's uncompressed prefix [n], -1 where the grid has none."""
    rows = {key_of(config): row for row, config in enumerate(configs)}
    plain = ({**c, **UNCOMPRESSED, "training": {**c["training"], "finetune_epochs": 0}} for c in configs)
    return np.array([rows.get(key_of(config), -1) for config in plain])


def _curve_epochs(
    configs: list[Config], phases: list[tuple[tuple[str, float, float], ...]], steps: int
) -> NDArray[np.float64]:
    """Weighted epochs at each step [n, steps]: even ones over the recipe's own training, the last at the very end.

    What starts pretrained has the dense network's training before its own.
    """
    found = np.empty((len(configs), steps))
    for row, (config, parts) in enumerate(zip(configs, phases, strict=True)):
        own = int(config["training"]["start"] == "pretrained")
        before = sum(epochs for _, epochs, _ in parts[:own])
        found[row, :-1] = before + parts[own][1] * np.arange(1, steps) / (steps - 1)
        found[row, -1] = sum(epochs for _, epochs, _ in parts)
    return found
