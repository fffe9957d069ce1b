"""The demo with several seeds: how long it takes, what its front offers beside the dense network, how it spreads.

    python -m benchmarks.demo [--seeds 10] [--study studies/digits.yaml] [--out runs/demo-seeds]

Each seed is `autoreg run` with its own store, one after the other; finished folders are not run again. Everything is
read from the folders: qualities are means over fresh seeds.

search, all         wall seconds of the search, and of the whole command.
FLOPs, time         least share of the dense network's FLOPs, and of its measured milliseconds, of a member whose test
                    error is within one standard error of the dense network's (a proportion on the test split); both of
                    one member, the one with the least product.
dominated           members that a baseline dominates by validation with fresh seeds, costs within 5 % counted as equal.
fresh hypervolume   of members and baselines by validation with fresh seeds, on the study's scale.
optimism            mean over re-evaluated members of their error with fresh seeds less that at choice.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.engine.log.baseline_names import DENSE
from autoreg.errors import InputError
from autoreg.files import write_whole
from autoreg.report.data.front import FrontRow, baseline_row, front_rows
from autoreg.report.data.hypervolume import normalizer_of
from autoreg.report.data.load import StudyData
from autoreg.report.data.optimism import optimism
from autoreg.report.data.study_config import read_json_object
from autoreg.tasks import load_task
from autoreg.tasks.splits import named_sets

EQUAL_COSTS = 0.05
"""Relative difference below which two costs count as equal."""
WALL_FILE = "wall_seconds.txt"


# many arguments: the figures of one row of the table
@dataclass(frozen=True)
class Outcome:
    """What one run of the demo came to; see the module for what the figures mean.

    Attributes:
        seed: of the study.
        search: wall seconds of the search.
        wall: wall seconds of the whole command; NaN where somebody else ran it.
        dense: test error of the dense network.
        limit: the same plus one standard error.
        flops: share of the dense FLOPs; NaN where no member is within the limit.
        time: share of the dense milliseconds of the same member.
        dominated: members that a baseline dominates.
        hypervolume: of the front of fresh seeds.
        optimism: mean over members; NaN where none was re-evaluated.
    """

    seed: int
    search: float
    wall: float
    dense: float
    limit: float
    flops: float
    time: float
    dominated: int
    hypervolume: float
    optimism: float


def run(study: Path, seed: int, folder: Path, more: Sequence[str]) -> None:
    """Run the study with a seed into a folder of its own, unless that holds a finished one."""
    if folder.exists() and read_json_object(folder / "final.json", required=False).get("complete"):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    command = [sys.executable, "-m", "autoreg.commands.main", "run", str(study), "--seed", str(seed)]
    command += ["--out", str(folder), "--store", str(folder.parent / f"store-{seed}"), *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    write_whole(folder / WALL_FILE, f"{time.perf_counter() - begun:.1f}".encode())


def outcome(folder: Path, seed: int, test_samples: int) -> Outcome:
    """Read what a finished run came to.

    Args:
        folder: of the run.
        seed: of the run.
        test_samples: in the task's test split.

    Raises:
        InputError: the run has no final evaluation, or its study does not measure an error.
    """
    data = StudyData.load(folder)
    baselines = [baseline_row(data, one) for one in data.final.baselines]
    dense = next((row for row in baselines if row.name == DENSE), None)
    if dense is None or dense.test is None or data.main_objective != "error":
        raise InputError(f"{folder}: no final evaluation of the dense network by its error; run it to its end")
    error = dense.test.mean["error"]
    limit = error + math.sqrt(error * (1 - error) / test_samples)
    members = [row for row in front_rows(data) if not row.baseline]
    good = [row for row in members if row.test is not None and row.test.mean["error"] <= limit]
    shares = [tuple(_cost(row, name) / _cost(dense, name) for name in ("flops", "latency_ms")) for row in good]
    flops, latency = min(shares, key=lambda pair: pair[0] * pair[1], default=(math.nan, math.nan))
    wall, found = folder / WALL_FILE, optimism(data)
    return Outcome(
        seed=seed,
        search=data.state.seconds,
        wall=float(wall.read_text()) if wall.exists() else math.nan,
        dense=error,
        limit=limit,
        flops=flops,
        time=latency,
        dominated=sum(any(dominates(one, row, data.objectives) for one in baselines) for row in members),
        hypervolume=_hypervolume(data, [*members, *(row for row in baselines if row.metrics)]),
        optimism=math.nan if found is None else found.observed,
    )


def _cost(row: FrontRow, name: str) -> float:
    """A cost of a row; milliseconds are those of its exported file, timed in turn with the others, where it has one."""
    if name == "latency_ms" and row.exported is not None and row.exported.latency is not None:
        return row.exported.latency.ms
    return float(row.metrics[name])


def dominates(one: FrontRow, other: FrontRow, objectives: Mapping[str, str]) -> bool:
    """Whether a row is as good as another in all objectives and better in one; nearly equal costs are equal."""
    better = False
    for name, direction in objectives.items():
        if name not in one.metrics or name not in other.metrics:
            return False
        sign = 1.0 if direction == "min" else -1.0
        gain = sign * (other.metrics[name] - one.metrics[name])
        if name != "error" and abs(gain) <= EQUAL_COSTS * abs(other.metrics[name]):
            continue
        if gain < 0:
            return False
        better = better or gain > 0
    return better


def _hypervolume(data: StudyData, rows: Sequence[FrontRow]) -> float:
    scale = normalizer_of(data)
    if scale is None:
        return math.nan
    whole = [row for row in rows if all(name in row.metrics for name in scale.names)]
    return scale.hypervolume(np.array([[row.metrics[name] for name in scale.names] for row in whole]))


def table(outcomes: Sequence[Outcome]) -> str:
    """The page: one row a seed, and what the whole comes to."""
    lines = [
        "| seed | search s | all s | dense, test | limit | FLOPs | time | dominated | fresh hypervolume | optimism |"
    ]
    lines.append("|---" * 10 + "|")
    for one in outcomes:
        figures = [f"{one.search:.0f}", f"{one.wall:.0f}", f"{one.dense:.4f}", f"{one.limit:.4f}"]
        figures += [f"{one.flops:.3f}", f"{one.time:.3f}", str(one.dominated), f"{one.hypervolume:.4f}"]
        lines.append(f"| {one.seed} | {' | '.join(figures)} | {one.optimism:+.4f} |")
    met = len([one for one in outcomes if one.flops <= 1 / 5 and one.time <= 1 / 3])
    volumes = [one.hypervolume for one in outcomes]
    spread = (max(volumes) - min(volumes)) / float(np.mean(volumes))
    lines += ["", f"A member within one standard error at most a fifth of the FLOPs and a third of the time: {met} of "]
    lines[-1] += f"{len(outcomes)} runs. Runs without a dominated member: {sum(o.dominated == 0 for o in outcomes)}. "
    lines[-1] += f"Hypervolumes spread by {spread:.2f} of their mean; mean optimism "
    lines[-1] += f"{np.nanmean([one.optimism for one in outcomes]):+.4f}."
    return "\n".join(lines) + "\n"


def test_samples(folder: Path) -> int:
    """How many samples the test split of a study's task has."""
    task = read_json_object(folder / "study.json", required=True)["task"]
    split: Any = load_task(task["name"], task["params"]).loaders("all")["test"]
    loaders: Mapping[str, Any] = named_sets(split)
    sizes = [len(loader.dataset) for loader in loaders.values()]
    return sum(sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="0 to N - 1")
    parser.add_argument("--study", type=Path, default=Path("studies/digits.yaml"))
    parser.add_argument("--out", type=Path, default=Path("runs/demo-seeds"), help="a folder for each seed")
    parser.add_argument("more", nargs="*", help="further arguments of `autoreg run`, after --")
    given = parser.parse_args()
    outcomes = []
    for seed in range(given.seeds):
        folder = given.out / f"seed-{seed}"
        run(given.study, seed, folder, given.more)
        outcomes.append(outcome(folder, seed, test_samples(folder)))
        print(table(outcomes), flush=True)
    write_whole(given.out / "demo.md", table(outcomes).encode())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
