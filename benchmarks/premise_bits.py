"""Bits per layer of a trained character model at a fixed size: four ways to choose them, on held-out text.

    python -m benchmarks.premise_bits --data tinyshakespeare.txt --seeds 20

A transformer of four layers (25 weight matrices) is trained once per seed. Then its weights are rounded after
training, to 2, 3, 4, 5, 6 or 8 bits a layer, within the bytes that all layers at 3 (or 4) bits take, scales included.

uniform          the same bits everywhere.
program          every layer measured at every level alone, then the additive program (`autoreg.sensitivity`).
evopress         EvoPress' loop from the uniform assignment, on as many passes as `ours` has in all.
evopress_time    the same run, gone on with until it has spent the CPU seconds of `ours`.
evopress_program EvoPress' loop from the program's answer, on the same passes less those of the curves: what the start
                 alone brings.
ours             the package's engine over factors on the measured curves, see `bit_arms.ours`; the passes of the
                 curves come out of its own.

One pass is a look at the whole calibration text. All arms choose by calibration text alone; the test stretch is
scored once, for the assignment handed over. Factors and passes were chosen on networks of seed 0, which is not among
those reported. Runs are appended to `premise_bits.jsonl` and never repeated; `--report` runs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402

from autoreg.sensitivity import program  # noqa: E402
from autoreg.sensitivity.curves import weights_set  # noqa: E402
from autoreg.study.environment import machine, versions  # noqa: E402
from autoreg.tasks import Task, load_task  # noqa: E402
from autoreg.trial.loop import evaluate  # noqa: E402
from autoreg.trial.objective import TaskObjective  # noqa: E402
from autoreg.trial.setup import TrialOptions  # noqa: E402
from autoreg.trial.store import default_store  # noqa: E402
from autoreg.trial.task_ref import TaskRef  # noqa: E402
from benchmarks.bit_arms import (  # noqa: E402
    BITS,
    Curves,
    Levels,
    Purse,
    Ward,
    correlation,
    evopress,
    measure_curves,
    ours,
)
from benchmarks.premise_bits_report import report  # noqa: E402
from benchmarks.runs import read, state  # noqa: E402

TASK = {"context": 64, "width": 64, "layers": 4, "heads": 4, "steps": 80, "batch_size": 32, "eval_chars": 60_000}
MEANS = (3, 4)
PASSES = 130.0
EVERY = 2  # of the calibration windows, one in so many is looked at


class Trained:
    """The network of one seed, and what is measured on it when first asked for."""

    def __init__(self, task: Task, store: str, seed: int) -> None:
        self.task, self.seed = task, seed
        objective = TaskObjective(TaskRef(task, {}), TrialOptions(store, device="cpu"), latency=False, rungs=False)
        config = objective.setup.complete({"training": {"finetune_epochs": 0}})
        chain = objective.chain(config, seed=seed, fold=task.folds[0])
        begun = time.process_time()
        self.model = chain.trained().model
        self.cpu, self.epochs = time.process_time() - begun, chain.context.work.epochs_run
        self.loaders = objective.setup.loaders(task.folds[0])
        self.ward = Ward(self.model, torch.cat([inputs for inputs, _ in self.loaders["calibration"]])[::EVERY])
        self._curves: Curves | None = None

    @property
    def curves(self) -> Curves:
        """Distortion of every layer at every level alone."""
        if self._curves is None:
            self._curves = measure_curves(self.ward)
        return self._curves

    def test(self, levels: Levels | None) -> float:
        """Bits per character of the test stretch."""
        with weights_set(self.model, {} if levels is None else self.ward.at(levels)) as model:
            return evaluate(model, self.task, self.loaders["test"], torch.device("cpu"))[self.task.quality]


def first(trained: Trained) -> dict[str, Any]:
    """The row of the network itself: held-out bits per character, its curves, and whether they add up."""
    curves, ward = trained.curves, trained.ward
    adds = {
        str(bits): {
            name: found.to_dict()
            for name, found in correlation(
                ward, curves, ward.budget(bits), np.random.default_rng([trained.seed, bits])
            ).items()
        }
        for bits in MEANS
    }
    return {
        "arm": "dense",
        "bits": 32,
        "bpc": trained.test(None),
        "layers": ward.names,
        "sizes": ward.sizes,
        "curves": {"mse": curves.mse, "kl": curves.kl, "passes": curves.passes, "cpu": round(curves.seconds, 2)},
        "additivity": adds,
        "training": {"cpu": round(trained.cpu, 1), "epochs": trained.epochs},
        "weights": sum(ward.sizes),
        "machine": machine(),
        "versions": versions(),
    }


def play(trained: Trained, bits: int) -> list[dict[str, Any]]:
    """All arms at one size."""
    ward, curves, seed = trained.ward, trained.curves, trained.seed
    budget = ward.budget(bits)
    chosen = program(curves.kl, ward.costs, budget).levels
    rest = PASSES - curves.passes
    rows: list[dict[str, Any]] = []

    def hand(arm: str, levels: Levels, passes: float, cpu: float, curve: list[Any] | None = None) -> None:
        cost = ward.cost(levels)
        assert cost <= budget, f"{arm} takes {cost} of {budget} bytes"
        rows.append(
            {
                "arm": arm,
                "bits": bits,
                "levels": [BITS[level] for level in levels],
                "bytes": cost,
                "budget": budget,
                "kl": Purse(ward).look(levels)[1],
                "bpc": trained.test(levels),
                "passes": round(passes, 2),
                "cpu": round(cpu, 2),
                "curve": curve,
            }
        )

    hand("uniform", ward.uniform(bits), 0, 0)
    hand("program", chosen, curves.passes, curves.seconds)
    mine = Purse(ward, rest)
    ours(mine, bits, seed, curves)
    seconds = mine.cpu + curves.seconds
    hand("ours", mine.best[-1][2], curves.passes + mine.paid, seconds, steps(mine))
    started = Purse(ward, rest)
    evopress(started, bits, np.random.default_rng([seed, bits, 1]), chosen)
    hand(
        "evopress_program",
        started.best[-1][2],
        curves.passes + started.paid,
        started.cpu + curves.seconds,
        steps(started),
    )
    theirs = Purse(ward, PASSES, seconds)
    evopress(theirs, bits, np.random.default_rng([seed, bits]))
    hand("evopress", theirs.reached(PASSES), PASSES, theirs.cpu_at(PASSES), steps(theirs))
    hand("evopress_time", theirs.best[-1][2], theirs.paid, theirs.cpu)
    return rows


def steps(purse: Purse) -> list[list[float]]:
    """Passes, CPU seconds and divergence whenever the best became better."""
    return [[round(paid, 2), round(cpu, 2), round(kl, 6)] for paid, cpu, _, kl in purse.best]


def done(path: Path, now: str) -> dict[tuple[int, int], str]:
    """Seeds and sizes that are there already, of this state of the engine."""
    return {(row["seed"], row["bits"]): row["state"] for row in read(path) if row["state"] == now}


def append(path: Path, rows: list[Mapping[str, Any]]) -> None:
    """Add lines to a file, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FILE", help="a text file, UTF-8")
    parser.add_argument("--seeds", type=int, default=20, help="seeds 1 to N are run and reported")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--store", default=str(default_store()), help="folder of trained networks")
    parser.add_argument("--report", action="store_true", help="run nothing")
    given = parser.parse_args()
    path, now = given.out / "premise_bits.jsonl", state()
    if not given.report:
        if given.data is None:
            parser.error("give --data FILE")
        task = load_task("char_lm", {"path": given.data, **TASK})
        for seed in range(1, given.seeds + 1):
            ready = done(path, now)
            wanted = [bits for bits in (32, *MEANS) if (seed, bits) not in ready]
            if not wanted:
                continue
            trained = Trained(task, given.store, seed)
            for bits in wanted:
                rows = [first(trained)] if bits == 32 else play(trained, bits)
                append(path, [{"seed": seed, "state": now, **row} for row in rows])
                print(seed, bits, " ".join(f"{row['arm']} {row['bpc']:.4f}" for row in rows), flush=True)
    report(path, given.out)


if __name__ == "__main__":
    main()
