"""Gather the trials that the live surrogate is fitted to; a second call goes on where the first was ended.

    python -m benchmarks.tables.live_trials --out FOLDER

First random draws of the space, then among them as many recipes that differ from one on the front in one to three
parameters: a surrogate of random draws alone would have seen nothing near the front, where all that matters happens (as
Eggensperger et al., "Efficient benchmarking of hyperparameter optimizers via surrogates", 2015, gather from optimizers'
runs too). One run in five is of an earlier recipe with another seed, which tells how large the seed variance is.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported

import numpy as np  # noqa: E402

from autoreg.engine.samplers.mutation import mutate  # noqa: E402
from autoreg.errors import InputError  # noqa: E402
from autoreg.files import write_whole  # noqa: E402
from autoreg.space import Space  # noqa: E402
from benchmarks.tables.live_space import DIGEST, Digits, space  # noqa: E402
from benchmarks.tables.staircase import staircase  # noqa: E402
from benchmarks.tables.table import Config  # noqa: E402

COSTS = ("flops", "effective_flops", "bops", "weights", "params", "bytes")
FILE = Path(__file__).parent / "data" / "live.parquet"
TOTAL, FIRST = 700, 190
"""Runs in all, and random draws before the first recipe near the front. A gathering may be ended at any number."""
PACE = 60.0
"""Seconds between lines of progress."""


def config_of(row: int, before: Sequence[dict[str, Any]], where: Space) -> tuple[Config, int]:
    """The config and seed of a row, which follow from the rows before it."""
    rng, kind = np.random.default_rng([0x11FE, row]), row % 10
    if row < FIRST or kind < 4:
        return where.sample(rng), 0
    once = [r["row"] for r in before if r["seed"] == 0]
    if kind >= 8:
        twice = [r["config"] for r in before if r["seed"] == 1]
        return before[int(rng.choice([k for k in once if before[k]["config"] not in twice]))]["config"], 1
    cost = COSTS[2 if row % 2 else 5]  # front by bit operations and by bytes in turn
    points = [(before[k]["costs"][cost], before[k]["validation"]) for k in once]
    steps = staircase([c for c, _ in points], [e for _, e in points])
    front = set(zip(*(part.tolist() for part in steps), strict=True))
    parents = [before[k]["config"] for k, point in zip(once, points, strict=True) if point in front]
    parent = where.flatten(parents[int(rng.integers(len(parents)))])
    while True:
        config = mutate(where, parent, rng, int(rng.integers(1, 4)))
        if where.allowed(config):
            return config, 0


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of the file so far; a line that a kill cut off ends it.

    Raises:
        InputError: the file belongs to another space.
    """
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if row["digest"] != DIGEST or row["row"] != len(found):
            raise InputError(f"{path}: belongs to another state of the live space; expected {DIGEST}")
        found.append(row)
    return found


def gather(out: Path, total: int = TOTAL, digits: Digits | None = None) -> list[dict[str, Any]]:
    """Carry out what is missing of the first `total` rows."""
    out.mkdir(parents=True, exist_ok=True)
    path, where = out / "live.jsonl", space()
    rows = read_rows(path)
    write_whole(path, "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode())
    shown = time.perf_counter()
    digits = digits or Digits()
    with path.open("a", encoding="utf-8") as file:
        for number in range(len(rows), total):
            config, seed = config_of(number, rows, where)
            begun = time.process_time()
            tried = digits.run(config, seed)
            row = {"row": number, "digest": DIGEST, "seed": seed, "config": config}
            row |= {"validation": tried.validation, "test": tried.test, "diverged": tried.diverged}
            row |= {"seconds": round(time.process_time() - begun, 4), "costs": digits.costs(config)}
            row["phases"] = [[n, e, round(tried.seconds.get(n, 0.0), 4)] for n, _, e in digits.phases(config)]
            rows.append(row)
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
            file.flush()
            if time.perf_counter() - shown > PACE:
                shown = time.perf_counter()
                print(f"{number + 1}/{total}, best {min(r['validation'] for r in rows):.3f}", flush=True)
    return rows


def write(rows: Sequence[dict[str, Any]], path: Path = FILE) -> None:
    """Write rows to a parquet file, a row for each run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    single, half = pa.float64(), pa.float32()
    columns: dict[str, Any] = {
        "config": pa.array([json.dumps(r["config"], separators=(",", ":")) for r in rows], pa.string()),
        "seed": pa.array([r["seed"] for r in rows], pa.int8()),
        "validation": pa.array([r["validation"] for r in rows], single),
        "test": pa.array([r["test"] for r in rows], single),
        "epochs": pa.array([sum(p[1] for p in r["phases"]) for r in rows], half),
        "seconds": pa.array([r["seconds"] for r in rows], half),
        "phase_names": pa.array([[p[0] for p in r["phases"]] for r in rows], pa.list_(pa.string())),
        "phase_epochs": pa.array([[p[1] for p in r["phases"]] for r in rows], pa.list_(half)),
        "phase_seconds": pa.array([[p[2] for p in r["phases"]] for r in rows], pa.list_(half)),
        "diverged": pa.array([r["diverged"] for r in rows], pa.bool_()),
    }
    columns |= {name: pa.array([r["costs"][name] for r in rows], single) for name in COSTS}
    buffer = io.BytesIO()
    table = pa.table(columns).replace_schema_metadata({"autoreg": json.dumps({"digest": DIGEST})})
    pq.write_table(table, buffer, compression="zstd", compression_level=19)
    write_whole(path, buffer.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is finished")
    parser.add_argument("--into", type=Path, default=FILE, help="file of the trials")
    parser.add_argument("--runs", type=int, default=TOTAL, help="how many in all")
    given = parser.parse_args(arguments)
    write(gather(given.out, given.runs), given.into)
    print(f"{given.into}: {given.into.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
