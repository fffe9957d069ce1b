"""The command line: what it prints, what it refuses, and its exit codes."""

# long: one study, run once, serves the tests of all commands

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autoreg.engine.log.baseline_names import BASELINE_NAMES
from autoreg.space.study_spec import StudySpec
from autoreg.study.options import RunOptions
from autoreg.study.task_study import TaskStudy
from tests.commands.in_process import call
from tests.execution.gates import Gate

STUDY = """\
name: tiny
task: {tabular: {data: wine}}
space:
  sparsity: [none, {weight: {amount: {uniform: [0.3, 0.9]}}}]
  training: {lr: {log: [1e-2, 1e-1]}, epochs: 2, finetune_epochs: 1}
objectives: {error: min, bytes: min}
budget: {trials: 6}
baselines: none
final_seeds: 1
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two epochs on wine."""
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Path:
    """The folder of a finished study."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(STUDY)
    assert call("run", folder / "tiny.yaml", "--out", folder / "out", "--store", store) == 0
    return folder / "out"


# each a change of STUDY: (what stands there, what is written instead, what the message must say)
WRONG: dict[str, tuple[str, str, str]] = {
    "a key that no study has": ("budget:", "bugdet:", "tiny.yaml:7: bugdet"),
    "no task": ("task: {tabular: {data: wine}}\n", "", "'task' is missing"),
    "an unknown task": ("tabular: {data: wine}", "tabluar: {data: wine}", "tabular"),
    "an unknown parameter of a task": ("{data: wine}", "{date: wine}", "data"),
    "an unknown value of a task's parameter": ("data: wine", "data: whine", "wine"),
    "a direction in other words": ("{error: min,", "{error: minimize,", "tiny.yaml:6"),
    "an objective that is nothing": ("bytes: min", "byte: min", "'byte' is nothing that task 'tabular' is measured by"),
    "a number of trials in words": ("trials: 6", "trials: many", "tiny.yaml:7"),
    "a negative number of trials": ("trials: 6", "trials: -3", "whole number from 1"),
    "an unknown method": ("{weight: {amount", "{wieght: {amount", "weight"),
    "an unknown parameter of a method": ("{weight: {amount:", "{weight: {ammount:", "amount"),
    "a range of one number": ("uniform: [0.3, 0.9]", "uniform: [0.3]", "tiny.yaml:4"),
    "a range the wrong way round": ("uniform: [0.3, 0.9]", "uniform: [0.9, 0.3]", "tiny.yaml:4"),
    "a range that leaves what is allowed": ("uniform: [0.3, 0.9]", "uniform: [0.3, 1.9]", "tiny.yaml:4"),
    "a logarithm of nothing": ("log: [1e-2, 1e-1]", "log: [0, 1e-1]", "tiny.yaml:5"),
    "text where a number belongs": ("epochs: 2", "epochs: two", "tiny.yaml:5"),
    "an unknown section": ("  training:", "  trianing:", "training"),
    "the same key twice": ("name: tiny\n", "name: tiny\nname: other\n", "tiny.yaml:2"),
    "a value of nothing": ("budget: {trials: 6}", "budget: null", "tiny.yaml:7"),
    "a tag": ("name: tiny", "name: !!python/name:os.system tiny", "tiny.yaml:1"),
    "an unfinished line": ("objectives: {error: min, bytes: min}", "objectives: {error: min,", "tiny.yaml"),
    "a constraint that is no expression": ("baselines: none", 'constraints: ["error <"]', "constraints"),
    "a constraint on what is not measured": ("baselines: none", 'constraints: ["speed <= 3"]', "'speed'"),
    "a constraint that would run code": ("baselines: none", 'constraints: ["open(1) <= 3"]', "constraints"),
    "a constraint nothing can meet": ("baselines: none", 'constraints: ["flops <= 1"]', "flops <= 1"),
    "an unknown word for baselines": ("baselines: none", "baselines: fill", "full"),
    "a space that is not there": ("space:\n  sparsity:", "space: there.yaml\nseed:", "there.yaml"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_study_is_refused_with_one_message_and_exit_code_2(
    name: str, tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, instead, message = WRONG[name]
    assert found in STUDY
    file = tmp_path / "tiny.yaml"
    text = STUDY.replace(found, instead)
    file.write_text(
        text if name != "a space that is not there" else text.split("seed:")[0] + text[text.index("objectives") :]
    )
    assert call("run", file, "--out", tmp_path / "out", "--store", store) == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


def test_a_finished_study_has_front_report_and_test_scores(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("front", finished, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows["front"] if isinstance(rows, dict) else rows) >= 1
    assert call("front", finished) == 0
    assert "recipe" in capsys.readouterr().out
    assert call("report", finished) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    for name in ("report.html", "front.csv", "trials.parquet", "optuna.journal", "events.jsonl", "final.json"):
        assert (finished / name).exists(), name


def test_a_second_run_is_refused_and_resuming_a_finished_study_changes_nothing(
    finished: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished.parent / "tiny.yaml"
    assert call("run", file, "--out", finished, "--store", store) == 2
    assert "--resume" in capsys.readouterr().err
    asks = (finished / "events.jsonl").read_text().count('"ask"')
    final = (finished / "final.json").read_bytes()
    assert call("run", file, "--out", finished, "--store", store, "--resume") == 0
    assert (finished / "events.jsonl").read_text().count('"ask"') == asks
    assert (finished / "final.json").read_bytes() == final
    assert "on the front" in capsys.readouterr().out


def test_a_larger_budget_goes_on_where_the_study_stopped(
    study: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = study.parent / "whole", study.parent / "parts"
    assert call("run", study, "--out", whole, "--store", store) == 0
    assert call("run", study, "--out", parts, "--store", store, "--trials", 3) == 0
    assert call("run", study, "--out", parts, "--store", store, "--resume") == 0
    assert configs(whole) == configs(parts)
    uses = json.loads((parts / "final.json").read_text())["test_uses"]
    assert [use["trials"] for use in uses] == [3, 6]


def events(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def configs(folder: Path) -> list[Any]:
    return [event["config"] for event in events(folder) if event["event"] == "ask"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_search_loses_no_finished_trial_and_resumes_to_the_same_trials(
    how: signal.Signals, study: Path, store: Path
) -> None:
    out, whole = study.parent / "out", study.parent / "whole"
    assert call("run", study, "--out", whole, "--store", store, "--trials", 12) == 0
    command = [sys.executable, "-m", "autoreg.commands.main", "run", str(study), "--out", str(out), "--trials", "12"]
    command += ["--store", str(store), "--no-cache"]  # so that trials still run when it is killed

    def heed() -> None:  # a shell that runs the tests in the background lets its children ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command += ["--import", "tests.commands.held_log"]  # not imported here: it would hold the searches of this process
    root = Path(__file__).parents[2]
    with Gate(1, lambda arrived: os.kill(next(iter(arrived)), how)) as gate:
        process = subprocess.Popen(
            command,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=heed,
            cwd=root,
            env={**os.environ, "GATE_PORT": str(gate.address[1])},
        )
        code = process.wait(100)
        assert gate.arrived.keys() == {process.pid}
    assert code == (-signal.SIGKILL if how is signal.SIGKILL else 130)
    assert (out / "events.jsonl").read_text().count('"event":"tell"') >= 3
    assert call("run", study, "--out", out, "--store", store, "--trials", 12, "--resume") == 0
    assert configs(out) == configs(whole)
    assert metrics(out) == metrics(whole)


def metrics(folder: Path) -> dict[int, Any]:
    found = {event["trial"]: event["metrics"] for event in events(folder) if event["event"] == "tell"}
    return {n: {k: v for k, v in m.items() if k != "latency_ms"} for n, m in found.items()}


def test_apply_carries_out_the_recipe_of_a_trial_again(
    finished: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("apply", f"{finished}:1", "--store", store, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    recorded = metrics(finished)[1]
    assert {name: found["metrics"][name] for name in recorded} == recorded
    assert found["recipe"] == configs(finished)[1]
    assert found["layers"][0]["name"]
    assert call("apply", f"{finished}:99", "--store", store) == 1
    assert "has no trial 99" in capsys.readouterr().err


def test_apply_takes_a_recipe_file(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("sparsity: {weight: {amount: 0.5}}\ntraining: {epochs: 1, finetune_epochs: 0}\n")
    assert call("apply", file, "--task", "tabular", "-p", "data=wine", "--store", store) == 0
    assert "50.0%" in capsys.readouterr().out
    assert call("apply", file, "--store", store) == 2
    assert "add --task" in capsys.readouterr().err
    file.write_text("sparsity: {weight: {amount: {uniform: [0.1, 0.5]}}}\n")
    assert call("apply", file, "--task", "tabular", "--store", store) == 2
    assert "recipe.yaml:1" in capsys.readouterr().err


def test_check_counts_prices_and_trains_nothing(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("check", study, "--json", "--store", tmp_path / "untouched") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["costs"]["bytes"]["low"] < found["costs"]["bytes"]["dense"]
    assert found["expect"]["trials"] == 6
    assert not list((tmp_path / "untouched").glob("??/*"))
    assert call("check", "mlp_joint") == 0
    assert "parameters" in capsys.readouterr().out
    assert call("check", "mlp_joint", "--task", "tabular") == 0
    assert "expect at most" in capsys.readouterr().out
    assert call("check", "mlp_jiont") == 2
    assert "mlp_joint" in capsys.readouterr().err


def test_methods_of_ones_own_are_listed_checked_and_searched(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_methods.py").write_text(
        "from autoreg.methods import method\n"
        "from autoreg.space.spec import Paper, log\n\n"
        "@method('squares', kind='regularizer', paper=Paper('Mine', 'Me', 2026))\n"
        "class Mine:\n"
        '    """Pulls weights to zero by their squares."""\n\n'
        "    strength: float = log(1e-3, 1.0)\n\n"
        "    def loss(self, state):\n"
        "        return self.strength * sum(w.square().mean() for _, w in state.weights())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert call("methods", "--json", "--import", "my_methods") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["parameters"]["strength"]["searched"] for row in listed if row["name"] == "squares"] == [
        "log: [0.001, 1]"
    ]
    file = tmp_path / "own.yaml"
    file.write_text(STUDY.replace("  sparsity: [none,", "  regularizer: squares\n  sparsity: [none,"))
    assert call("run", file, "--import", "my_methods", "--out", tmp_path / "o", "--store", store, "--trials", 4) == 0
    proposed = [
        e["config"] for e in events(tmp_path / "o") if e["event"] == "ask" and e["source"] not in BASELINE_NAMES
    ]
    assert len(proposed) == 2
    assert all("squares" in config["regularizer"] for config in proposed)


def test_schema_and_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("schema") == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")
    assert call("copy", "digits", "--to", tmp_path) == 0
    assert (tmp_path / "digits.yaml").read_text().startswith("# The main job")
    assert call("copy", "digits", "--to", tmp_path) == 2
    assert call("copy", "digit") == 2
    assert "did you mean 'digits'" in capsys.readouterr().err
    assert call("copy") == 0
    assert "cnn_joint" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "digits", "--executor", "slurm", "--out", "x"], "slurm"),
        (["run", "digits", "--trials", "0"], "trials"),
        (["run", "digits", "--import", "no_such_module"], "no_such_module"),
        (["run", "digits", "-p", "train_images"], "name=value"),
        (["front", "nowhere"], "nowhere"),
        (["front"], "folder"),
        (["apply", "nowhere.yaml", "--task", "digits"], "nowhere.yaml"),
        (["fly"], "fly"),
    ],
)
def test_wrong_calls_end_with_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_study_in_which_nothing_is_feasible_ends_with_exit_code_1(
    study: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text(STUDY + 'constraints: ["error <= -1"]\n')
    assert call("run", study, "--out", study.parent / "none", "--store", store, "--trials", 3) == 1
    assert "No trial is complete and feasible" in capsys.readouterr().err


DIGITS = """\
name: few
task: {digits: {train_images: 200}}
space:
  quantization: {weights: {bits: [4, 8]}}
  training: {lr: {log: [1e-3, 1e-1]}, epochs: 1, qat_epochs: 0}
objectives: {error: min}
baselines: none
final_seeds: 0
"""


def test_a_warm_start_is_told_carried_out_kept_and_shown(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, first, second = tmp_path / "few.yaml", tmp_path / "first", tmp_path / "second"
    file.write_text(DIGITS)
    spec = StudySpec.load(file).override(budget={"trials": 16}, sampler="random")
    TaskStudy(spec, RunOptions(first, store=store)).run()
    command = ["run", file, "--out", second, "--store", store, "--trials", 4, "--seed", 1]
    assert call(*command, "--warm-start", first) == 0
    (note,) = [line for line in capsys.readouterr().err.splitlines() if "warm start" in line]
    (taken,) = json.loads((second / "warm.json").read_text())
    completed = [event for event in events(first) if event["event"] == "tell" and event["state"] == "COMPLETE"]
    assert taken["quality"] == [event["metrics"]["error"] for event in completed]
    assert note == (
        f"Note: warm start from {first}: {len(completed)} trials, 2 of 2 parameters matched; "
        f"it predicts its own held-out trials with a rank correlation of {taken['correlation']:.2f}"
    )
    asks = [event for event in events(second) if event["event"] == "ask"]
    assert [event["source"] for event in asks[-2:]] == ["warm", "warm"]
    rates = [event["config"]["training"]["lr"] for event in asks[-2:]]
    assert min(rates) > 0.02, "one epoch needs a high rate, as the first study measured"
    page = html.unescape((second / "report.html").read_text())
    assert f"Warm start from {first}: {len(completed)} trials, 2 parameters in common" in page


def test_a_warm_start_from_what_is_no_study_is_refused_with_one_sentence(
    finished: Path, study: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.json").write_text("{")
    wrong = {
        tmp_path / "nowhere": "holds no study (there is no study.json)",
        study: "cannot be read as a study",
        tmp_path / "broken": "cannot be read as a study",
        finished: "complete trials that say something of this space; needed are at least 10",
    }
    for folder, message in wrong.items():
        assert call("run", study, "--out", tmp_path / "out", "--store", store, "--warm-start", folder) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
        assert line.startswith(f"Error: warm start: {folder} ")
        assert message in line
        assert not (tmp_path / "out").exists()
    assert call("run", study, "--out", finished, "--store", store, "--resume", "--warm-start", finished) == 2
    assert f"the study in {finished} was begun without one" in capsys.readouterr().err


def test_help_answers_without_heavy_imports() -> None:
    code = "import sys, autoreg.commands.main; print(sorted({'torch', 'ray', 'optuna', 'pandas'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
