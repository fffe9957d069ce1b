"""Search engines against each other on tables of finished trials.

    python -m benchmarks.engines --tables tune --seeds 5 --trials 100
    python -m benchmarks.engines --tables hpolib-naval,nb201-cifar10-latency --arms random,tpe,ours --seeds 3
    python -m benchmarks.engines --tables read --report

Runs go to a file of JSON lines, one each, and are not repeated; those of our engine belong to the state of its source.
Measures are computed from that file and written beside it as Markdown. See `benchmarks/tables/README.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported, and for the processes that are begun here

import autoreg  # noqa: E402
from benchmarks.tables.arms import ARMS, SLOW, STARTS, run  # noqa: E402
from benchmarks.tables.engines_report import report  # noqa: E402
from benchmarks.tables.published import NAMES, TUNE, load  # noqa: E402

QUICK = ("random", "isotonic", "tpe", "tpe_multivariate", "tpe_filter", "nsga2", "linas", "ours", "ours_learned")
OURS = ("ours", "ours_learned", "ours_random_filter")
SLOW_SEEDS, SLOW_TRIALS = 5, 50
"""What arms above 0.3 s a trial get at most."""
Job = tuple[str, str, int, int, str]


def state() -> str:
    """Eight hex digits over the source of the engine and the space: runs of ours belong to it."""
    root = Path(autoreg.__file__).parent
    text = b"".join(p.read_bytes() for room in ("search", "space") for p in sorted((root / room).glob("*.py")))
    return hashlib.sha256(text).hexdigest()[:8]


def play(job: Job) -> dict[str, Any]:
    """Carry out one run; a failure is a row too."""
    arm, table, seed, trials, source = job
    row: dict[str, Any] = {"arm": arm, "table": table, "seed": seed, "trials": trials, "starts": STARTS}
    row["state"] = source
    began = time.perf_counter()
    try:
        got = run(arm, load(table), seed, trials)
    except Exception:
        return row | {"failed": traceback.format_exc(limit=-3)}
    took = round(time.perf_counter() - began, 2)
    return row | {"rows": got.rows, "seconds": [round(s, 4) for s in got.seconds], "drawn": got.drawn, "took": took}


def key(row: dict[str, Any]) -> Job:
    """What makes a run the same."""
    return row["arm"], row["table"], row["seed"], row["trials"], row["state"]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Runs of a file; a line that was cut off by a kill is passed over."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="tune", help=f"tune, read, all, or some of {', '.join(NAMES)}")
    parser.add_argument("--arms", default=",".join(QUICK), help=f"some of {', '.join(ARMS)}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--state", default=None, help="name of our engine's source; a digest of it by default")
    parser.add_argument("--against", default="ours", help="the arm that the others are paired with")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--every-state", action="store_true", help="also show runs of other states of our engine")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/engines"), help="folder")
    parser.add_argument("--name", default=None, help="name of the pages that are written")
    given = parser.parse_args()
    groups = {"tune": TUNE, "read": NAMES[len(TUNE) :], "all": NAMES}
    tables = groups.get(given.tables, tuple(given.tables.split(",")))
    arms, source = given.arms.split(","), given.state or state()
    file = given.out / "runs.jsonl"
    done = {key(row) for row in read(file)}
    wanted = [
        (arm, table, seed, min(given.trials, SLOW_TRIALS) if arm in SLOW else given.trials, source * (arm in OURS))
        for table in tables
        for seed in range(given.seeds)
        for arm in arms
        if seed < SLOW_SEEDS or arm not in SLOW
    ]
    if not given.report:
        carry_out([job for job in wanted if job not in done], file, given.workers)
    rows = [row for row in read(file) if key(row) in set(wanted)]
    if given.every_state:
        chosen = {key(row)[:4] for row in rows}
        rows += [row for row in read(file) if key(row)[:4] in chosen and key(row) not in set(wanted)]
    name = given.name or (given.tables if given.tables in groups else "some")
    report(rows, source, given.out, name, given.against)


if __name__ == "__main__":
    main()
