"""Models of trials as files: compared with the trial's log, kept only when they pass, and described in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from autoreg.artifacts.export import EXPORT_FORMATS
from autoreg.artifacts.onnx.graph import ExportError
from autoreg.artifacts.verify import Agreement, MismatchError
from autoreg.commands import main
from autoreg.commands.options import EXIT_INPUT
from autoreg.engine.log.records import Record
from autoreg.engine.log.trial import Trial
from autoreg.report.data.exported_model import ExportedModel
from autoreg.report.data.final_results import Baseline, Member
from autoreg.study import export as exporting
from autoreg.study.export import export_recipe, logged_quality
from autoreg.study.final_evaluation import export_front
from autoreg.tasks import Task
from autoreg.tasks.splits import split_loaders
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from autoreg.trial_info import TrialInfo

EIGHT_BITS = {"quantizer": {"rtn": {}}, "weights": {"bits": 8}, "activations": {"bits": 8}}


class Rows(Task):
    """Which of four numbers is largest."""

    training: ClassVar[dict[str, Any]] = {"epochs": 1, "finetune_epochs": 0, "qat_epochs": 0, "lr": 0.1}
    latency_batch = 4

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))

    def loaders(self, fold: str) -> dict[str, Any]:
        x = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
        return dict(split_loaders(x.numpy(), x[:, :4].argmax(1).numpy(), batch_size=32))


class Singular(nn.Module):
    """Singular values, which ONNX does not know."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.linalg.svdvals(x.reshape(-1, 4, 4))
        return found


class Unknown(Rows):
    """A network that cannot be written as ONNX."""

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(16, 16), Singular(), nn.Linear(4, 4))


@pytest.fixture
def objective(tmp_path: Path) -> Iterator[TaskObjective]:
    """Of rows, on one thread."""
    threads = torch.get_num_threads()
    yield TaskObjective(TaskRef(Rows(), {}), TrialOptions(str(tmp_path / "store")), latency=False, rungs=False)
    torch.set_num_threads(threads)


def described(path: Path) -> dict[str, Any]:
    """The JSON file beside an export."""
    found: dict[str, Any] = json.loads(path.with_name(f"{path.name}.json").read_text())
    return found


def test_a_model_is_compared_with_the_log_of_its_trial(objective: TaskObjective, tmp_path: Path) -> None:
    """Also where the store is gone, so that it is trained again; another quality is another model."""
    config, path = objective.setup.complete({}), tmp_path / "out" / "trial-0.onnx"
    error = objective(config, Trial(seed=0))["error"]
    elsewhere = replace(objective.options, store=str(tmp_path / "empty"))
    again = TaskObjective(objective.ref, elsewhere, latency=False, rungs=False)
    found = export_recipe(again, config, 0, path, "onnx", timed=False, logged=error, copy_to=tmp_path / "exports")
    assert found.artifact.path == path
    assert found.metrics["error"] == error
    assert described(path)["fault"] is None
    copied = described(tmp_path / "exports" / path.name)
    assert (copied["file"], copied["folder"], copied["logged"]) == (path.name, str(path.parent), error)
    before = path.read_bytes()
    with pytest.raises(MismatchError, match="run again it scores"):
        export_recipe(again, config, 0, path, "onnx", timed=False, logged=error + 0.01, copy_to=tmp_path / "exports")
    assert path.read_bytes() == before
    for file in (path, tmp_path / "exports" / path.name):
        entry = described(file)
        assert entry["file"] is None
        assert "run again" in entry["fault"]
    assert described(path)["earlier_file"] == path.name


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_a_file_that_fails_does_not_take_its_place(
    objective: TaskObjective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Neither where it computes something else nor where the comparison itself breaks; no other file is left."""
    config, path = objective.setup.complete({}), tmp_path / "out" / f"trial-0{EXPORT_FORMATS[format]}"
    wrong = Agreement(samples=1, top1=0.5, max_difference=9.0, relative_rms=0.3, scale=1.0)

    def breaks(recorded: Tensor, found: Tensor) -> Agreement:
        raise RuntimeError("broken")

    for compare, kind in ((lambda recorded, found: wrong, MismatchError), (breaks, RuntimeError)):
        monkeypatch.setattr(exporting, "compare", compare)
        with pytest.raises(kind):
            export_recipe(objective, config, 0, path, format, timed=False)
        assert [file.name for file in path.parent.iterdir()] == [f"{path.name}.json"]
        assert described(path)["file"] is None
        assert kind.__name__ in described(path)["fault"]


def test_the_quality_of_the_first_fold_is_read_from_the_log() -> None:
    """With several folds the metrics are means."""
    task = Rows()
    one = Record(0, {}, "random", 0, {}, metrics={"error": 0.25})
    assert logged_quality(one, task) == 0.25
    task.folds = ("a", "b")
    assert logged_quality(one, task) is None
    assert logged_quality(replace(one, info=TrialInfo(fold_quality={"a": 0.2, "b": 0.3})), task) == 0.2


@pytest.mark.filterwarnings("ignore:costs. not everything can be counted")
def test_a_network_that_onnx_cannot_take_is_searched_without_latency(tmp_path: Path) -> None:
    """With a note; where latency is asked for, and where a file is, one line says why."""
    objective = TaskObjective(TaskRef(Unknown(), {}), TrialOptions(str(tmp_path / "store")), rungs=False)
    config, trial = objective.setup.complete({}), Trial(seed=0)
    metrics = objective(config, trial)
    assert "latency_ms" not in metrics
    assert [note.partition(":")[0] for note in trial.info.notes] == ["latency_ms is not known"]
    objective.latency_needed = True
    with pytest.raises(ExportError, match="svd"):
        objective(config, Trial(seed=0))
    path = tmp_path / "trial-0.onnx"
    with pytest.raises(ExportError, match=r"^[^\n]*svd[^\n]*$"):
        export_recipe(objective, config, 0, path, "onnx", timed=False)
    assert "svd" in described(path)["fault"]
    assert not path.exists()


@pytest.mark.filterwarnings("ignore:costs. not everything can be counted")
def test_files_of_a_front_that_cannot_be_written_cost_their_rows(tmp_path: Path) -> None:
    """A network that ONNX cannot take, and a folder that cannot be made: said in the row, the others go on."""
    rows: dict[str, list[ExportedModel]] = {}
    for name, task in (("known", Rows()), ("unknown", Unknown()), ("blocked", Rows())):
        objective = TaskObjective(TaskRef(task, {}), TrialOptions(str(tmp_path / "store")), latency=False, rungs=False)
        config = objective.setup.complete({})
        record = Record(0, config, "random", 0, {}, metrics=objective(config, Trial(seed=0)))
        if name == "blocked":
            (tmp_path / name).mkdir()
            (tmp_path / name / "exports").write_text("no folder")
        spec, options = SimpleNamespace(seed=0), SimpleNamespace(folder=tmp_path / name)
        study: Any = SimpleNamespace(objective=objective, spec=spec, options=options, dense_recipe=config)
        members = [Member(0, config, on_final_front=True), Member(1, config, on_final_front=False)]
        int8 = Baseline("int8", objective.setup.complete({"quantization": EIGHT_BITS}), on_final_front=True)
        lost = Baseline("lost", config, on_final_front=False)
        rows[name] = export_front(study, members, [int8, lost], [record], None)
    assert {tuple(row.name for row in found) for found in rows.values()} == {("dense", "int8", "trial 0")}
    assert [bool(row.error) for name in rows for row in rows[name]] == [False] * 3 + [True] * 6
    assert all(row.latency is not None and row.latency.batch == 4 for row in rows["known"])
    assert all("svd" in row.error for row in rows["unknown"])
    assert all("exports" in row.error for row in rows["blocked"])
    assert (tmp_path / "known" / "exports" / "int8.onnx").exists()
    assert [ExportedModel.from_json(row.to_json()) for row in rows["known"]] == rows["known"]


def test_a_full_disk_is_one_line_with_the_path(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Whichever command meets it."""

    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device", "front/trial-0.onnx")

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == EXIT_INPUT
    assert capsys.readouterr().err == "Error: front/trial-0.onnx: No space left on device\n"
