"""Studies with known answers, shared by the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from autoreg.engine import Ask, Engine, Problem, Result, SharedWork, Strategy
from autoreg.engine.samplers.base import Sampler
from autoreg.engine.samplers.history import Observation
from autoreg.space import Space, digest
from autoreg.trial_info import TrialInfo

OBJECTIVES = {"error": "min", "flops": "min"}
DENSE = {"flops": 3200.0, "error": 0.05}


def toy_space(constraints: tuple[str, ...] = ()) -> Space:
    """A conditional space: amount removed, bits, a regularizer that has a strength or none, a learning rate."""
    return Space.from_dict(
        {
            "amount": {"uniform": [0.0, 0.95]},
            "bits": [2, 4, 8, 32],
            "regularizer": ["none", {"l1": {"strength": {"log": [1e-6, 1e-1]}}}],
            "rate": {"log": [1e-4, 1.0]},
            "width": {"int": [1, 4]},
            **({"constraints": list(constraints)} if constraints else {}),
        }
    )


def small_space() -> Space:
    """Six recipes."""
    return Space.from_dict({"bits": [2, 4, 8], "kind": ["a", "b"]})


def toy_costs(config: dict[str, Any]) -> dict[str, float]:
    """Operations, exactly known."""
    return {"flops": 25.0 * config["bits"] * config["width"] * (1 - config["amount"])}


def toy_error(config: dict[str, Any]) -> float:
    """Error: grows with what is removed, and depends on rate and regularizer at equal cost."""
    rate = (np.log10(config["rate"]) + 2.0) ** 2 / 8
    l1 = config["regularizer"]
    strength = 0.1 if l1 == "none" else (np.log10(l1["l1"]["strength"]) + 3.0) ** 2 / 40
    small = 0.3 * config["amount"] ** 4 + 0.4 / config["bits"] + 0.05 / config["width"]
    return float(min(0.02 + rate + strength + small, 0.9))


def toy_curve(config: dict[str, Any], steps: int = 9) -> list[float]:
    """Error after each of the steps; the last is the final error."""
    final = toy_error(config)
    return [final + (0.9 - final) * 0.5**k * (k < steps - 1) for k in range(1, steps)] + [final]


def flat_settings(space: Space, objectives: Mapping[str, str], **settings: Any) -> dict[str, Any]:
    """Arguments of an engine from flat settings: each goes to the part that has a field of its name."""

    def take(kind: type[Problem] | type[Strategy] | type[SharedWork]) -> dict[str, Any]:
        return {f.name: settings.pop(f.name) for f in fields(kind) if f.name in settings}

    problem = Problem(space, objectives, settings.pop("quality", "error"), **take(Problem))
    parts = {"strategy": Strategy(**take(Strategy)), "shared_work": SharedWork(**take(SharedWork))}
    return {"problem": problem, **parts, **settings}


def build_engine(space: Space, objectives: Mapping[str, str], **settings: Any) -> Engine:
    """An engine from flat settings."""
    return Engine(**flat_settings(space, objectives, **settings))


def next_ask(engine: Engine) -> Ask:
    """What an engine asks, where it must."""
    ask = engine.ask()
    assert ask is not None
    return ask


def number(value: float | int | str) -> float:
    """The value of a parameter that is a number."""
    assert not isinstance(value, str)
    return float(value)


def proposed(sampler: Sampler, seen: Sequence[Observation], seed: Sequence[int]) -> dict[str, Any]:
    """What a sampler proposes, where it must."""
    config = sampler.propose(seen, seed)
    assert config is not None
    return config


def run(
    engine: Engine,
    limit: int = 10_000,
    *,
    curve: bool = False,
    uncompressed: Callable[[dict[str, Any]], float] | None = None,
) -> list[dict[str, Any]]:
    """Drive an engine with one worker until it asks no more; return the configs in order.

    Trials tell the quality of their uncompressed network, as `uncompressed` says it of their config, too.
    """
    configs = []
    for _ in range(limit):
        ask = engine.ask()
        if ask is None:
            break
        configs.append(ask.config)
        result = evaluate(engine, ask.number, ask.config, curve)
        if uncompressed is not None:
            result.info.uncompressed_quality = uncompressed(ask.config)
        engine.tell(ask.number, result)
    return configs


def evaluate(engine: Engine, number: int, config: dict[str, Any], curve: bool) -> Result:
    """Run one toy trial to its end."""
    if curve:
        for step, error in enumerate(toy_curve(config), start=1):
            if engine.report(number, step, {"error": error}) == "stop":
                return Result("PRUNED", {"error": error}, TrialInfo(epochs_run=step), "stopped")
    return Result("COMPLETE", {"error": toy_error(config)}, TrialInfo(epochs_run=9))


def keys(configs: list[dict[str, Any]]) -> list[str]:
    """Digests, to compare recipes by."""
    return [digest(c) for c in configs]
