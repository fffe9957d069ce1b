"""Files of a front and of its baselines by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import autoreg
from autoreg.report.data.front import front_rows
from autoreg.report.data.load import StudyData
from autoreg.space import StudySpec
from autoreg.study.options import RunOptions
from autoreg.study.task_study import TaskStudy
from tests.commands.in_process import call

STUDY = """\
name: tiny
task: {tabular: {data: wine, blocks: 1}}
space: {training: {lr: {log: [1e-2, 1e-1]}, epochs: 1, finetune_epochs: 0}, sparsity: [none, weight]}
objectives: {error: min, bytes: min}
budget: {trials: 3}
baselines: none
"""


@pytest.fixture
def folder(tmp_path: Path, store: Path) -> Path:
    """A study whose final evaluation, written by hand, has trial 2 and int8 on the front; trial 1 and dense left it."""
    study = TaskStudy(StudySpec.parse(STUDY), RunOptions(tmp_path / "out", store=store))
    trials = study.run().trials
    assert trials["state"].eq("COMPLETE").all()

    def measured(error: float, size: float, on_front: bool) -> dict[str, Any]:
        metrics = {"error": error, "bytes": size}
        return {"validation": {"mean": metrics, "std": {}, "values": [metrics]}, "on_final_front": on_front}

    sizes = {"dense": (0.5, 9e3, False), "int8": (0.1, 8e3, True)}
    baselines = [
        {"name": name, "config": study.baselines()[name], "metrics": {"error": values[0], "bytes": values[1]}}
        | measured(*values)
        for name, values in sizes.items()
    ]
    members = [{"trial": 1, **measured(0.4, 9e3, False)}, {"trial": 2, **measured(0.2, 7e3, True)}]
    final = {"members": members, "baselines": baselines, "test_uses": [{"trials": 3}], "seeds": [1]}
    (tmp_path / "out" / "final.json").write_text(json.dumps(final))
    return tmp_path / "out"


def test_the_whole_front_and_baselines_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A baseline on the front is among its files, what left the front is not, and is written when it is named."""
    assert {row.name for row in front_rows(StudyData.load(folder))} == {"int8", "trial 2"}
    out = folder.parent / "files"
    assert call("export", folder, "--all-front", "--format", "safetensors", "--out", out) == 0
    names = {file.name for file in out.glob("*.safetensors")}
    assert names == {"int8.safetensors", "trial-2.safetensors"}
    described = json.loads((out / "int8.safetensors.json").read_text())
    assert described["fault"] is None
    assert described["recipe"]["quantization"]["weights"]["bits"] == 8
    assert described["metrics"]["error"] == pytest.approx(described["recorded"]["error"], abs=0.05)

    assert call("export", folder, "--baseline", "dense", "--baseline", "int8", "--trial", "0", "--format", "onnx") == 0
    assert {file.stem for file in (folder / "exports").glob("*.onnx")} == {"dense", "int8", "trial-0"}
    layers = [str(layer) for layer in autoreg.Study.open(folder).load("int8").modules()]
    assert "quant" in " ".join(layers).lower()
    capsys.readouterr()
    for wrong, expected in (
        (("--baseline", "int4"), "no baseline 'int4'; the final evaluation has dense, int8"),
        (("--all-front", "--baseline", "int8"), "or take the whole front with --all-front"),
        ((), "name trials with --trial N and baselines with --baseline NAME"),
        (("--trial", "3"), "has no trial 3"),
    ):
        assert call("export", folder, *wrong) != 0
        assert expected in " ".join(capsys.readouterr().err.split())
