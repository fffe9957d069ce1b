"""Hypervolume of a search against random search at an equal number of trials, over paired seeds.

    python benchmarks/against_random.py studies/digits.yaml --trials 60 --seeds 10
    python benchmarks/against_random.py studies/speech.yaml --trials 30 --seeds 10 -p path=fsdd_logmel.npz

Both arms of a pair have the same seed, the same dense reference, the same starting recipes and share one store, so
that only what they propose differs; the figure is validation hypervolume on one scale, that of the study.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from autoreg.engine.log.events import EventLog
from autoreg.execution import run
from autoreg.space.study_spec import StudySpec
from autoreg.study.options import RunOptions
from autoreg.study.shipped import find_shipped
from autoreg.study.task_study import TaskStudy


def arm(study: TaskStudy, random: bool, folder: Path) -> dict[str, Any]:
    strategy = replace(study.strategy, sampler="random", prune=False, screen=False) if random else study.strategy
    begun = time.perf_counter()
    with EventLog(folder / f"{'random' if random else 'ours'}-{study.spec.seed}.jsonl") as log:
        engine = study.engine(log, strategy=strategy)
        run(engine, study.objective, **study.execution())
    records = engine.trials()
    return {
        "hypervolume": engine.hypervolume(),
        "epochs": sum(record.epochs_run for record in records),
        "asked": sum(record.info.epochs_requested or 0.0 for record in records),
        "stopped": sum(record.state == "PRUNED" for record in records),
        "failed": sum(record.state == "FAIL" for record in records),
        "seconds": time.perf_counter() - begun,
        "history": engine.history(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    parser.add_argument("-p", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    params = dict(item.split("=", 1) for item in given.p)
    spec = StudySpec.load(Path(given.study), resolve_shipped=lambda name: find_shipped("space", name))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        store = given.store or Path(scratch) / "store"
        for seed in range(given.seeds):
            one = spec.override(seed=seed, workers=given.workers, budget={"trials": given.trials})
            study = TaskStudy(one, RunOptions(Path(scratch), workers=given.workers, store=store, params=params))
            pair = {name: arm(study, name == "random", Path(scratch)) for name in ("ours", "random")}
            rows.append({"seed": seed, **pair})
            print(
                f"seed {seed}: ours {pair['ours']['hypervolume']:.4f} in {pair['ours']['epochs']:.0f} epochs "
                f"({pair['ours']['stopped']} stopped), random {pair['random']['hypervolume']:.4f} "
                f"in {pair['random']['epochs']:.0f}",
                flush=True,
            )
            if given.out:
                given.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    ours, other = (np.array([row[name]["hypervolume"] for row in rows]) for name in ("ours", "random"))
    gain = ours - other
    half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else float("nan")
    print(f"hypervolume: ours {ours.mean():.4f}, random {other.mean():.4f}, gain {gain.mean():+.4f} ± {half:.4f}")
    print(f"ours ahead on {int((gain > 0).sum())} of {len(gain)} seeds; Wilcoxon p = {wilcoxon(gain).pvalue:.3f}")


if __name__ == "__main__":
    main()
