"""The front is the same wherever it is asked for."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest

import autoreg
from autoreg.errors import NoTrialError
from autoreg.report.data.front import front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.text.front import format_front
from autoreg.report.write import write_report
from tests.engine.problems import OBJECTIVES, toy_costs, toy_space
from tests.report.page.test_front_probabilities import noisy_error


@pytest.fixture
def study(tmp_path: Path) -> autoreg.Study:
    """A finished search with noise in its errors."""
    return autoreg.search(noisy_error, toy_space(), OBJECTIVES, costs=toy_costs, trials=25, storage=tmp_path / "s")


def fronts(study: autoreg.Study) -> list[dict[str, float]]:
    """Names and errors of the front as each place shows it."""
    assert study.folder is not None
    write_report(study.folder)
    data = StudyData.load(study.folder)
    lines = list(csv.DictReader(io.StringIO(format_front(data, "csv"))))
    table = json.loads(format_front(data, "json"))["front"]
    found = [{row.name: row.metrics["error"] for row in front_rows(data)}]
    found.append(dict(zip(study.front["name"], study.front["error"], strict=True)))
    found += [{row["name"]: float(row["error"]) for row in lines}, {r["name"]: r["metrics"]["error"] for r in table}]
    saved = pd.read_parquet(study.folder / "trials.parquet")
    on_front = set(saved["number"][saved["on_front"]])
    assert on_front == {row.trial for row in front_rows(data) if row.trial is not None}
    return found


def test_before_the_final_evaluation_it_is_the_posterior_front(study: autoreg.Study) -> None:
    """With its means; what was observed is in `trials`, and a study in memory says the same."""
    incumbents = study.engine.incumbents()
    for found in fronts(study):
        assert found == pytest.approx({f"trial {n}": mean for n, mean in incumbents.items()})
    in_memory = autoreg.Study(study.engine).front
    assert in_memory["number"].tolist() == study.front["number"].tolist()
    assert study.best(by="error")["error"] == pytest.approx(min(incumbents.values()))


def test_after_it_members_and_baselines_have_the_values_of_fresh_seeds(study: autoreg.Study) -> None:
    """A baseline that is no trial has no number, and can be named; one that left the front is gone everywhere."""
    assert study.folder is not None
    first, second, *_ = study.engine.incumbents()
    flops = study.trials["flops"]

    def spread(error: float, cost: float) -> dict[str, object]:
        return {"mean": {"error": error, "flops": cost}, "std": {}, "values": [{"error": error, "flops": cost}]}

    members = [
        {"trial": first, "validation": spread(0.5, flops[first]), "on_final_front": False},
        {"trial": second, "validation": spread(0.25, flops[second]), "on_final_front": True},
    ]
    small = {"name": "int8", "config": {"x": 1}, "validation": spread(0.125, 7.0), "on_final_front": True}
    baselines = [{**small, "metrics": {"error": 0.125, "flops": 7.0}}]
    final = {"members": members, "baselines": baselines, "test_uses": [{"trials": 25}], "seeds": [1]}
    (study.folder / "final.json").write_text(json.dumps(final))
    for found in fronts(study):
        assert found == {"int8": 0.125, f"trial {second}": 0.25}
    assert study.front["number"].isna().tolist() == [True, False]
    assert study.best(by="error")["name"] == "int8"
    assert study.config("int8") == {"x": 1}
    with pytest.raises(NoTrialError, match="'int4': this study has evaluated int8"):
        study.config("int4")
