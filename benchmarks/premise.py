"""Joint search against tuning the same choices one after the other, at equal seconds.

    python -m benchmarks.premise speech --data fsdd_logmel.npz --seconds 75 --seeds 10
    python -m benchmarks.premise adult --train adult_train.csv --test adult_test.csv --seconds 60 --seeds 10
    python -m benchmarks.premise digits --seconds 60 --arms joint,joint_without_teacher
    python -m benchmarks.premise speech --report

Arms: `joint` (our engine over the whole space), `sequential` (training tuned, then weights, channels or blocks
removed by sensitivity, LAMP and others, then quantized), `dense` (training tuned), `small` (narrow networks from
scratch, training tuned, then quantized), `distilled` (the same with teachers), `tpe` (Optuna's over the space of
`joint`), and by name `joint_without_AXIS`. What each may do is in `premise_tasks.py`, how it goes about it in
`premise_arms.py`, how seconds are counted in `premise_clock.py`, what is measured in `premise_measures.py`.

Runs are appended to `premise_TASK.jsonl`, one line each, and never repeated, so that a second call adds only what is
missing. Runs of `joint` belong to a digest of `autoreg/engine` and `autoreg/space`: after a change of the source they
run anew. `--report` runs nothing and writes table, figure and measures.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # all arms run on the CPU

from autoreg.study.environment import machine, versions  # noqa: E402
from benchmarks.premise_arms import ABLATED, ARMS, warm_up  # noqa: E402
from benchmarks.premise_bench import COSTS, Bench, Done, front  # noqa: E402
from benchmarks.premise_report import report  # noqa: E402
from benchmarks.premise_tasks import CASES, Case, case_of  # noqa: E402
from benchmarks.runs import read, state  # noqa: E402

JUDGED = ("bytes", "flops", "latency_ms")
"""Costs whose fronts are handed over and tested."""
BRIEF = ("bytes", "flops")
"""Costs in the line that is kept of each trial."""
Key = tuple[str, str, int, float, str]


def key(row: Mapping[str, Any]) -> Key:
    """What makes a run the same."""
    return row["arm"], row["case"], row["seed"], row["seconds"], row["state"]


def play(case: Case, files: Mapping[str, str], arm: str, seed: int, seconds: float) -> dict[str, Any]:
    """Run one arm on one seed and test what it hands over."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(case, files, seed, seconds, Path(folder))
        {**ARMS, **ABLATED}[arm](bench)
        clock = bench.clock
        about = {"spent": clock(), "processor": clock.processor, "speed": clock.speed}
        handed = handed_over(bench.done, bench.timed(), bits=arm == "small", dense=arm == "dense")
        members = [{**row_of(member), "on": on, "test": bench.tested(member)} for member, on in handed]
        setup = bench.objective().setup
        chance = setup.task.chance
    for member in members:
        member["error_test"] = sum(member["test"].values()) / len(member["test"])
    return {
        **{name: round(value, 3) for name, value in about.items()},
        "stages": bench.spent,
        "wall": round(time.perf_counter() - begun, 2),
        "chance": chance,
        "members": members,
        "trials": [brief(d) for d in bench.done],
        "notes": sorted({note for d in bench.done for note in d.notes}),
    }


def handed_over(done: list[Done], timed: list[Done], *, bits: bool, dense: bool) -> list[tuple[Done, list[str]]]:
    """The members of the front by each judged cost, and which; of the dense arm the best network alone.

    `timed` are those of them that were timed, among which the front by latency is.

    With `bits` those of the front of 32-bit networks too (as `bytes32`), so that both can be judged.
    """
    latency = {(d.at, d.stage): d for d in timed}
    done = [latency.get((d.at, d.stage), d) for d in done]
    offered = {name: timed if name == "latency_ms" else done for name in JUDGED}
    fronts = {name: front(found, name) for name, found in offered.items()}
    if dense:
        fronts = {name: members[-1:] for name, members in fronts.items()}
    if bits:
        for name, found in offered.items():
            plain = [d for d in found if d.recipe["quantization"]["weights"]["bits"] == 32]
            fronts[f"{name}32"] = front(plain, name)
    handed: dict[int, tuple[Done, list[str]]] = {}
    for name, members in fronts.items():
        for member in members:
            handed.setdefault(id(member), (member, []))[1].append(name)
    return sorted(handed.values(), key=lambda pair: pair[0].costs[JUDGED[0]])


def row_of(done: Done) -> dict[str, Any]:
    """A trial as it is written down."""
    costs = {name: done.costs[name] for name in (*COSTS, "latency_ms") if name in done.costs}
    return {"recipe": done.recipe, "width": done.width, "stage": done.stage, "error": done.error, "costs": costs}


def brief(done: Done) -> list[Any]:
    """A trial in a line: seconds, stage, state, error, bytes, flops."""
    error = round(done.error, 5) if done.state == "COMPLETE" else None
    return [round(done.at, 2), done.stage, done.state, error, *(done.costs.get(name) for name in BRIEF)]


def carry_out(case: Case, files: Mapping[str, str], jobs: list[tuple[str, int]], seconds: float, out: Path) -> None:
    """Run jobs one after the other in this process and append each as it ends."""
    out.parent.mkdir(parents=True, exist_ok=True)
    torn = out.exists() and not out.read_bytes().endswith(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Bench(case, files, 0, seconds, Path(folder)))
    with out.open("a", encoding="utf-8") as file:
        file.write("\n" if torn else "")
        for count, (arm, seed) in enumerate(jobs, start=1):
            row: dict[str, Any] = {"task": case.name, "arm": arm, "seed": seed, "seconds": seconds, "case": case.digest}
            row |= {"state": state_of(arm), **play(case, files, arm, seed, seconds)}
            row |= {"machine": machine(), "versions": versions()}
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
            file.flush()
            states = [trial[2] for trial in row["trials"]]
            states_found = ", ".join(f"{states.count(name)} {name.lower()}" for name in sorted(set(states)))
            best = min((m["error"] for m in row["members"]), default=float("nan"))
            print(
                f"{count}/{len(jobs)} {arm} seed {seed}: {row['spent']:.1f} s of work "
                f"({row['wall']:.0f} s by the wall), {states_found}; "
                f"{len(row['members'])} members, best validation error {best:.4f}",
                flush=True,
            )
            gc.collect()


def state_of(arm: str) -> str:
    """The state of the engine's source that a run belongs to; none but for the joint arms."""
    return state() if arm.startswith("joint") else ""


def latest(rows: Iterator[dict[str, Any]], case: Case, seconds: float, source: str | None) -> list[dict[str, Any]]:
    """Runs of a case at so many seconds; of the joint arm those of one state of the source, by default the last."""
    current = [row for row in rows if row["case"] == case.digest and row["seconds"] == seconds]
    states = [row["state"] for row in current if row["arm"].startswith("joint")]
    wanted = source or (states[-1] if states else "")
    return [row for row in current if not row["arm"].startswith("joint") or row["state"] == wanted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=sorted(CASES))
    parser.add_argument("--data", help="speech, mnist: the .npz file; char_lm: the text")
    parser.add_argument("--train", help="adult: the training CSV")
    parser.add_argument("--test", help="adult: the test CSV")
    parser.add_argument("--seconds", type=float, default=75.0, help="of work, per arm and seed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--arms", default=",".join(ARMS), help=f"some of {', '.join((*ARMS, *ABLATED))}")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--state", default=None, help="digest of the joint arm's source to report; the last by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder")
    given = parser.parse_args()
    case = case_of(given.task)
    file = given.out / f"premise_{case.name}.jsonl"
    files = {"path": given.data, "train": given.train, "test": given.test}
    files = {name: os.path.abspath(path) for name, path in files.items() if path}
    done = {key(row) for row in read(file)}
    state()  # of the source as it is loaded: it may change while this runs
    wanted = [(arm, seed) for seed in range(given.seeds) for arm in given.arms.split(",")]
    jobs = [(a, s) for a, s in wanted if (a, case.digest, s, given.seconds, state_of(a)) not in done]
    if not given.report and jobs:
        carry_out(case, files, jobs, given.seconds, file)
    rows = latest(read(file), case, given.seconds, given.state)
    report(case, rows, given.out / f"premise_{case.name}", given.seconds)


if __name__ == "__main__":
    main()
