"""A study whose cost is the size of the file: searched, shown, and exported."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from autoreg.report.data.load import StudyData
from autoreg.report.text.front import format_front
from autoreg.space import StudySpec
from autoreg.study.check import check_file
from autoreg.study.export import export_trials
from autoreg.study.options import RunOptions
from autoreg.study.task_study import TaskStudy

STUDY = """\
name: sizes
task: {tabular: {data: wine, blocks: 1}}
space:
  regularizer: [none, {l1: {strength: {log: [0.1, 10]}}}]
  sparsity: [none, {weight: {amount: {uniform: [0.3, 0.9]}}}]
  quantization: {weights: {bits: [4, 8]}}
  training: {lr: {log: [1e-2, 1e-1]}, epochs: 1, finetune_epochs: 0}
objectives: {error: min, file_bytes: min}
constraints: ["file_bytes <= 0.5 * dense.file_bytes"]
budget: {trials: 7}
"""


def test_it_is_searched_shown_checked_and_exported(tmp_path: Path, store: Path) -> None:
    study = TaskStudy(StudySpec.parse(STUDY), RunOptions(tmp_path / "out", store=store))
    engine = study.run().engine
    asked = [r for r in engine.trials() if r.state == "COMPLETE"]
    assert len(asked) == 7
    for record in asked:
        low, middle, high = record.intervals["file_bytes"]
        assert record.costs["file_bytes"] == low < middle < high
        assert abs(record.metrics["file_bytes"] / middle - 1) < 0.15
    assert {r.feasible for r in asked if r.metrics["file_bytes"] < 0.5 * study.dense["file_bytes"]} == {True}
    config = json.loads((tmp_path / "out" / "study.json").read_text())
    validation, test = (study.objective.setup.loaders("all")[name] for name in ("validation", "test"))
    assert config["samples"] == {"folds": 1, "validation": len(validation.rows), "test": len(test.rows)}
    assert config["file_format"] == {"format": "safetensors", "compress": True}
    data = StudyData.load(tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO(format_front(data, "csv"))))
    best = int(rows[-1]["trial"])
    assert float(rows[-1]["file_bytes"]) == engine.trials()[best].metrics["file_bytes"]
    assert "file bytes" in format_front(data, "table", width=120)
    (tmp_path / "sizes.yaml").write_text(STUDY)
    checked = check_file(str(tmp_path / "sizes.yaml"), store=store)
    expected = checked["costs"]["file_bytes"]
    assert expected["dense"] == pytest.approx(study.dense["file_bytes"], rel=0.02)
    for record in asked:
        if record.config in study.space:
            assert expected["low"] * 0.85 < record.metrics["file_bytes"] < expected["high"] * 1.15
    assert 0 < expected["low"] < expected["median"] < expected["high"] < expected["dense"]
    assert checked["constraints"][0]["share"] > 0.3
    exported = export_trials(tmp_path / "out", [best], None)[f"trial {best}"]
    assert exported.artifact.format == "safetensors"
    assert exported.artifact.path.stat().st_size == engine.trials()[best].metrics["file_bytes"]
