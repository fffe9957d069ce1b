"""Optimism of a front: mean error of its members with fresh seeds, less their error at choice.

`python -m benchmarks.optimism studies/digits.yaml --trials 30 --seeds 2` searches a study and trains the members that a
final evaluation would re-measure with fresh seeds. `python -m benchmarks.optimism simulated --trials 60 --seeds 10`
asks the engine alone, of a problem whose noise grows with the error and is now and then a failure of the training, as
small networks at a high rate have it; the error over seeds is then known, and so is what the front is worth.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.engine.engine import Engine
from autoreg.engine.log.trial import Result, Trial
from autoreg.engine.pareto.front import Normalizer
from autoreg.engine.problem import Problem
from autoreg.engine.settings import Strategy
from autoreg.space import Budget, Space
from autoreg.study.final_members import choose_members
from autoreg.study.options import RunOptions
from autoreg.study.shipped import load_study
from autoreg.study.task_study import TaskStudy
from autoreg.tasks.splits import named_sets
from autoreg.trial.setup import fresh_seeds

SAMPLES = 500
"""Validation samples of the simulated problem."""


@dataclass(frozen=True)
class Optimism:
    """Of one search.

    Attributes:
        members: how many are chosen.
        observed: mean error with fresh seeds, less that of the members' first runs.
        posterior: the same, less the quality over seeds that members were chosen by.
        half_error: half a standard error of the validation split at the members' mean error.
        hypervolume: of the members at their fresh error.
        reevaluations: trials that ran a recipe again.
        ask_ms: processor milliseconds of one ask.
    """

    members: int
    observed: float
    posterior: float
    half_error: float
    hypervolume: float
    reevaluations: int
    ask_ms: float


def optimism(engine: Engine, fresh: Mapping[int, float], samples: int, ask_seconds: float) -> Optimism:
    """The optimism of a search.

    Args:
        engine: after its last trial.
        fresh: mean error with fresh seeds by the member's number.
        samples: in the validation split.
        ask_seconds: processor time of all asks.
    """
    records, incumbents = engine.trials(), engine.incumbents()
    quality = engine.problem.quality
    values = np.array(list(fresh.values()))
    first = np.array([records[n].metrics[quality] for n in fresh])
    chosen = np.array([incumbents[n] for n in fresh])
    rows = engine.problem.table([records[n] for n in fresh])
    rows[:, engine.problem.names.index(quality)] = values
    scale = engine.state.normalizer
    assert scale is not None
    error = math.sqrt(float(np.mean(values * (1 - np.clip(values, 0, 1)))) / samples)
    again = sum(r.reevaluation_of is not None for r in records)
    return Optimism(
        len(fresh),
        float((values - first).mean()),
        float((values - chosen).mean()),
        0.5 * error,
        scale.hypervolume(rows),
        again,
        1000 * ask_seconds / len(records),
    )


def on_front(engine: Engine) -> list[int]:
    """The trials of the front of posterior means that a final evaluation would re-measure."""
    return [one.number for one in choose_members(engine) if one.posterior is not None]


# -- a task ----------------------------------------------------------------------------------------------------------


def of_study(name: str, trials: int, seed: int, fresh: int) -> Optimism:
    """Search a study of a task, and train its members with fresh seeds; latency is left out."""
    spec = load_study(name)
    objectives = {n: way for n, way in spec.objectives.items() if n != "latency_ms"}
    spec = replace(spec, seed=seed, budget=Budget(trials=trials), objectives=objectives, baselines="default")
    with tempfile.TemporaryDirectory() as folder:
        study = TaskStudy(spec, RunOptions(Path(folder) / "study", store=Path(folder) / "store"))
        study.objective.latency = False
        engine, seconds = study.run().engine, math.nan
        found = {}
        for number in on_front(engine):
            config = engine.trials()[number].config
            runs = [study.objective(config, Trial(seed=one)) for one in fresh_seeds(seed, fresh)]
            found[number] = float(np.mean([metrics[study.quality] for metrics in runs]))
        task = study.objective.setup.task
        split = named_sets(study.objective.setup.loaders(task.folds[0])["validation"])
        samples = sum(int(task.targets(batch).numel()) for loader in split.values() for batch in loader)
        return optimism(engine, found, samples * len(task.folds), seconds)


# -- simulated -------------------------------------------------------------------------------------------------------

SPACE = {
    "width": {"uniform": [0.1, 1.0]},
    "bits": [2, 4, 8, 32],
    "rate": {"log": [1e-3, 1.0]},
    "decay": {"log": [1e-5, 1e-1]},
    "regularizer": ["none", {"l1": {"strength": {"log": [1e-6, 1e-1]}}}, {"sam": {"rho": {"uniform": [0.0, 0.2]}}}],
}


def true_error(config: Mapping[str, Any]) -> float:
    """Error of a good training of the simulated problem, in [0, 0.9]."""
    rate, decay = math.log10(config["rate"]) + 1.3, math.log10(config["decay"]) + 3
    size = 0.012 / config["width"] ** 1.2 + {2: 0.06, 4: 0.012, 8: 0.001, 32: 0.0}[config["bits"]]
    regularizer = config["regularizer"]
    if regularizer == "none":
        gain = 0.006
    elif "l1" in regularizer:
        gain = 0.002 * (math.log10(regularizer["l1"]["strength"]) + 4) ** 2
    else:
        gain = 0.003 + 0.5 * (regularizer["sam"]["rho"] - 0.08) ** 2
    return float(min(0.008 + size + gain + 0.02 * rate**2 + 0.002 * decay**2, 0.9))


def failure_rate(config: Mapping[str, Any]) -> float:
    """How often a training of the simulated problem goes wrong: narrow networks at a high rate."""
    return float(np.clip(0.6 * (math.log10(config["rate"]) + 1.2) * (1.1 - config["width"]), 0.0, 0.6))


def one_error(config: Mapping[str, Any], seed: int) -> float:
    """Error of one training: noise of a third of the error, and a failure now and then trebles it."""
    key = [seed, *(int(1e6 * config[name]) for name in ("width", "rate", "decay"))]
    rng = np.random.default_rng(key)
    error = true_error(config) * math.exp(0.22 * rng.standard_normal())
    error *= 3.0 if rng.random() < failure_rate(config) else 1.0
    return float(rng.binomial(SAMPLES, min(error, 0.9)) / SAMPLES)


def mean_error(config: Mapping[str, Any]) -> float:
    """Error over seeds of the simulated problem."""
    return true_error(config) * math.exp(0.22**2 / 2) * (1 + 2 * failure_rate(config))


def of_simulation(trials: int, seed: int) -> Optimism:
    """Ask the engine for the simulated problem."""
    objectives = {"error": "min", "flops": "min"}
    dense = {"width": 1.0, "bits": 32, "rate": 0.05, "decay": 1e-3, "regularizer": "none"}

    def costs(config: Mapping[str, Any]) -> dict[str, float]:
        return {"flops": 1e6 * config["width"] ** 2 * config["bits"]}

    reference = {"error": mean_error(dense), **costs(dense)}
    engine = Engine(
        Problem(Space.from_dict(SPACE), objectives, "error", costs=costs),
        budget=Budget(trials=trials),
        seed=seed,
        strategy=Strategy(starters=[("dense", dense)], prune=False),
        normalizer=Normalizer.from_dense(objectives, reference, "error", 0.9),
    )
    seconds = -time.process_time()
    while (ask := engine.ask()) is not None:
        engine.tell(ask.number, Result("COMPLETE", {"error": one_error(ask.config, ask.seed)}))
    seconds += time.process_time()
    found = {number: mean_error(engine.trials()[number].config) for number in on_front(engine)}
    return optimism(engine, found, SAMPLES, seconds)


def table(rows: Sequence[Optimism]) -> str:
    """One line a search, and their mean with its standard error."""
    lines = ["| seed | members | less first run | less value chosen by | half SE | hypervolume | again | ms an ask |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for seed, one in enumerate(rows):
        lines.append(
            f"| {seed} | {one.members} | {one.observed:+.4f} | {one.posterior:+.4f} | {one.half_error:.4f} "
            f"| {one.hypervolume:.4f} | {one.reevaluations} | {one.ask_ms:.0f} |"
        )
    if len(rows) > 1:
        cells = []
        for name, digits in (
            ("observed", "+.4f"),
            ("posterior", "+.4f"),
            ("half_error", ".4f"),
            ("hypervolume", ".4f"),
        ):
            values = np.array([getattr(one, name) for one in rows])
            error = values.std(ddof=1) / math.sqrt(len(values))
            cells.append(f"{values.mean():{digits}} ± {error:.4f}")
        again = np.mean([one.reevaluations for one in rows])
        lines.append(f"| mean | | {' | '.join(cells)} | {again:.1f} | {np.mean([one.ask_ms for one in rows]):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="a study, or 'simulated'")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3, help="searches")
    parser.add_argument("--fresh", type=int, default=3, help="fresh seeds of each member")
    asked = parser.parse_args()
    rows = []
    for seed in range(asked.seeds):
        simulated = asked.study == "simulated"
        rows.append(
            of_simulation(asked.trials, seed) if simulated else of_study(asked.study, asked.trials, seed, asked.fresh)
        )
    print(table(rows))


if __name__ == "__main__":
    main()
