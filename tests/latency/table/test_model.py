"""The latency of whole recipes: features, the fit of the correction, and the model that studies load."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.latency.artifact_latency import LatencyCache
from autoreg.latency.calibration import FEATURES, Correction, error_quantiles, features, fit
from autoreg.latency.table.grid import LayerTime
from autoreg.latency.table.layer_key import LAYER_KINDS, LayerKey, applied_layers
from autoreg.latency.table.model import HeldOutErrors, LatencyModel, correction_file, network_digest, save_correction
from autoreg.latency.table.table import LatencyTable
from autoreg.latency.timing import device_fingerprint
from autoreg.network.layer_geometries import layer_geometries
from autoreg.network.profile import profile
from tests.network.nets import ResNet, zoo

TRUE = {"fp32_ms": 0.85, "int8_ms": 1.1, "int8_layers": 0.004, "rounded_elements": 0.3, "constant": 0.02}


def rows(number: int, seed: int) -> list[dict[str, float]]:
    """Features of networks that are all in floating point, or all in integers, or rounded."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(number):
        row = dict.fromkeys(FEATURES, 0.0) | {"constant": 1.0}
        layers, ms = float(rng.integers(4, 12)), float(rng.uniform(0.2, 2.0))
        kind = ("fp32", "int8", "fp32")[index % 3]
        row |= {f"{kind}_ms": ms, f"{kind}_layers": layers, f"{kind}_elements": float(rng.uniform(0.1, 1.0))}
        if index % 3:
            row["quantized_elements" if kind == "int8" else "rounded_elements"] = float(rng.uniform(0.1, 1.0))
        found.append(row)
    return found


def time_of(row: dict[str, float]) -> float:
    return sum(weight * row[name] for name, weight in TRUE.items())


def test_the_fit_recovers_what_times_are_made_of() -> None:
    """From times without noise: the weights, and errors of nearly nothing on other networks."""
    known = rows(90, 0)
    found = fit(known, [time_of(row) for row in known])
    for name in FEATURES:
        assert found.weights[name] == pytest.approx(TRUE.get(name, 0.0), abs=0.02 if name != "int4_ms" else 1.0)
    assert found.p90_error < 0.01
    for row in rows(30, 1):
        predicted = found.predict(row)
        assert predicted.ms == pytest.approx(time_of(row), rel=0.02)
        assert predicted.low <= predicted.ms <= predicted.high
    assert Correction.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_errors_of_the_fit_are_those_of_the_noise() -> None:
    """With 5 % noise: the errors of left-out networks, and an interval that holds nine of ten."""
    rng = np.random.default_rng(2)
    known, other = rows(150, 3), rows(300, 4)
    found = fit(known, [time_of(row) * rng.lognormal(0, 0.05) for row in known])
    assert 0.02 < found.median_error < 0.06
    measured = [time_of(row) * rng.lognormal(0, 0.05) for row in other]
    inside = [p.low <= m <= p.high for p, m in zip(map(found.predict, other), measured, strict=True)]
    assert 0.8 < sum(inside) / len(inside) < 0.98
    median, ninth = error_quantiles([found.predict(row).ms for row in other], measured)
    assert median == pytest.approx(found.median_error, abs=0.02)
    assert ninth == pytest.approx(found.p90_error, abs=0.05)


def test_layer_times_that_the_sample_lacks_count_as_measured() -> None:
    """A kind that no network of the fit had keeps weight one."""
    found = fit(rows(60, 5), [time_of(row) for row in rows(60, 5)])
    assert found.weights["int4_ms"] == pytest.approx(1.0)


def table_for(model: Any, example: Any, ms: float = 0.5) -> tuple[LatencyTable, Any]:
    """A table that knows every layer of a network at any size: `ms` for each call."""
    found = layer_geometries(model, example)
    table = LatencyTable(device_fingerprint())
    for kind in LAYER_KINDS:
        for one in found.values():
            table.add(LayerKey(kind, one, 8, 8), LayerTime(ms, ms, ms))
            for channels in (1, 256):
                for other in (1, 256):
                    if not one.depthwise:
                        table.add(LayerKey(kind, one, channels, other), LayerTime(ms, ms, ms))
    return table, found


def test_features_known_answer() -> None:
    """A residual network of 11 layers at batch 2, by hand."""
    model, example = ResNet(2, (4, 6), 3, 1), torch.randn(2, 1, 8, 8)
    table, found = table_for(model, example)
    known = profile(model, example)
    names = [layer.name for layer in known.layers]
    dense = features(table, found, predict(known), Levels(), 2)
    layers = 1 + 4 + 4 + 1 + 1
    written = 5 * 4 * 64 + 5 * 6 * 16  # stem and first stage; second stage with its shortcut
    assert len(names) == layers
    assert dense["fp32_ms"] == pytest.approx(0.5 * layers)
    assert dense["fp32_layers"] == layers
    assert dense["fp32_elements"] == pytest.approx(2 * (written + 3) / 1e6)
    assert dense["constant"] == 1.0
    assert all(dense[name] == 0 for name in FEATURES if name.startswith(("int", "quant", "round", "func")))
    levels = Levels(
        dropped=("blocks.1",), weight_bits=dict.fromkeys(names[:1], 8), activation_bits=dict.fromkeys(names, 8)
    )
    some = features(table, found, predict(known, levels), levels, 2)
    assert (some["int8_layers"], some["fp32_layers"]) == (1, layers - 3)
    assert some["quantized_elements"] == pytest.approx(2 * 64 / 1e6)
    read = 2 * 4 * 64 + 2 * 4 * 64 + 3 * 6 * 16 + 6  # blocks.0; blocks.2's conv1 and shortcut; three more; the head
    assert some["rounded_elements"] == pytest.approx(2 * read / 1e6)
    assert some["int8_elements"] == pytest.approx(2 * 4 * 64 / 1e6)


def test_attention_s_products_are_a_feature() -> None:
    """Multiply-accumulates without a layer, of the whole batch."""
    model, example = zoo()["transformer"]
    table, found = table_for(model, example)
    row = features(table, found, predict(profile(model, example)), Levels(), 2)
    assert row["functional_macs"] == pytest.approx(2 * 2 * 2 * 6 * 6 * 8 / 1e6)  # batch, blocks, products


def ready(folder: Path, model: Any, example: Any) -> Any:
    task = SimpleNamespace(latency_input=lambda: example)
    known = profile(model, example)
    return SimpleNamespace(latency=LatencyCache(folder), task=task, profile=known, skeleton=lambda: model)


def test_a_model_is_loaded_where_table_and_correction_are(tmp_path: Path) -> None:
    """And nowhere else: without either, for another network, or when the file is torn."""
    model, example = zoo()["residual"]
    setup = ready(tmp_path, model, example)
    assert LatencyModel.load(setup) is None
    memory, found = table_for(model, example)
    table = LatencyTable.open(tmp_path, device_fingerprint())
    for key, entry in memory.entries.items():
        table.add(key, entry)
    assert LatencyModel.load(setup) is None
    weights = dict.fromkeys(FEATURES, 0.0) | {"fp32_ms": 2.0, "constant": 0.25}
    correction, check = Correction(weights, -0.1, 0.25, 0.05, 0.1, 9), HeldOutErrors((1.0, 2.0), (1.0, 2.5), 0.1, 0.18)
    path = save_correction(tmp_path, device_fingerprint(), network_digest(setup), correction, check, {"task": "x"})
    loaded = LatencyModel.load(setup)
    assert loaded is not None
    assert (loaded.correction, loaded.check, loaded.batch) == (correction, check, 2)
    predicted = loaded.predict(Levels())
    layers = len(applied_layers(found, predict(setup.profile), Levels()))
    assert predicted.ms == pytest.approx(2 * 0.5 * layers + 0.25)
    assert (predicted.low, predicted.high) == pytest.approx((predicted.ms / 1.25, predicted.ms / 0.9))
    assert predicted == correction.predict(features(table, found, predict(setup.profile), Levels(), batch=2))
    assert loaded.summary() == {"error_median": 0.1, "error_p90": 0.18, "recipes": 2, "entries": len(table)}
    assert LatencyModel.load(ready(tmp_path, *zoo()["plain"])) is None
    assert LatencyModel.load(setup, threads=2) is None
    whole = json.loads(path.read_text())
    whole["correction"]["weights"] = ["fp32_ms"]
    for damaged in (path.read_text()[:-30], "[" * 100_000 + "]" * 100_000, json.dumps(whole), "[]"):
        path.write_text(damaged)
        assert LatencyModel.load(setup) is None
    assert path == correction_file(tmp_path, device_fingerprint(), network_digest(setup))
