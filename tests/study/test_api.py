"""`autoreg.search` and what it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

import autoreg

SPACE = {"x": {"uniform": [0, 1]}, "kind": ["plain", {"bent": {"by": {"uniform": [0, 1]}}}]}
BOTH = {"error": "min", "size": "min"}


def objective(config: dict[str, Any], trial: autoreg.Trial) -> dict[str, float]:
    bend = config["kind"]["bent"]["by"] if isinstance(config["kind"], dict) else 0.0
    for step in range(1, 4):
        trial.report(step, {"error": (config["x"] - 0.3) ** 2 + 1 / step})
        if trial.should_stop():
            break
    return {"error": (config["x"] - 0.3) ** 2 + bend, "size": 1 - config["x"] + bend}


def test_the_front_is_what_no_trial_dominates() -> None:
    study = autoreg.search(objective, SPACE, BOTH, trials=25, seed=1)
    done = study.trials[study.trials["state"] == "COMPLETE"]
    values = done[["error", "size"]].to_numpy()
    expected = {
        int(number)
        for number, one in zip(done["number"], values, strict=True)
        if not any((other <= one).all() and (other < one).any() for other in values)
    }
    assert set(study.front["number"]) == expected
    assert len(study.trials) == 25
    assert {"x", "kind", "kind.bent.by"} <= set(study.trials.columns)


def test_best_is_the_cheapest_that_meets_the_bound_and_says_what_was_reached() -> None:
    study = autoreg.search(objective, SPACE, BOTH, trials=25, seed=1)
    best = study.best(error=0.1, by="size")
    met = study.trials[(study.trials["state"] == "COMPLETE") & (study.trials["error"] <= 0.1)]
    assert best["size"] == met["size"].min()
    with pytest.raises(autoreg.NoTrialError, match=r"error <= -1; the best is 0\.0"):
        study.best(error=-1, by="size")
    with pytest.raises(autoreg.InputError, match="'flops' is no objective"):
        study.best(by="flops")


def test_known_costs_are_never_asked_of_the_objective() -> None:
    def only_error(config: dict[str, Any], trial: autoreg.Trial) -> dict[str, float]:
        return {"error": (config["x"] - 0.3) ** 2}

    study = autoreg.search(
        only_error, {"x": {"uniform": [0, 1]}}, BOTH, costs=lambda c: {"size": 1 - c["x"]}, trials=15
    )
    assert len(study.front) > 1
    assert (study.trials["size"] - (1 - study.trials["x"])).abs().max() < 1e-12


def test_constraints_keep_trials_off_the_front() -> None:
    study = autoreg.search(objective, SPACE, BOTH, constraints=["size <= 0.5"], trials=20)
    assert (study.front["size"] <= 0.5).all()
    assert (study.trials["size"] > 0.5).any()


def test_a_failed_trial_is_data() -> None:
    def sometimes(config: dict[str, Any], trial: autoreg.Trial) -> dict[str, float]:
        if config["x"] > 0.5:
            raise ValueError("too far")
        return {"error": config["x"]}

    study = autoreg.search(sometimes, {"x": {"uniform": [0, 1]}}, trials=12, sampler="random")
    failed = study.trials[study.trials["state"] == "FAIL"]
    assert len(failed) > 0
    assert set(failed["reason"]) == {"ValueError: too far"}
    assert len(study.trials) == 12


def test_a_stored_study_is_refused_without_resume_and_goes_on_with_it(tmp_path: Path) -> None:
    first = autoreg.search(objective, SPACE, BOTH, trials=6, storage=tmp_path / "s")
    with pytest.raises(autoreg.StudyError, match="holds a study already"):
        autoreg.search(objective, SPACE, BOTH, trials=6, storage=tmp_path / "s")
    with pytest.raises(autoreg.StudyError, match="the seed of this study is not"):
        autoreg.search(objective, SPACE, BOTH, trials=9, seed=3, storage=tmp_path / "s", resume=True)
    more = autoreg.search(objective, SPACE, BOTH, trials=9, storage=tmp_path / "s", resume=True)
    whole = autoreg.search(objective, SPACE, BOTH, trials=9)
    assert first.trials["x"].tolist() == more.trials["x"].tolist()[:6]
    assert more.trials["x"].tolist() == whole.trials["x"].tolist()
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "s" / "optuna.journal"))
    )
    assert len(optuna.load_study(study_name="s", storage=storage).trials) == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": 3}, "objective: found int"),
        ({"space": 3}, "space: found int"),
        ({"objectives": {"error": "minimize"}}, "direction 'minimize' is not allowed"),
        ({"constraints": ["error <"]}, r"constraints\[0\]"),
        ({"trials": None}, "a search needs an end"),
        ({"sampler": "tpee"}, "tpee"),
        ({"executor": "slurm"}, "slurm"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(change: dict[str, Any], message: str) -> None:
    arguments = {"objective": objective, "space": SPACE, "objectives": BOTH, "trials": 3, **change}
    with pytest.raises(autoreg.InputError, match=message):
        autoreg.search(**arguments)


def test_the_public_names_are_these() -> None:
    assert sorted(autoreg.__all__) == [
        "AutoregError",
        "InputError",
        "NoTrialError",
        "Space",
        "Study",
        "StudyError",
        "Task",
        "Trial",
        "attach",
        "method",
        "narrow",
        "search",
    ]
    for name in autoreg.__all__:
        assert getattr(autoreg, name) is not None


def test_baselines_are_the_first_trials_and_may_be_on_the_front() -> None:
    """One lies outside of the space; it is better than all others, so that no member may be what it dominates."""

    def objective(config: dict[str, float], trial: autoreg.Trial) -> dict[str, float]:
        return {"error": config["x"], "cost": 1 - config["x"]}

    given = {"best of all": {"x": -1.0}, "middle": {"x": 0.5}}
    objectives = {"error": "min", "cost": "max"}
    study = autoreg.search(objective, {"x": {"uniform": [0, 1]}}, objectives, trials=4, baselines=given)
    assert list(study.trials["source"][:2]) == list(given)
    assert list(study.front["source"]) == ["best of all"]
