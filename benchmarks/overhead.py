"""What the engine itself costs: milliseconds to ask and tell after 100, 1,000 and 10,000 trials, beside bare Optuna's;
seconds a trivial trial takes with the Ray executor, beside bare Ray Tune's; and candidates judged a second.

    python -m benchmarks.overhead [--trials 100 1000 10000] [--rounds 20] [--ray 200] [--json FILE]

A conditional space of plain values, a cost that is a formula, an error that is a formula: nothing trains. The first
trials are written into the log as if they had run; then the engine goes on and is timed, once without phase costs and
once with them, by which configs of the same training share it. What is learned only now and then (parameters of the
Gaussian process, trees) is timed apart and shared out over the trials between two times. The bars are on
`ask_and_tell_ms`.
Bare Optuna (TPE, two objectives, in memory) gets the same trials through `add_trial`. Bare Ray Tune runs a trivial
class trainable with `reuse_actors` and its own random search, in the same quiet session of Ray; our engine runs
formulas on the Ray executor, once with random draws (what the executor adds) and once with sampler auto.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from autoreg.engine import Budget, Engine, EventLog, Normalizer, Problem, Result, SharedWork, Strategy
from autoreg.engine.acquisition.shared_cost import PhaseCostFunction, PhaseCosts
from autoreg.engine.pareto.ehvi import NondominatedPartitioning
from autoreg.files import write_whole
from autoreg.space import Space, digest

SPACE: dict[str, Any] = {
    "amount": {"uniform": [0.0, 0.95]},
    "bits": [2, 4, 8, 32],
    "regularizer": [
        "none",
        {"l1": {"strength": {"log": [1e-6, 1e-1]}}},
        {"dropout": {"rate": {"uniform": [0.0, 0.6]}, "where": ["first", "last", "all"]}},
    ],
    "rate": {"log": [1e-4, 1.0]},
    "decay": {"log": [1e-6, 1e-1]},
    "width": {"int": [1, 8]},
    **{f"layer{k}": {"uniform": [0.0, 1.0]} for k in range(8)},
}
DENSE = {"flops": 6400.0, "error": 0.05}
COMPRESSED = ("amount", "bits", "width")
"""What is done to a network after its training."""
OBJECTIVES = {"error": "min", "flops": "min"}
BARS = {1000: 50.0, 10_000: 150.0}
"""Milliseconds to ask and tell, at most, after so many trials."""


def cost(config: dict[str, Any]) -> dict[str, float]:
    """Operations by formula."""
    return {"flops": 25.0 * config["bits"] * config["width"] * (1 - config["amount"])}


def error(config: dict[str, Any]) -> float:
    """Error by formula: a trade with cost, and much that matters at equal cost."""
    rate = (np.log10(config["rate"]) + 2.0) ** 2 / 8
    layers = sum((config[f"layer{k}"] - k / 8) ** 2 for k in range(8)) / 10
    held = 0.05 if config["regularizer"] == "none" else 0.02
    small = 0.3 * config["amount"] ** 4 + 0.4 / config["bits"] + 0.05 / config["width"]
    return float(min(0.02 + rate + layers + held + small, 0.9))


def phase_costs(config: dict[str, Any]) -> PhaseCosts:
    """Ten epochs of training, two of fine-tuning, and bits that cost nothing."""
    train = digest({k: v for k, v in config.items() if k not in COMPRESSED})
    tune = train + digest({k: config[k] for k in ("amount", "width")})
    return (train, 10.0), (tune, 2.0), (digest(config), 0.0)


def filled(space: Space, trials: int, seed: int) -> EventLog:
    """A log in which `trials` random draws are asked and complete."""
    log, rng = EventLog(), np.random.default_rng(seed)
    problem = Problem(space, OBJECTIVES, "error", costs=cost)
    engine = Engine(problem, normalizer=scale(), strategy=Strategy(sampler="random"), seed=seed)
    log.append({**engine.log.events[0], "sampler": "auto"})
    for number in range(trials):
        config = space.sample(rng)
        known = cost(config)
        log.append(
            {"event": "ask", "trial": number, "config": config, "source": "random", "seed": seed, "costs": known}
        )
        values = {"event": "tell", "trial": number, "state": "COMPLETE", "metrics": {"error": error(config), **known}}
        log.append({**values, "info": {}, "reason": None, "feasible": True})
    return log


def scale() -> Normalizer:
    """The scale of hypervolume."""
    return Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9)


def ours(
    space: Space, trials: int, rounds: int, phase_cost_function: PhaseCostFunction | None = None, seed: int = 0
) -> dict[str, float]:
    """Milliseconds to ask, to tell and to do both, medians; those to learn, for each trial; share screened."""
    engine = Engine(
        Problem(space, OBJECTIVES, "error", costs=cost),
        normalizer=scale(),
        seed=seed,
        budget=Budget(trials=trials + rounds + 10),
        strategy=Strategy(prune=False),
        shared_work=SharedWork(phase_cost_function),
        log=filled(space, trials, seed),
    )
    asks, tells = [], []
    for _ in range(rounds + 10):
        began = time.perf_counter()
        ask = engine.ask()
        asks.append(time.perf_counter() - began)
        assert ask is not None
        began = time.perf_counter()
        engine.tell(ask.number, Result("COMPLETE", {"error": error(ask.config)}))
        tells.append(time.perf_counter() - began)
    late = engine.trials()[trials + 10 :]
    usual = statistics.median(asks[10:]) * 1e3
    return {
        "ask_ms": usual,
        "tell_ms": statistics.median(tells[10:]) * 1e3,
        "ask_and_tell_ms": statistics.median(a + t for a, t in zip(asks[10:], tells[10:], strict=True)) * 1e3,
        "learning_ms_a_trial": max(asks[0] * 1e3 - usual, 0.0) / max(trials // 8, 1),
        "screened": sum(r.source == "screened" for r in late) / len(late),
    }


def optuna_alone(space: Space, trials: int, rounds: int, seed: int = 0) -> float:
    """Milliseconds to ask and tell with bare Optuna's TPE, median."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    from autoreg.engine.samplers.tpe import distribution

    kinds = {p.path: distribution(p.domain) for p in space.parameters}
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=optuna.samplers.TPESampler(seed=seed, multivariate=False)
    )
    rng = np.random.default_rng(seed)
    for _ in range(trials):
        config = space.sample(rng)
        flat = dict(space.flatten(config))
        study.add_trial(
            optuna.trial.create_trial(
                params={
                    p: str(v) if isinstance(kinds[p], optuna.distributions.CategoricalDistribution) else v
                    for p, v in flat.items()
                },
                distributions={p: kinds[p] for p in flat},
                values=[error(config), cost(config)["flops"]],
            )
        )
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        trial = study.ask()

        def choose(path: str, domain: Any, trial: optuna.Trial = trial) -> Any:
            kind = kinds[path]
            if isinstance(kind, optuna.distributions.CategoricalDistribution):
                return trial.suggest_categorical(path, kind.choices)
            if isinstance(kind, optuna.distributions.IntDistribution):
                return trial.suggest_int(path, kind.low, kind.high)
            assert isinstance(kind, optuna.distributions.FloatDistribution)
            return trial.suggest_float(path, kind.low, kind.high, log=kind.log)

        config = space.build(choose)
        study.tell(trial, [error(config), cost(config)["flops"]])
        spent.append(time.perf_counter() - began)
    return statistics.median(spent) * 1e3


def evaluate(config: dict[str, Any], trial: Any = None) -> dict[str, float]:
    """The objective: two formulas."""
    return {"error": error(config), **cost(config)}


def ray_alone(trials: int, workers: int) -> float:
    """Milliseconds a trial of bare Ray Tune: a trivial trainable, actors used again, random search."""
    from ray import tune

    class Formula(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.x = config["x"]

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.x = new_config["x"]
            return True

        def step(self) -> dict[str, Any]:
            return {"error": self.x**2, "done": True}

    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(Formula, {"cpu": 1}),
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=workers, reuse_actors=True),
            run_config=tune.RunConfig(
                name="bare",
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        began = time.perf_counter()
        found = tuner.fit()
        took = (time.perf_counter() - began) * 1e3 / trials
    if found.num_errors:
        raise RuntimeError(f"{found.num_errors} of {trials} trials failed")
    return took


def ours_on_ray(space: Space, trials: int, workers: int, sampler: str) -> float:
    """Milliseconds a trial of our engine on the Ray executor."""
    from autoreg.execution import run

    engine = Engine(
        Problem(space, OBJECTIVES, "error", costs=cost),
        normalizer=scale(),
        strategy=Strategy(sampler=sampler, prune=False),
        budget=Budget(trials=trials),
    )
    began = time.perf_counter()
    run(engine, evaluate, "ray", workers=workers)
    return (time.perf_counter() - began) * 1e3 / trials


def ray_times(space: Space, trials: int, workers: int) -> dict[str, float]:
    """Milliseconds a trial on Ray, which is started once for all."""
    from autoreg.execution import session

    with session("ray", workers=workers):
        ray_alone(workers, workers)  # imports, first actors
        return {
            "bare Ray Tune": ray_alone(trials, workers),
            "ours on Ray, random": ours_on_ray(space, trials, workers, "random"),
            "ours on Ray, auto": ours_on_ray(space, trials, workers, "auto"),
        }


def candidates_a_second(costs: int, members: int, count: int, seed: int = 0) -> float:
    """Candidates whose logarithmic expected hypervolume improvement is known after a second."""
    rng = np.random.default_rng(seed)
    front = rng.random((members, 1 + costs))
    front[:, 1:] /= front[:, 1:].sum(axis=1, keepdims=True)
    front[:, 0] = rng.random(members) * 0.2 + 0.3
    region = NondominatedPartitioning.of(front, [1.0] + [1.1] * costs)
    places, mean, spread = rng.random((count, costs)), rng.random(count), np.full(count, 0.1)
    began = time.perf_counter()
    region.log_ehvi(places, mean, spread)
    return count / (time.perf_counter() - began)


def judged(trials: int, arm: str, times: dict[str, float]) -> dict[str, Any]:
    """The figures of an arm, printed, with the bar where there is one for so many trials."""
    words = ", ".join(f"{name} {value:.2f}" for name, value in times.items())
    found: dict[str, Any] = {name: round(value, 2) for name, value in times.items()}
    if arm != "bare Optuna" and trials in BARS:
        whole = times["ask_and_tell_ms"] + times["learning_ms_a_trial"]
        found |= {"bar_ms": BARS[trials], "met": whole < BARS[trials]}
        words += f"; with learning {whole:.2f}, bar {BARS[trials]:.0f} ms {'met' if found['met'] else 'missed'}"
    print(f"{trials:,} trials, {arm}: {words}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--ray", type=int, default=200, help="trials on Ray; 0 for none")
    parser.add_argument("--workers", type=int, default=2, help="of Ray")
    parser.add_argument("--no-optuna", action="store_true")
    parser.add_argument("--candidates", type=int, default=100_000, help="that are judged for the candidates a second")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    given = parser.parse_args(arguments)
    space = Space.from_dict(SPACE)
    found: dict[str, Any] = {"candidates a second": {}, "ms to ask and tell": {}, "ms a trial on Ray": {}}
    for costs, members in ((1, 30), (2, 30), (3, 30)):
        pace = candidates_a_second(costs, members, given.candidates)
        found["candidates a second"][f"{costs} known costs, {members} points"] = round(pace)
        print(f"{costs} known costs, {members} points: {pace:,.0f} candidates a second", flush=True)
    ours(space, 12, 1)  # Optuna, SciPy and XGBoost load at their first use, which is not to be timed
    for trials in given.trials:
        rows = found["ms to ask and tell"][str(trials)] = {}
        for name, function in (("ours", None), ("ours with phase costs", phase_costs)):
            rows[name] = judged(trials, name, ours(space, trials, given.rounds, function))
        if not given.no_optuna:
            alone = {"ask_and_tell_ms": optuna_alone(space, trials, given.rounds)}
            rows["bare Optuna"] = judged(trials, "bare Optuna", alone)
    if given.ray:
        found["ms a trial on Ray"] = {n: round(v, 1) for n, v in ray_times(space, given.ray, given.workers).items()}
        for name, value in found["ms a trial on Ray"].items():
            print(f"{name}, {given.ray} trials, {given.workers} workers: {value:.1f} ms a trial", flush=True)
    if given.json is not None:
        write_whole(given.json, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
