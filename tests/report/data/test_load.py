"""What is read of a study's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoreg.errors import InputError, StudyError
from autoreg.report.data.flatten import flatten_configs
from autoreg.report.data.load import StudyData
from autoreg.report.data.trial_table import BOOKKEEPING_COLUMNS

MakeStudy = Callable[..., Path]


def dominated(point: list[float], others: list[list[float]]) -> bool:
    """Whether some other point is nowhere worse and somewhere better; all are minimized."""
    return any(
        all(o <= p for o, p in zip(other, point, strict=True)) and any(o < p for o, p in zip(other, point, strict=True))
        for other in others
    )


def test_choices_among_methods_become_a_label_and_its_parameters() -> None:
    """A method's name stands at the slot's path, its parameters under it."""
    config = {"regularizer": {"l1": {"strength": 1e-4}}, "layers": {"train": {"all": {}}, "drop": "none"}}
    assert flatten_configs([config]) == [
        {"regularizer": "l1", "regularizer.l1.strength": 1e-4, "layers.train": "all", "layers.drop": "none"}
    ]


def test_a_slot_of_the_users_own_is_known_by_what_other_configs_hold() -> None:
    """`{name: {...}}` is a choice where another config has another name in its place, else a section."""
    found = flatten_configs(
        [{"net": {"wide": {"k": 2}}, "opt": {"sgd": {"lr": 1}}}, {"net": {"deep": {"k": 3}}, "opt": {"sgd": {"lr": 2}}}]
    )
    assert found[0] == {"net": "wide", "net.wide.k": 2, "opt.sgd.lr": 1}
    assert found[1] == {"net": "deep", "net.deep.k": 3, "opt.sgd.lr": 2}


def test_several_methods_in_one_slot_become_switches() -> None:
    """As the space names them; a study in which no trial holds several keeps the label of the one."""
    configs: list[dict[str, Any]] = [
        {"regularizer": {"l1": {"strength": 0.1}, "sam": {"rho": 0.2}}, "own": {"a": {}, "b": {"c": 1}}},
        {"regularizer": {"l1": {"strength": 0.3}}, "own": "none"},
        {"regularizer": {"orthogonality": {"strength": 1.0}}, "own": "none"},
    ]
    first, second, third = flatten_configs(configs)
    assert first == {
        "regularizer.l1": "on",
        "regularizer.sam": "on",
        "regularizer.orthogonality": "off",
        "regularizer.l1.strength": 0.1,
        "regularizer.sam.rho": 0.2,
        "own.a": "on",
        "own.b": "on",
        "own.b.c": 1,
    }
    assert (second["regularizer.l1"], second["regularizer.sam"], second["own.a"]) == ("on", "off", "off")
    assert third["regularizer.orthogonality.strength"] == 1.0
    assert flatten_configs(configs[1:])[0] == {"regularizer": "l1", "regularizer.l1.strength": 0.3, "own": "none"}


def test_the_table_has_one_row_a_trial_with_states_metrics_and_parameters(make_study: MakeStudy) -> None:
    """Every trial is there, whatever became of it, with bookkeeping first."""
    data = StudyData.load(make_study(30))
    assert list(data.trials.columns[: len(BOOKKEEPING_COLUMNS)]) == list(BOOKKEEPING_COLUMNS)
    assert data.trials["number"].tolist() == list(range(30))
    assert data.trials["state"].value_counts().to_dict() == {"COMPLETE": 22, "PRUNED": 5, "FAIL": 3}
    dense = data.trials.iloc[0]
    assert (dense["source"], dense["sparsity"], dense["quantization.weights.bits"]) == ("dense", "none", 32)
    assert set(data.metrics) >= {"error", "flops", "latency_ms", "bytes", "bops", "effective_flops"}
    assert data.trials.loc[5, "reason"] == "RuntimeError: out of memory"


def test_the_front_is_what_brute_force_finds(make_study: MakeStudy) -> None:
    """Marked trials are exactly the complete ones that no complete one dominates."""
    data = StudyData.load(make_study(30))
    rows = data.trials[data.trials["state"] == "COMPLETE"]
    points = rows[["error", "flops", "latency_ms"]].to_numpy().tolist()
    expected = {n for n, p in zip(rows["number"], points, strict=True) if not dominated(p, points)}
    assert set(data.trials.loc[data.trials["on_front"], "number"]) == expected
    assert 1 < len(expected) < len(points)


def test_a_maximized_objective_turns_the_front_round(python_study: Path) -> None:
    """The best score of all is on the front, and the list begins with it."""
    data = StudyData.load(python_study)
    assert data.front.iloc[0]["score"] == data.trials["score"].max()
    points = [[-r["score"], r["price"]] for _, r in data.trials.iterrows()]
    assert set(data.front["number"]) == {i for i, p in enumerate(points) if not dominated(p, points)}


def test_trials_recorded_as_infeasible_are_not_on_the_front(make_study: MakeStudy) -> None:
    """What the engine wrote with the result decides."""
    folder = make_study(30)
    best = int(StudyData.load(folder).front.iloc[0]["number"])
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for event in lines:
        if event["event"] == "tell" and event["trial"] == best:
            event["feasible"] = False
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    data = StudyData.load(folder)
    assert best not in set(data.front["number"])
    assert not data.trials.loc[best, "feasible"]


def test_constraints_decide_where_the_log_says_nothing(make_study: MakeStudy) -> None:
    """Relative costs are understood: only trials with at most half of the dense FLOPs may be on the front."""
    pytest.importorskip("autoreg.space.expression")
    folder = make_study(30, constraints=["flops <= 0.5 * dense.flops"])
    data = StudyData.load(folder)
    assert not data.front.empty
    assert (data.front["flops"] <= 0.5 * data.dense["flops"]).all()
    assert (data.trials["feasible"] == (data.trials["flops"] <= 0.5 * data.dense["flops"])).all()


def test_a_torn_last_line_and_a_running_trial_are_no_trouble(make_study: MakeStudy) -> None:
    """A kill in mid-write leaves half a line; a trial without a result is running."""
    folder = make_study(12)
    ask = {"event": "ask", "trial": 12, "config": {}, "source": "tpe", "seed": 0, "costs": {}, "predicted": None}
    with (folder / "events.jsonl").open("a") as log:
        log.write(json.dumps(ask) + '\n{"event": "tell", "trial": 12, "sta')
    data = StudyData.load(folder)
    assert data.trials["state"].tolist()[-1] == "RUNNING"
    assert len(data.trials) == 13


def test_predictions_are_a_table_of_their_own(make_study: MakeStudy) -> None:
    """Pruned trials have no observed value to judge a prediction by."""
    data = StudyData.load(make_study(30))
    assert data.predictions["trial"].min() == 10
    complete = data.trials.set_index("number")["state"][data.predictions["trial"]].eq("COMPLETE").to_numpy()
    assert (data.predictions["observed"].notna().to_numpy() == complete).all()


def test_a_parameter_with_a_name_that_is_taken_gets_a_prefix(tmp_path: Path) -> None:
    """A parameter called `state` does not hide the trial's own."""
    (tmp_path / "study.json").write_text(json.dumps({"objectives": {"loss": "min"}}))
    ask = {"event": "ask", "trial": 0, "config": {"state": "x"}, "source": "tpe", "seed": 0, "costs": {}}
    tell = {"event": "tell", "trial": 0, "state": "COMPLETE", "metrics": {"loss": 2.5}, "info": {}}
    (tmp_path / "events.jsonl").write_text(json.dumps(ask) + "\n" + json.dumps(tell) + "\n")
    row = StudyData.load(tmp_path).trials.iloc[0]
    assert (row["state"], row["config.state"]) == ("COMPLETE", "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no study here"), ("{", "not JSON"), ("[]", "must be one JSON object"), ("{}", "objectives: found None")],
)
def test_a_folder_without_a_study_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    """The message names the place and what was found."""
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(InputError, match=message):
        StudyData.load(tmp_path)


def test_a_direction_that_is_none_is_refused(tmp_path: Path) -> None:
    """Only min and max are directions."""
    (tmp_path / "study.json").write_text(json.dumps({"objectives": {"error": "down"}}))
    with pytest.raises(InputError, match=r"objectives\.error: found 'down'; allowed are min and max"):
        StudyData.load(tmp_path)


def test_an_objective_with_a_reserved_name_is_refused(tmp_path: Path) -> None:
    """An objective called `state` could not be kept apart from the trial's own."""
    (tmp_path / "study.json").write_text(json.dumps({"objectives": {"state": "min"}}))
    with pytest.raises(InputError, match="choose another"):
        StudyData.load(tmp_path)


def test_a_damaged_line_in_the_middle_is_refused(make_study: MakeStudy) -> None:
    """Nothing is guessed: the message names the line."""
    folder = make_study(3)
    lines = (folder / "events.jsonl").read_text().splitlines()
    lines[2] = lines[2][:20]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(StudyError, match=r"events\.jsonl:3"):
        StudyData.load(folder)


def test_reading_and_reporting_import_no_torch() -> None:
    """The report works where torch is not installed."""
    imports = "autoreg.report.write, autoreg.report.page.render, autoreg.report.plots.write"
    code = f"import sys, {imports}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.strip() == "False"


def test_the_file_names_and_keys_of_older_studies_are_read(make_study: MakeStudy) -> None:
    """`beliefs.json` is an older posterior.json, `epochs_paid` an older `epochs_run`; the newer ones come first."""
    folder = make_study(3, prepared={"epochs_paid": 14.0})
    own = float(StudyData.load(folder).trials["epochs_run"].sum())
    assert StudyData.load(folder).epochs_run == own + 14.0
    posterior = {"ended": 3, "probabilities": {"0": 0.25}}
    (folder / "beliefs.json").write_text(json.dumps(posterior))
    assert StudyData.load(folder).front_probabilities == {0: 0.25}
    (folder / "posterior.json").write_text(json.dumps({**posterior, "probabilities": {"0": 0.75}}))
    assert StudyData.load(folder).front_probabilities == {0: 0.75}
