"""Study folders as a search writes them, made by a seeded generator: no model is trained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LAYERS = (
    ("stem.conv", "Conv2d", (16, 1, 3, 3), 64),
    ("block1.conv1", "Conv2d", (16, 16, 3, 3), 64),
    ("block1.conv2", "Conv2d", (16, 16, 3, 3), 64),
    ("block2.conv1", "Conv2d", (32, 16, 3, 3), 16),
    ("block2.conv2", "Conv2d", (32, 32, 3, 3), 16),
    ("block2.shortcut", "Conv2d", (32, 16, 1, 1), 16),
    ("block3.conv1", "Conv2d", (32, 32, 3, 3), 16),
    ("block3.conv2", "Conv2d", (32, 32, 3, 3), 16),
    ("head.fc", "Linear", (10, 32), 1),
)
BLOCKS = ("block1", "block3")
DENSE: dict[str, Any] = {
    "regularizer": "none",
    "noise": "none",
    "reparam": "none",
    "sparsity": "none",
    "quantization": {
        "quantizer": {"rtn": {}},
        "weights": {"bits": 32, "granularity": "channel", "symmetric": True},
        "activations": {"bits": 32, "symmetric": False},
    },
    "layers": {"train": {"all": {}}, "drop": "none"},
    "training": {
        "start": "scratch",
        "lr": 0.05,
        "weight_decay": 1e-4,
        "epochs": 10,
        "finetune_epochs": 4,
        "qat_epochs": 2,
        "optimizer": "sgd",
    },
}


def random_recipe(rng: np.random.Generator) -> dict[str, Any]:
    """A canonical recipe, drawn."""
    recipe: dict[str, Any] = json.loads(json.dumps(DENSE))
    regularizer = str(rng.choice(["none", "l1", "group_lasso", "sam"]))
    strength = float(f"{10 ** rng.uniform(-5, -2):.3g}")
    params: dict[str, Any] = (
        {"rho": round(rng.uniform(0.01, 0.2), 3)} if regularizer == "sam" else {"strength": strength}
    )
    if regularizer != "none":
        recipe["regularizer"] = {regularizer: params | ({"group": "filter"} if regularizer == "group_lasso" else {})}
    structure = str(rng.choice(["none", "weight", "channel", "2:4"]))
    criterion: dict[str, Any] = {str(rng.choice(["magnitude", "wanda", "taylor"])): {}}
    if structure == "2:4":
        recipe["sparsity"] = {"2:4": {"criterion": criterion, "schedule": {"one_shot": {}}}}
    elif structure != "none":
        recipe["sparsity"] = {
            structure: {
                "criterion": criterion,
                "allocation": {str(rng.choice(["uniform", "erk", "lamp"])): {}},
                "amount": round(float(rng.uniform(0.3, 0.9 if structure == "weight" else 0.7)), 3),
                "schedule": {str(rng.choice(["one_shot", "gradual"])): {}},
            }
        }
    recipe["quantization"]["weights"]["bits"] = int(rng.choice([2, 4, 8, 32]))
    recipe["quantization"]["activations"]["bits"] = int(rng.choice([8, 32]))
    if rng.random() < 0.3:
        recipe["layers"]["drop"] = {"last": {"count": int(rng.integers(1, 3))}}
    recipe["training"]["lr"] = float(f"{10 ** rng.uniform(-3, -1):.3g}")
    recipe["training"]["weight_decay"] = float(f"{10 ** rng.uniform(-6, -2):.3g}")
    return recipe


def layers_of(recipe: dict[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
    """The per-layer record that a task trial keeps in its info."""
    name, params = next(iter(recipe["sparsity"].items())) if recipe["sparsity"] != "none" else ("none", {})
    drop = recipe["layers"]["drop"]
    dropped = BLOCKS[::-1][: drop["last"]["count"]] if drop != "none" else ()
    rows: list[dict[str, Any]] = []
    cut = 1 - params.get("amount", 0.0) if name == "channel" else 1.0
    for i, (layer, kind, shape, positions) in enumerate(LAYERS):
        out = shape[0] if layer == "head.fc" else max(2, round(shape[0] * cut))
        inp = shape[1] if i == 0 else max(2, round(shape[1] * cut))
        density = 0.5 if name == "2:4" and i else 1.0
        if name == "weight" and layer != "head.fc":
            density = float(np.clip(1 - params["amount"] + rng.uniform(-0.1, 0.1), 0.02, 1))
        new = (out, inp, *shape[2:])
        rows.append(
            {
                "name": layer,
                "type": kind,
                "macs": math.prod(new) * positions,
                "density": round(density, 4),
                "weight_bits": recipe["quantization"]["weights"]["bits"],
                "activation_bits": recipe["quantization"]["activations"]["bits"],
                "shape": list(new),
                "trained": True,
                "dropped": layer.split(".")[0] in dropped,
            }
        )
    return rows


def costs_of(layers: list[dict[str, Any]]) -> dict[str, float]:
    """Costs that follow from the layers, roughly as the project defines them."""
    live = [layer for layer in layers if not layer["dropped"]]
    flops = float(sum(2 * layer["macs"] for layer in live))
    return {
        "flops": flops,
        "effective_flops": float(sum(2 * layer["macs"] * layer["density"] for layer in live)),
        "bops": float(sum(x["macs"] * x["density"] * x["weight_bits"] * x["activation_bits"] for x in live)),
        "weights": float(sum(math.prod(x["shape"]) * x["density"] for x in live)),
        "bytes": float(math.ceil(sum(math.prod(x["shape"]) * x["density"] * x["weight_bits"] / 8 for x in live))),
        "latency_ms": round(0.02 + sum(1.2e-7 * x["macs"] * (1.0 if x["shape"][0] % 8 == 0 else 1.3) for x in live), 5),
    }


def quality_of(recipe: dict[str, Any], costs: dict[str, float], rng: np.random.Generator) -> float:
    """A plausible validation error: worse for less work, fewer bits and a bad learning rate, plus noise."""
    error = 0.012 + 0.02 * (1e6 / costs["effective_flops"]) ** 0.5
    error += {2: 0.12, 4: 0.012, 8: 0.001, 32: 0.0}[recipe["quantization"]["weights"]["bits"]]
    error += 0.01 * math.log10(recipe["training"]["lr"] / 0.03) ** 2
    error -= 0.006 if recipe["regularizer"] != "none" else 0.0
    return round(float(np.clip(error + rng.normal(0, 0.004), 0.004, 0.9)), 5)


def study_json(**changes: Any) -> dict[str, Any]:
    """The content of study.json."""
    layers = layers_of(DENSE, np.random.default_rng(0))
    return {
        "name": "digits",
        "task": {"name": "digits", "params": {"train_images": 400}, "fingerprint": "00ff"},
        "task_note": "Accuracy is nearly saturated here: size and time are the point.",
        "space": {"name": "cnn-joint", "regularizer": ["none", "l1", "group_lasso", "sam"]},
        "space_digest": "0123456789abcdef",
        "objectives": {"error": "min", "flops": "min", "latency_ms": "min"},
        "constraints": [],
        "budget": {"trials": 30, "minutes": None, "epochs": None},
        "seed": 0,
        "sampler": "auto",
        "quality": "error",
        "versions": {"autoreg": "0.1.0", "torch": "2.13.0", "optuna": "5.0.0"},
        "machine": {"system": "Linux", "machine": "x86_64"},
        "dense": costs_of(layers) | {"error": 0.021},
        "chance": 0.9,
    } | changes


# long: one event after the other, as a log has them
def make_events(trials: int, seed: int = 0, failures: bool = True) -> list[dict[str, Any]]:
    """A log: the baselines first, then proposals of which some are stopped and some fail."""
    rng = np.random.default_rng(seed)
    events: list[dict[str, Any]] = [{"event": "start", "version": 1, "normalizer": None, "reference": {}}]
    for number in range(trials):
        recipe = json.loads(json.dumps(DENSE)) if number == 0 else random_recipe(rng)
        source = {0: "dense", 1: "uniform weights 80 %", 2: "uniform channels 50 %"}.get(number) or str(
            rng.choice(["tpe", "tpe", "random", "screened"])
        )
        layers = layers_of(recipe, rng)
        costs = costs_of(layers)
        error = quality_of(recipe, costs, rng)
        known = {k: v for k, v in costs.items() if k != "latency_ms"} if number % 7 == 3 else costs
        predicted = None
        if number >= 10:
            guess = error + rng.normal(0, 0.008)
            predicted = {
                "error": guess,
                "low": guess - 0.012,
                "high": guess + 0.012,
                "trials": 10,
                "trusted": number >= 20,
            }
        events.append(
            {
                "event": "ask",
                "trial": number,
                "config": recipe,
                "source": source,
                "seed": 1000 + number,
                "costs": known,
                "predicted": predicted,
            }
        )
        state = "FAIL" if failures and number % 9 == 5 else "PRUNED" if failures and number % 5 == 4 else "COMPLETE"
        steps = 2 if state != "COMPLETE" else 4
        for step in range(1, steps + 1):
            now = error + 0.2 * math.exp(-step)
            decision = "stop" if state == "PRUNED" and step == steps else "continue"
            events.append(
                {"event": "report", "trial": number, "step": step, "metrics": {"error": now}, "decision": decision}
            )
        epochs = 16.0
        info = {
            "info_version": 1,
            "epochs_requested": epochs,
            "epochs_run": 0.0 if number % 6 == 3 else epochs * steps / 4,
            "seconds": round(0.5 + steps * 0.2, 3),
            "phase_seconds": {"train": steps * 0.1, "sparsify": steps * 0.05, "quantize": steps * 0.05, "measure": 0.5},
            "latency": {
                "ms": costs["latency_ms"],
                "low": costs["latency_ms"] * 0.98,
                "high": costs["latency_ms"] * 1.03,
            }
            | {"runs": 100, "batch": 1, "threads": 1, "device": "cpu", "runtime": "onnxruntime", "noisy": False},
            "layers": layers,
            "train_losses": [],
            "notes": [],
        }
        tell: dict[str, Any] = {
            "event": "tell",
            "trial": number,
            "state": state,
            "metrics": {},
            "info": info,
            "reason": None,
        }
        if state == "FAIL":
            tell["reason"] = ("loss is not finite in epoch 2", "RuntimeError: out of memory")[number % 2]
            tell["info"] = {"info_version": 1, "seconds": 0.4}
        elif state == "PRUNED":
            tell["metrics"] = {"error": error + 0.08}
        else:
            tell["metrics"] = costs | {"error": error}
        events.append(tell)
    return events


def final_json(events: list[dict[str, Any]], numbers: list[int], seed: int = 0) -> dict[str, Any]:
    """What is written once after the search, for the given members."""
    rng = np.random.default_rng(seed)
    asks = {e["trial"]: e for e in events if e["event"] == "ask"}
    tells = {e["trial"]: e for e in events if e["event"] == "tell"}
    members = []
    for rank, number in enumerate(numbers):
        error = tells[number]["metrics"]["error"]
        values = [{"error": round(error + 0.004 + float(rng.normal(0, 0.004)), 5)} for _ in range(3)]
        found = np.array([v["error"] for v in values])
        test = round(error + 0.006, 5)
        stays, sets = rank != 2, (("speaker_a", -0.01), ("speaker_b", 0.01))
        members.append(
            {
                "trial": number,
                "config": asks[number]["config"],
                "validation": {
                    "mean": {"error": float(found.mean())},
                    "std": {"error": float(found.std(ddof=1))},
                    "values": values,
                },
                "on_final_front": stays,
                "test": {"mean": {"error": test}, "std": {"error": 0.003}} if stays else None,
                "test_sets": {name: {"mean": {"error": test + d}, "std": {"error": 0.003}} for name, d in sets}
                if stays
                else {},
                "hv_contribution": round(0.02 / (rank + 1), 5),
                "replicated": rank < 12,
                "front_probability": round(float(rng.uniform(0.3, 1.0)), 2),
            }
        )
    layers = layers_of(DENSE, rng)
    small = json.loads(json.dumps(DENSE))
    small["quantization"]["weights"]["bits"] = small["quantization"]["activations"]["bits"] = 8
    int8 = costs_of(layers_of(small, rng))
    return {
        "members": members,
        "baselines": [
            {
                "name": "dense",
                "config": DENSE,
                "metrics": costs_of(layers) | {"error": 0.021},
                "test": {"mean": {"error": 0.027}, "std": {"error": 0.002}},
            },
            {
                "name": "int8",
                "config": small,
                "metrics": int8 | {"error": 0.022},
                "test": {"mean": {"error": 0.028}, "std": {"error": 0.002}},
            },
        ],
        "random": {"trials": len(tells), "epochs_run": 16.0 * len(tells), "hypervolume": None, "history": []},
        "seeds": [1, 2, 3],
        "test_uses": [{"time": "2025-11-21T10:00:00", "trials": len(asks)}],
    }


def write_study(
    folder: Path, events: list[dict[str, Any]], study: dict[str, Any], final: dict[str, Any] | None = None
) -> Path:
    """Put the files of a study into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study))
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    if final is not None:
        (folder / "final.json").write_text(json.dumps(final))
        arm = make_events(sum(e["event"] == "ask" for e in events), seed=99, failures=False)
        (folder / "random.jsonl").write_text("".join(json.dumps(e) + "\n" for e in arm))
    return folder


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Write a study of a task: `make_study(trials=30, final=True, **changes of study.json)`."""

    def make(trials: int = 30, final: bool = False, seed: int = 0, **changes: Any) -> Path:
        from autoreg.report.data.load import StudyData

        events = make_events(trials, seed)
        folder = write_study(tmp_path / "study", events, study_json(**changes))
        if final:
            numbers = [int(n) for n in StudyData.load(folder).front["number"]]
            write_study(folder, events, study_json(**changes), final_json(events, numbers))
        return folder

    return make


@pytest.fixture
def python_study(tmp_path: Path) -> Path:
    """A study of a Python objective: no task, no layers, no costs with known names, one of them maximized."""
    rng = np.random.default_rng(3)
    events: list[dict[str, Any]] = []
    for number in range(24):
        config: dict[str, Any] = {
            "x": float(rng.uniform(0, 1)),
            "kind": str(rng.choice(["a", "b"])),
            "depth": int(rng.integers(1, 6)),
        }
        metrics = {"score": 1 - (config["x"] - 0.3) ** 2, "price": config["depth"] * (1 + config["x"])}
        events.append(
            {
                "event": "ask",
                "trial": number,
                "config": config,
                "source": "tpe",
                "seed": number,
                "costs": {},
                "predicted": None,
            }
        )
        events.append(
            {"event": "tell", "trial": number, "state": "COMPLETE", "metrics": metrics, "info": {}, "reason": None}
        )
    study = {"name": "mine", "objectives": {"score": "max", "price": "min"}, "budget": {"trials": 24}, "seed": 0}
    return write_study(tmp_path / "mine", events, study)
