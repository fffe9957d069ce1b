"""The study as Optuna shows it, in a journal file and in SQLite."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from autoreg.engine import Engine, Halving
from autoreg.engine.log.optuna_view import OptunaView, open_storage
from autoreg.errors import InputError, StudyError
from tests.engine.problems import OBJECTIVES, run, toy_space
from tests.engine.toy_engine import toy


@pytest.fixture(scope="module")
def engine() -> Engine:
    stranger = {"something": "else", "bits": 32, "width": 1, "amount": 0.0, "rate": 0.01, "regularizer": "none"}
    engine = toy(
        24, constraints=("error <= 0.5",), starters=[("dense", stranger)], prune=Halving(audit=0.0), sampler="random"
    )
    run(engine, curve=True)
    assert {r.state for r in engine.state.records} == {"COMPLETE", "PRUNED"}
    return engine


@pytest.fixture(params=["journal", "sqlite"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "optuna.journal") if request.param == "journal" else f"sqlite:///{tmp_path}/optuna.db"


def test_a_view_holds_what_the_study_holds(engine: Engine, where: str) -> None:
    view = OptunaView(where, "toy", OBJECTIVES, toy_space())
    view.sync(engine.state.records)
    study = optuna.load_study(study_name="toy", storage=open_storage(where))
    assert [d.name for d in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["error", "flops"]
    assert len(study.trials) == 24
    for trial in study.trials:
        record = engine.state.records[trial.user_attrs["trial"]]
        assert trial.state.name == record.state
        assert trial.user_attrs["metrics"] == record.metrics
        if record.state == "COMPLETE":
            assert trial.values == [record.metrics["error"], record.metrics["flops"]]
        else:
            assert trial.values is None
            assert trial.user_attrs["reason"]
            assert trial.user_attrs["reports"][0] == [1, record.reports[0].metrics]
        if record.source != "dense":
            assert trial.params == toy_space().flatten(record.config)
    feasible = {t.user_attrs["trial"] for t in study.best_trials}
    assert feasible == set(engine.front())


def test_a_view_that_is_behind_catches_up_without_duplicates(engine: Engine, where: str) -> None:
    records = engine.state.records
    view = OptunaView(where, "toy", OBJECTIVES, toy_space())
    for record in records[:5]:
        view.add(record)
        view.add(record)
    again = OptunaView(where, "toy", OBJECTIVES, toy_space())
    again.sync(records)
    again.sync(records)
    numbers = [t.user_attrs["trial"] for t in again.study.trials]
    assert sorted(numbers) == list(range(24))


def test_running_trials_are_not_shown(where: str) -> None:
    engine = toy(3)
    engine.ask()
    view = OptunaView(where, "toy", OBJECTIVES, toy_space())
    view.sync(engine.state.records)
    assert view.study.trials == []


def test_a_study_with_other_objectives_is_not_mixed_in(where: str) -> None:
    OptunaView(where, "toy", OBJECTIVES, toy_space())
    for other in ({"error": "min", "bytes": "min"}, {"error": "min", "flops": "max"}, {"error": "min"}):
        with pytest.raises(StudyError, match="give the study another name"):
            OptunaView(where, "toy", other, toy_space())


def test_a_storage_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"storage nosuch://host/db cannot be opened") as caught:
        open_storage("nosuch://user:secret@host/db")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("target", ["study/optuna.journal", "{folder}/study/optuna.journal"])
def test_a_lock_that_a_killed_process_left_is_released(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """Optuna's lock is a link to the journal, by the path that was given: one from the working folder leads nowhere."""
    monkeypatch.chdir(tmp_path)
    Path("study").mkdir()
    OptunaView("study/optuna.journal", "toy", OBJECTIVES, toy_space())
    Path("study/optuna.journal.lock").symlink_to(target.format(folder=tmp_path))
    view = OptunaView("study/optuna.journal", "toy", OBJECTIVES, toy_space())
    view.sync(engine.state.records)
    assert len(view.study.trials) == 24


@pytest.mark.filterwarnings("ignore:PedAnovaImportanceEvaluator computes")
def test_optunas_own_tools_work_on_the_view(where: str) -> None:
    """Importance of parameters, as reports show it: here the rate decides most."""
    engine = toy(40, sampler="random", prune=False)
    run(engine)
    view = OptunaView(where, "toy", OBJECTIVES, toy_space())
    view.sync(engine.state.records)
    importance = optuna.importance.get_param_importances(view.study, target=lambda t: t.values[0])
    assert next(iter(importance)) == "rate"
