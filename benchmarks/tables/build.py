"""Build one of our own tables by real training; a second call goes on where the first was ended.

    python -m benchmarks.tables.build digits --out FOLDER
    python -m benchmarks.tables.build speech --data path=fsdd_logmel.npz --out FOLDER --workers 4
    python -m benchmarks.tables.build adult --data train=adult_train.csv test=adult_test.csv --out FOLDER

Every recipe is appended to `FOLDER/NAME-COLUMN.jsonl` when it ends, so that a kill loses one at most. When all are
there they are written to one parquet file in `--into`, with the grid in its metadata.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported, and for the processes that are begun here

from autoreg.costs.predict import predict  # noqa: E402
from autoreg.errors import InputError  # noqa: E402
from autoreg.files import write_whole  # noqa: E402
from autoreg.space.recipe import canonical_json  # noqa: E402
from autoreg.trial.objective import TaskObjective  # noqa: E402
from autoreg.trial.resolve import resolve  # noqa: E402
from autoreg.trial.setup import TrialOptions  # noqa: E402
from autoreg.trial.summary import cost_metrics  # noqa: E402
from autoreg.trial.task_ref import TaskRef  # noqa: E402
from benchmarks.tables.grids import GRIDS, Grid, grid_of  # noqa: E402
from benchmarks.tables.sharing import PhaseMemory, SharingChain  # noqa: E402

COSTS = ("flops", "effective_flops", "bops", "weights", "params", "bytes")
INTO = Path(__file__).parent / "data"
PACE = 60.0
"""Seconds between lines of progress."""


class Column:
    """One column of a table: every recipe with one seed on one fold.

    Args:
        grid: the table.
        data: where data is, by the task's parameters.
        number: of the column.
        scratch: a folder for locks.
    """

    def __init__(self, grid: Grid, data: Mapping[str, str], number: int, scratch: str) -> None:
        ref = TaskRef(grid.task, {**grid.params, **data})
        objective = TaskObjective(ref, TrialOptions(scratch, cache=False, device="cpu"), latency=False)
        self.setup, self.reference = objective.setup, objective.reference
        self.seed = grid.seeds[number]
        folds = self.setup.task.folds
        if len(folds) not in (1, len(grid.seeds)):
            raise InputError(
                f"grid {grid.name}: {len(folds)} folds, {len(grid.seeds)} seeds; expected one fold or as many"
            )
        self.fold = folds[number % len(folds)]
        self.recipes = [self.setup.complete(config) for config in grid.configs()]
        self.prefixes = [objective.training_key(recipe) for recipe in self.recipes]
        self.memory = PhaseMemory()

    def costs(self) -> list[dict[str, float]]:
        """What every recipe costs, by `COSTS`.

        Raises:
            InputError: two recipes do the same.
        """
        seen: dict[str, int] = {}
        found = []
        for row, (recipe, prefix) in enumerate(zip(self.recipes, self.prefixes, strict=True)):
            levels = resolve(recipe, self.setup, self.reference)
            found.append(cost_metrics(predict(self.setup.profile, levels)))
            slots = {} if recipe["sparsity"] == "none" else next(iter(recipe["sparsity"].values()))
            phases = [[phase.name, phase.epochs] for phase in self.chain(recipe).phases]
            key = canonical_json([prefix, phases, levels.to_dict(), slots.get("criterion"), slots.get("schedule")])
            if key in seen:
                raise InputError(f"grid: recipes {seen[key]} and {row} do the same: {recipe}")
            seen[key] = row
        return found

    def rows(self, done: set[int]) -> Iterator[dict[str, Any]]:
        """Carry out all recipes but those of `done`, those with the same training together."""
        dense = self.chain(self.setup.dense).phases[0].key
        first = {prefix: row for row, prefix in reversed(list(enumerate(self.prefixes)))}
        order = sorted(range(len(self.recipes)), key=lambda row: (first[self.prefixes[row]], row))
        before = ""
        for row in order:
            if row in done:
                continue
            if self.prefixes[row] != before:
                self.memory.clear(but=dense)  # recipes that start pretrained share the dense network too
                before = self.prefixes[row]
            yield {"row": row, **asdict(self.chain(self.recipes[row]).found())}

    def chain(self, recipe: Mapping[str, Any]) -> SharingChain:
        """The chain of a recipe on this column."""
        return SharingChain(self.setup, self.reference, recipe, seed=self.seed, fold=self.fold, memory=self.memory)


def part(out: Path, grid: Grid, number: int) -> Path:
    """The file of a column."""
    return out / f"{grid.name}-{number}.jsonl"


def read_part(path: Path, grid: Grid) -> dict[int, dict[str, Any]]:
    """The recipes in the file of a column; a line that a kill cut off is passed over.

    Raises:
        InputError: the file belongs to another grid.
    """
    found: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["grid"] != grid.digest:
            raise InputError(f"{path}: belongs to another state of the grid {grid.name}; expected {grid.digest}")
        found[row["row"]] = row
    return found


def build_column(job: tuple[Grid, Mapping[str, str], int, Path]) -> None:
    """Carry out what is missing of one column.

    Raises:
        InputError: another process is at it.
    """
    grid, data, number, out = job
    path, digest, total = part(out, grid, number), grid.digest, len(grid.configs())
    begun = shown = time.perf_counter()
    count = 0
    with tempfile.TemporaryDirectory() as scratch, path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{path}: another process is building this column") from error
        done = set(read_part(path, grid))
        if len(done) == total:
            return
        if file.tell():
            file.seek(-1, os.SEEK_END)
            file.write(b"" if file.read() == b"\n" else b"\n")
        for row in Column(grid, data, number, scratch).rows(done):
            file.write(json.dumps({"grid": digest, **row}, separators=(",", ":")).encode() + b"\n")
            file.flush()
            count += 1
            now = time.perf_counter()
            if now - shown > PACE or count + len(done) == total:
                shown = now
                left = (now - begun) / count * (total - count - len(done))
                pace = f"{(now - begun) / count:.3f} s a recipe, {left / 60:.0f} min left in this column"
                print(f"{grid.name} column {number}: {count + len(done)}/{total}, {pace}", flush=True)


def assemble(grid: Grid, data: Mapping[str, str], out: Path, into: Path) -> Path:
    """Write the finished columns to one parquet file, a row for each recipe and column.

    Raises:
        InputError: something is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = [read_part(part(out, grid, number), grid) for number in range(len(grid.seeds))]
    total = len(grid.configs())
    for number, found in enumerate(parts):
        if len(found) != total:
            raise InputError(f"{part(out, grid, number)}: has {len(found):,} recipes of {total:,}; build it first")
    with tempfile.TemporaryDirectory() as scratch:
        column = Column(grid, data, 0, scratch)
        costs, profile = column.costs(), column.setup.task
        about = {"grid": asdict(grid), "digest": grid.digest, "chance": profile.chance, "folds": profile.folds}
    rows = [{**found[row], "column": number} for row in range(total) for number, found in enumerate(parts)]
    single, half = pa.float64(), pa.float32()
    columns: dict[str, Any] = {
        "recipe": pa.array([r["row"] for r in rows], pa.int32()),
        "column": pa.array([r["column"] for r in rows], pa.int8()),
        "validation": pa.array([r["validation"] for r in rows], single),
        "test": pa.array([r["test"] for r in rows], single),
        "curve": pa.array([r["curve"] for r in rows], pa.list_(half)),
        "phase_keys": pa.array([[p[0] for p in r["phases"]] for r in rows], pa.list_(pa.string())),
        "phase_epochs": pa.array([[p[1] for p in r["phases"]] for r in rows], pa.list_(half)),
        "phase_seconds": pa.array([[p[2] for p in r["phases"]] for r in rows], pa.list_(half)),
        "rung_seconds": pa.array([r["rung_seconds"] for r in rows], half),
        "diverged": pa.array([r["diverged"] for r in rows], pa.bool_()),
    }
    columns |= {name: pa.array([costs[r["row"]][name] for r in rows], single) for name in COSTS}
    table = pa.table(columns).replace_schema_metadata({"autoreg": json.dumps(about)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=19)
    path = into / f"own-{grid.name}.parquet"
    write_whole(path, buffer.getvalue())
    return path


def build(grid: Grid, data: Mapping[str, str], out: Path, into: Path, workers: int = 1) -> Path:
    """Carry out what is missing and write the table."""
    missing = [name for name in grid.data if name not in data]
    if missing or set(data) - set(grid.data):
        raise InputError(f"--data: found {sorted(data)}; the grid {grid.name} needs {list(grid.data)}, as NAME=PATH")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        Column(grid, data, 0, scratch).costs()  # refuses a grid with recipes that do the same
    jobs = [(grid, data, number, out) for number in range(len(grid.seeds))]
    if workers == 1:
        for job in jobs:
            build_column(job)
    else:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for _ in pool.imap_unordered(build_column, jobs):
                pass
    return assemble(grid, data, out, into)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", choices=list(GRIDS))
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=PATH", help="where the task's data is")
    parser.add_argument("--out", type=Path, required=True, help="folder of what is finished")
    parser.add_argument("--into", type=Path, default=INTO, help="folder of the table")
    parser.add_argument("--workers", type=int, default=1, help="processes; a column is the work of one")
    parser.add_argument("--seeds", type=int, nargs="*", default=None, help="of the columns, where not the grid's own")
    given = parser.parse_args(arguments)
    grid = grid_of(given.grid)
    if given.seeds:
        grid = replace(grid, seeds=tuple(given.seeds))
    data = dict(text.split("=", 1) for text in given.data)
    path = build(grid, data, given.out, given.into, given.workers)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
