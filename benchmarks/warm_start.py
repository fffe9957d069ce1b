"""What studies of other tasks save: our engine cold, warm-started from sibling tables, and from shuffled labels.

    python -m benchmarks.warm_start --tables tune --seeds 5
    python -m benchmarks.warm_start --tables read,own --seeds 5

For each table and seed the engine searches it cold; the same cold runs on the other tables of its family, with the same
seed, are the earlier studies. `warm` reads them; `shuffled` reads them with their errors permuted; `reversed` with
their errors negated, which is a prior that is sure and wrong. The common start is the dense recipe alone, since what a
warm start saves is the blind beginning. The target is the tight measure of the cold run after all its trials.

Runs are appended to FILE and never repeated; a line belongs to a state of the source. Run it from a copy of the source
that nobody edits.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.engine.transfer.earlier_studies import Source
from autoreg.engine.transfer.prior import Prior
from autoreg.space.transfer import shared
from benchmarks.runs import read, state
from benchmarks.tables.arms import Arm, Task, run
from benchmarks.tables.arms.ours import Ours
from benchmarks.tables.measures import half_width, trials_to
from benchmarks.tables.names import GROUPS, judge_of, load
from benchmarks.tables.published import NAMES

KINDS = ("cold", "warm", "shuffled", "reversed")
FILE = Path("benchmarks/results/warm_start.jsonl")


def siblings(name: str) -> list[str]:
    """The other tables of a table's family: other data under the same cost."""
    family, *_, last = name.split("-") if "-" in name else (name, name)
    if name not in NAMES:
        return [other for other in GROUPS["own"] if other != name]
    held = [n for n in NAMES if n.startswith(f"{family}-") and n != name]
    return held if family == "hpolib" else [n for n in held if n.endswith(f"-{last}")]


def source_of(target: str, name: str, rows: Sequence[int], seed: int, kind: str) -> Source:
    """A finished run on another table in the words of the target's space; its labels spoiled as `kind` says."""
    table, space = load(name), load(target).space
    flats = [shared(space.root, table.configs[row]) for row in rows]
    errors = table.seen(seed)[np.asarray(rows)]
    if kind == "shuffled":
        errors = np.random.default_rng([seed, 0x5F1E]).permutation(errors)
    return Source.of(space, name, flats, errors if kind != "reversed" else -errors)


class Runs:
    """Runs that were made before, and those that are missing, made when they are asked for."""

    def __init__(self, path: Path, trials: int, starts: int) -> None:
        self.path, self.trials, self.starts, self.state = path, trials, starts, state()
        self.rows = {self._key(row): row for row in read(path) if row.get("state") == self.state}

    def of(self, kind: str, name: str, seed: int) -> dict[str, Any]:
        """One run: rows of the table and the seconds of training that each paid."""
        key = (kind, name, seed, self.trials, self.starts)
        if key not in self.rows:
            row = {"kind": kind, "table": name, "seed": seed, "trials": self.trials, "starts": self.starts}
            row |= self._make(kind, name, seed) | {"state": self.state}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
            self.rows[key] = row
        return self.rows[key]

    @staticmethod
    def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[n] for n in ("kind", "table", "seed", "trials", "starts"))

    def _make(self, kind: str, name: str, seed: int) -> dict[str, Any]:
        if kind == "cold":
            return self._search(name, seed, None)[0]
        sources = [source_of(name, o, self.of("cold", o, seed)["rows"], seed, kind) for o in siblings(name)]
        found, prior = self._search(name, seed, Prior(load(name).space, sources))
        assert prior is not None
        return found | {"prior": prior.to_dict()}

    def _search(self, name: str, seed: int, prior: Prior | None) -> tuple[dict[str, Any], Prior | None]:
        class Arms(Ours):
            more = {} if prior is None else {"prior": prior}

        def made(task: Task) -> Arm:
            return Arms(task)

        got = run(made, load(name), seed, self.trials, self.starts)
        took = {"seconds": round(sum(got.seconds), 2), "trained": np.cumsum(got.trained).round(3).tolist()}
        return {"rows": got.rows, **took}, prior


def paid_to(curve: Sequence[float], trained: Sequence[float], target: float) -> float:
    """Seconds of training until `target` is reached; infinite when it is not."""
    count = trials_to(np.asarray(curve), target)
    return float(trained[int(count) - 1]) if math.isfinite(count) else math.inf


def summary(runs: Runs, tables: Iterable[str], seeds: int, kinds: Sequence[str]) -> str:
    """A table in Markdown: what each kind holds after some trials, and what it needs for the cold run's end."""
    marks = sorted({max(runs.starts + 1, runs.trials // 3), runs.trials // 2, runs.trials})
    lines = [
        f"Tight measure after {', '.join(map(str, marks))} trials (mean over {seeds} seeds, half width of its 95 %"
        " interval at the end); trials until the cold run's end value is reached, as a share of what the cold run"
        " needed (median over seeds; a run that never gets there counts as infinite); the same for seconds of training"
        " where the table has them; seeds in which that is at most a half; trials at which the mean curve reaches the"
        " cold mean's end.",
        "",
        "| table | start | " + " | ".join(map(str, marks)) + " | ± | trials | seconds | half | mean curve | prior |",
        "|---|---|" + "---|" * (len(marks) + 6),
    ]
    for name in tables:
        curves = {k: np.array([_curve(runs, k, name, s) for s in range(seeds)]) for k in kinds}
        goal = float(curves["cold"][:, -1].mean())
        for kind in kinds:
            ends, cold = curves[kind], curves["cold"]
            shares = [trials_to(w, c[-1]) / trials_to(c, c[-1]) for w, c in zip(ends, cold, strict=True)]
            times = [_times(runs, kind, name, s, w, c) for s, (w, c) in enumerate(zip(ends, cold, strict=True))]
            paid = f"{np.median(times):.2f}" if np.isfinite(times).any() else "-"
            columns = " | ".join(f"{ends[:, m - 1].mean():.3f}" for m in marks)
            lines.append(
                f"| {name} | {kind} | {columns} | {half_width(ends[:, -1]):.3f} | {np.median(shares):.2f} | {paid} |"
                f" {sum(s <= 0.5 for s in shares)}/{seeds} | {trials_to(ends.mean(axis=0), goal):.0f} |"
                f" {_priors(runs, kind, name, seeds)} |"
            )
    return "\n".join(lines)


def _curve(runs: Runs, kind: str, name: str, seed: int) -> np.ndarray:
    return np.asarray(judge_of(name, seed).found(runs.of(kind, name, seed)["rows"], runs.starts))


def _times(runs: Runs, kind: str, name: str, seed: int, own: np.ndarray, cold: np.ndarray) -> float:
    target = float(cold[-1])
    whole = paid_to(cold.tolist(), runs.of("cold", name, seed)["trained"], target)
    return paid_to(own.tolist(), runs.of(kind, name, seed)["trained"], target) / whole if whole > 0 else math.nan


def _priors(runs: Runs, kind: str, name: str, seeds: int) -> str:
    """Of all earlier studies how many were used, and in how many runs new trials ended the prior."""
    found = [p for s in range(seeds) if (p := runs.of(kind, name, s).get("prior"))]
    if not found:
        return "-"
    used = sum(source["used"] for p in found for source in p["sources"])
    dropped = sum(p["dropped_at"] is not None for p in found)
    return f"{used} of {sum(len(p['sources']) for p in found)} used, {dropped} dropped"


def main() -> None:
    """Make what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="tune", help=f"names or {', '.join(GROUPS)}, separated by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--starts", type=int, default=1, help="trials that all runs begin with: dense, then at random")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--out", type=Path, default=FILE)
    asked = parser.parse_args()
    names = list(dict.fromkeys(n for part in asked.tables.split(",") for n in GROUPS.get(part, (part,))))
    kinds = ["cold", *(k for k in asked.kinds.split(",") if k != "cold")]
    runs = Runs(asked.out, asked.trials, asked.starts)
    for name in names:
        for kind in kinds:
            for seed in range(asked.seeds):
                runs.of(kind, name, seed)
    print(summary(runs, names, asked.seeds, kinds))


if __name__ == "__main__":
    main()
