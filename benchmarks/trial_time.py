"""Where the time of a task study's trials goes: the share that trains, and what else takes how much.

    python -m benchmarks.trial_time [STUDY] [--trials 30] [--workers 2 1] [--final] [--json FILE]

The study runs as `autoreg run` runs it, in a folder and with a store of its own. In each worker a thread looks at the
stack of the main thread (`benchmarks/stack_sampler.py`), so that nothing is changed in what is measured. `wall` is of
all trials, the processes' start and waiting for the driver apart; `processor` counts only what the main thread worked,
which other programs on the machine do not disturb. Rows marked `outside` are not part of a trial. The last rows are the
driver's: what it asks, tells and writes while workers wait or train.
"""

from __future__ import annotations

import argparse
import inspect
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoreg.execution import session
from autoreg.files import write_whole
from autoreg.study.final_evaluation import finish
from autoreg.study.options import RunOptions
from autoreg.study.shipped import load_study
from autoreg.study.task_study import TaskStudy
from autoreg.trial.objective import TaskObjective
from benchmarks.stack_sampler import StackSampler, sample_once

TRAINING = "training"
PARTS: dict[str, tuple[str, ...]] = {
    "imports": ("<frozen importlib._bootstrap>",),
    "waiting for the driver": ("execution/worker.py:main", "execution/worker.py:send"),
    "waiting for a lock": ("autoreg/locks.py", "filelock/"),
    "store": ("trial/store.py:put", "trial/store.py:get", "trial/store.py:_evict", "trial/model_state.py:pack"),
    "dependency graph, surgery": ("autoreg/network/",),
    "timing": ("latency/timing.py", "latency/onnx_runtime.py:onnx_session"),
    "export of the skeleton": ("artifacts/skeleton.py", "latency/artifact_latency.py", "artifacts/onnx/"),
    "scoring": ("trial/loop.py:evaluate", "trial/loop.py:re_estimate"),
    "quantizers": ("trial/compress.py:quantize", "methods/quantization/attach.py:attach_calibrated"),
    "scores of weights": ("trial/reference.py:score_weights", "methods/layers/selectors.py"),
    TRAINING: ("trial/loop.py:fit", "trial/training_phase.py:make_run"),
    "levels": ("trial/resolve.py",),
    "costs": ("autoreg/costs/", "trial/objective.py:count"),
    "building and reading networks": ("trial/model_state.py", "trial/setup.py:_built"),
    "phases and their keys": ("autoreg/plan.py", "methods/bound.py"),
    "setup": ("trial/setup.py", "trial/task_ref.py"),
}
DRIVER: dict[str, tuple[str, ...]] = {
    "imports": ("<frozen importlib._bootstrap>",),
    "waiting for workers": ("multiprocessing/connection.py:wait", "execution/process.py"),
    "asking: learning": ("engine/surrogate/",),
    "asking: costs of candidates": ("autoreg/costs/", "trial/resolve.py", "study/task_study.py:costs"),
    "asking: phases of candidates": ("autoreg/plan.py", "engine/acquisition/shared_cost.py"),
    "asking: else": ("engine/engine.py:ask",),
    "telling, reports": ("engine/engine.py:tell", "engine/engine.py:report"),
    "progress, Optuna's view": ("study/follower.py", "report/"),
    "the dense reference": ("study/task_study.py:prepare",),
    "files of the front": ("study/final_evaluation.py:export_front",),
}


class SampledObjective(TaskObjective):
    """A task objective whose workers count where their time goes."""

    counts: Path | None = None
    """The folder that they write into; every objective made from here on has it."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "counts": self.counts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.counts is not None:
            sample_once(PARTS, self.counts, within="execution/base.py:run_one")


def sampled(objective: TaskObjective, counts: Path) -> TaskObjective:
    """The same objective, whose workers count."""
    SampledObjective.counts = counts
    objective.__class__ = SampledObjective
    return objective


def measured(name: str, trials: int, workers: int, final: bool, seed: int) -> dict[str, Any]:
    """Run a study, and return the seconds of its workers and of its driver by part."""
    with tempfile.TemporaryDirectory() as scratch:
        spec = load_study(name).override(budget={"trials": trials}, workers=workers, baselines="default", seed=seed)
        folder, counts = Path(scratch), Path(scratch) / "counts"
        counts.mkdir()
        begun = time.perf_counter()
        study = TaskStudy(spec, RunOptions(folder / "study", workers=workers, store=folder / "store"))
        study.objective = sampled(study.objective, counts)
        opened: dict[str, Any] = (
            {"evaluate": study.objective} if "evaluate" in inspect.signature(session).parameters else {}
        )
        driver = StackSampler(DRIVER, counts / "driver", start="before the search")
        (counts / "driver").mkdir()
        with session(**opened, **study.execution()):
            study.prepare()
            ready = time.perf_counter()
            searched = study.run()
            found = time.perf_counter()
            if final:
                finish(study, searched)
        driver.write()
        seconds = {"prepare": ready - begun, "search": found - ready, "final": time.perf_counter() - found}
        parts = [json.loads(file.read_text()) for file in counts.glob("*.json")]
        summed = {clock: Counter[str]() for clock in ("wall", "processor")}
        for clock, total in summed.items():
            for part in parts:
                total.update(part[clock])
        own = [record.info for record in searched.engine.trials()]
    return {
        "trials": len(own),
        "workers": workers,
        "processes": len(parts),
        "seconds": seconds,
        "epochs_run": sum(info.epochs_run or 0.0 for info in own),
        "workers' seconds": {clock: dict(total) for clock, total in summed.items()},
        "driver's seconds": {"wall": dict(driver.wall), "processor": dict(driver.processor)},
    }


def shares(found: dict[str, Any]) -> dict[str, float]:
    """Training's share of the trials, of wall and of processor time."""
    answer = {}
    for clock, seconds in found["workers' seconds"].items():
        inside = {part: value for part, value in seconds.items() if not part.startswith("outside")}
        inside.pop("process start", None)
        inside.pop("waiting for the driver", None)
        answer[clock] = inside.get(TRAINING, 0.0) / max(sum(inside.values()), 1e-9)
    return answer


def show(found: dict[str, Any]) -> None:
    """Print what was measured as a table."""
    took = ", ".join(f"{name} {value:.1f} s" for name, value in found["seconds"].items())
    print(f"\n{found['trials']} trials, {found['workers']} workers, {found['processes']} processes: {took}; ", end="")
    print(f"{found['epochs_run']:.0f} epochs run in the search")
    for who in ("workers' seconds", "driver's seconds"):
        wall, processor = found[who]["wall"], found[who]["processor"]
        print(f"{who:<44}{'wall':>9}{'':>7}{'processor':>10}")
        for part in sorted(wall, key=lambda one: -wall[one]):
            spent, worked = wall[part], processor.get(part, 0.0)
            of_wall, of_processor = spent / sum(wall.values()), worked / max(sum(processor.values()), 1e-9)
            print(f"  {part:<42}{spent:>9.2f}{of_wall:>7.1%}{worked:>10.2f}{of_processor:>7.1%}")
    share = shares(found)
    print(f"training's share of the trials: {share['wall']:.1%} of wall, {share['processor']:.1%} of processor time")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", default="studies/digits.yaml")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--final", action="store_true", help="the final evaluation too")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    given = parser.parse_args(arguments)
    runs = []
    for workers in given.workers:
        runs.append(measured(given.study, given.trials, workers, given.final, given.seed))
        runs[-1]["share that trains"] = shares(runs[-1])
        show(runs[-1])
    if given.json is not None:
        write_whole(given.json, (json.dumps(runs, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
