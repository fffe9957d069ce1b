"""Search engines against each other on tables of finished trials.

    python -m benchmarks.engines --tables tune --seeds 5 --trials 100
    python -m benchmarks.engines --tables hpolib-naval,nb201-cifar10-latency --arms random,tpe,ours --seeds 3
    python -m benchmarks.engines --tables read --report
    python -m benchmarks.engines --tables own --arms stopping --trials 300 --epochs 100 --cache off
    python -m benchmarks.engines --tables live-surrogate --arms random,tpe,nsga2,ours --seeds 5

Runs go to a file of JSON lines, one each, and are not repeated; those of our engine belong to the state of its source.
Measures are computed from that file and written beside it as Markdown and PNG. See `benchmarks/tables/README.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported, and for the processes that are begun here

from benchmarks.runs import read, state  # noqa: E402
from benchmarks.tables.arms import ARMS, ENUMERATING, SLOW, STARTS, STOPPING, VERY_SLOW, run  # noqa: E402
from benchmarks.tables.engines_report import report  # noqa: E402
from benchmarks.tables.live import NAMES as LIVE  # noqa: E402
from benchmarks.tables.live import Live  # noqa: E402
from benchmarks.tables.names import GROUPS, OWN, judge_of, load, restored  # noqa: E402
from benchmarks.tables.paying import whole  # noqa: E402

QUICK = ("random", "isotonic", "tpe", "tpe_multivariate", "tpe_filter", "nsga2", "linas", "ours", "ours_learned")
ROOMS = {"quick": QUICK, "slow": SLOW, "stopping": ("random", "tpe", "ours", *STOPPING)}
"""Arms by one name."""
SLOW_SEEDS, SLOW_TRIALS = 5, 50
"""Seeds that slow arms get at most, and trials that very slow ones do."""


class Job(NamedTuple):
    """What makes a run the same. `cache` is "" and `epochs` 0 where the table knows no phases."""

    arm: str
    table: str
    seed: int
    trials: int
    state: str
    cache: str = ""
    epochs: float = 0.0


def play(job: Job) -> dict[str, Any]:
    """Carry out one run; a failure is a row too."""
    row: dict[str, Any] = {**job._asdict(), "starts": STARTS}
    began = time.perf_counter()
    try:
        table = load(job.table)
        limit = job.epochs * whole(table).epochs or math.inf
        got = run(job.arm, table, job.seed, job.trials, cache=job.cache != "off", epochs=limit)
    except Exception:
        return row | {"failed": traceback.format_exc(limit=-3)}
    row |= {"rows": got.rows, "seconds": [round(s, 4) for s in got.seconds], "drawn": got.drawn}
    row |= {} if got.chosen is None else {"chosen": got.chosen}
    row |= table.recorded(got.rows, job.seed) if isinstance(table, Live) else {}
    if table.phases is not None or table.curves is not None:
        row |= {"steps": got.steps, "trained": [round(s, 3) for s in got.trained]}
        row["epochs_paid"] = [round(e, 3) for e in got.epochs]
    return row | {"took": round(time.perf_counter() - began, 2)}


def key(row: dict[str, Any]) -> Job:
    """What makes a run the same."""
    return Job(**{name: row[name] for name in Job._fields if name in row})


def carry_out(jobs: Iterable[Job], out: Path, workers: int) -> None:
    """Run jobs in separate processes and append each as it ends."""
    jobs = list(jobs)
    out.parent.mkdir(parents=True, exist_ok=True)
    torn = out.exists() and not out.read_bytes().endswith(b"\n")
    with out.open("a", encoding="utf-8") as file, multiprocessing.get_context("spawn").Pool(workers) as pool:
        file.write("\n" if torn else "")
        for count, row in enumerate(pool.imap_unordered(play, jobs), start=1):
            print(f"{count}/{len(jobs)} {row['arm']} {row['table']} seed {row['seed']}", end=": ", flush=True)
            if "failed" in row:
                print("FAILED\n" + row["failed"], flush=True)
                continue
            print(f"{row['took']} s, {row['drawn']} drawn evenly for want of a new proposal", flush=True)
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
            file.flush()


def jobs_of(given: argparse.Namespace, source: str) -> list[Job]:
    """The runs that are asked for."""
    tables = GROUPS.get(given.tables, tuple(given.tables.split(",")))
    arms = list(dict.fromkeys(a for name in given.arms.split(",") for a in ROOMS.get(name, (name,))))
    jobs = []
    for table in tables:
        shares = table in OWN or table in LIVE
        for seed in range(given.seeds):
            for arm in arms:
                if (arm in SLOW and seed >= SLOW_SEEDS) or (arm in STOPPING and table not in OWN):
                    continue
                if arm in ENUMERATING and table in LIVE:
                    continue
                trials = min(given.trials, SLOW_TRIALS) if arm in VERY_SLOW else given.trials
                state = source if arm.startswith("ours") else ""
                more = (given.cache, given.epochs) if shares else ()
                jobs.append(Job(arm, table, seed, trials, state, *more))
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = f"{', '.join(GROUPS)}, or some of {', '.join(GROUPS['all'])}"
    parser.add_argument("--tables", default="tune", help=tables)
    parser.add_argument("--arms", default="quick", help=f"some of {', '.join([*ROOMS, *ARMS])}")
    parser.add_argument("--seeds", type=int, default=20, help=f"slow arms get {SLOW_SEEDS} at most")
    parser.add_argument("--trials", type=int, default=100, help=f"very slow arms get {SLOW_TRIALS} at most")
    parser.add_argument("--cache", choices=["on", "off"], default="on", help="whether own tables share phases")
    parser.add_argument(
        "--epochs",
        type=float,
        default=0.0,
        help="on own tables no trial begins after the epochs of so many whole ones",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--state", default=None, help="name of our engine's source; a digest of it by default")
    parser.add_argument("--against", default="ours", help="the arm that the others are paired with")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--every-state", action="store_true", help="also show runs of other states of our engine")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/engines"), help="folder")
    parser.add_argument("--name", default=None, help="name of the pages that are written")
    given = parser.parse_args()
    source = given.state or state()
    file = given.out / "runs.jsonl"
    wanted = jobs_of(given, source)
    done = {key(row) for row in read(file)}
    if not given.report:
        carry_out([job for job in wanted if job not in done], file, given.workers)
    rows = [row for row in read(file) if key(row) in set(wanted)]
    if given.every_state:
        alike = {job._replace(state="") for job in wanted}
        rows += [r for r in read(file) if key(r)._replace(state="") in alike and key(r) not in set(wanted)]
    name = given.name or (given.tables if given.tables in GROUPS else "some")
    report([restored(row) for row in rows], source, given.out, name, given.against, judge_of)


if __name__ == "__main__":
    main()
