"""What the engine itself costs: seconds to ask and tell after 1,000 and 10,000 trials, and candidates judged a second.

    python -m benchmarks.overhead [--trials 1000 10000] [--rounds 20]

A conditional space of plain values, a cost that is a formula, an error that is a formula: nothing trains. The first
trials are written into the log as if they had run; then the engine goes on and is timed. What is learned only now and
then (parameters of the Gaussian process, trees) is timed apart and shared out over the trials between two times.
Bare Optuna (TPE, two objectives, in memory) gets the same trials through `add_trial`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from autoreg.search import Budget, Engine, EventLog, Normalizer, Result
from autoreg.search.improvement import Region
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
OBJECTIVES = {"error": "min", "flops": "min"}


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


def filled(space: Space, trials: int, seed: int) -> EventLog:
    """A log in which `trials` even draws have been asked and told."""
    log, rng = EventLog(), np.random.default_rng(seed)
    engine = Engine(space, OBJECTIVES, quality="error", costs=cost, normalizer=scale(), sampler="random", seed=seed)
    log.append({**engine.log.events[0], "sampler": "auto"})
    for number in range(trials):
        config = space.sample(rng)
        known = cost(config)
        log.append(
            {"event": "ask", "trial": number, "config": config, "source": "random", "seed": seed, "costs": known}
        )
        told = {"event": "tell", "trial": number, "state": "COMPLETE", "metrics": {"error": error(config), **known}}
        log.append({**told, "info": {}, "reason": None, "feasible": True})
    return log


def scale() -> Normalizer:
    """The scale of hypervolume."""
    return Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9)


def ours(space: Space, trials: int, rounds: int, seed: int = 0) -> dict[str, float]:
    """Milliseconds to ask and to tell, median; those of the first ask, which learns everything; share screened."""
    engine = Engine(
        space,
        OBJECTIVES,
        quality="error",
        costs=cost,
        normalizer=scale(),
        seed=seed,
        budget=Budget(trials=trials + rounds + 10),
        identity=digest,
        prune=False,
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
        "learning_ms_a_trial": max(asks[0] * 1e3 - usual, 0.0) / max(trials // 8, 1),
        "screened": sum(r["source"] == "screened" for r in late) / len(late),
    }


def optuna_alone(space: Space, trials: int, rounds: int, seed: int = 0) -> float:
    """Milliseconds to ask and tell with bare Optuna's TPE, median."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    from autoreg.search.tpe import distribution

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
            return trial.suggest_float(path, kind.low, kind.high, log=kind.log)

        config = space.build(choose)
        study.tell(trial, [error(config), cost(config)["flops"]])
        spent.append(time.perf_counter() - began)
    return statistics.median(spent) * 1e3


def candidates_a_second(costs: int, members: int, count: int, seed: int = 0) -> float:
    """Candidates whose logarithmic expected hypervolume improvement is known after a second."""
    rng = np.random.default_rng(seed)
    front = rng.random((members, 1 + costs))
    front[:, 1:] /= front[:, 1:].sum(axis=1, keepdims=True)
    front[:, 0] = rng.random(members) * 0.2 + 0.3
    region = Region.of(front, [1.0] + [1.1] * costs)
    places, mean, spread = rng.random((count, costs)), rng.random(count), np.full(count, 0.1)
    began = time.perf_counter()
    region.log_gain(places, mean, spread)
    return count / (time.perf_counter() - began)


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--no-optuna", action="store_true")
    given = parser.parse_args()
    space = Space.from_dict(SPACE)
    for costs, members in ((1, 30), (2, 30), (3, 30)):
        pace = candidates_a_second(costs, members, 100_000)
        print(f"{costs} known costs, {members} points: {pace:,.0f} candidates a second")
    for trials in given.trials:
        found = ours(space, trials, given.rounds)
        text = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        print(f"{trials:,} trials: {text}")
        if not given.no_optuna:
            print(f"{trials:,} trials: bare Optuna TPE {optuna_alone(space, trials, given.rounds):.1f} ms")


if __name__ == "__main__":
    main()
