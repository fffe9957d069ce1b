"""The front as JSON, CSV and table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autoreg.errors import InputError
from autoreg.report.data.load import StudyData
from autoreg.report.text.front import format_front

MakeStudy = Callable[..., Path]


def test_json_holds_the_whole_front_with_the_re_evaluation(make_study: MakeStudy) -> None:
    """The object names study, objectives and members; each member carries its recipe and its numbers."""
    data = StudyData.load(make_study(30, final=True))
    found = json.loads(format_front(data, "json"))
    assert found["study"] == "digits"
    assert found["objectives"] == {"error": "min", "flops": "min", "latency_ms": "min"}
    assert {m["trial"] for m in found["front"]} == set(data.front["number"])
    first = found["front"][0]
    assert first["recipe"] == data.state.records[first["trial"]].config
    assert first["metrics"]["error"] == first["validation"]["mean"]["error"]
    assert first["search"]["error"] == data.trials["error"][first["trial"]]
    assert [m["trial"] for m in found["left"]] == [m.trial for m in data.final.members if not m.on_final_front]
    assert len(first["validation"]["values"]) == 3
    assert 0 <= first["front_probability"] <= 1


def test_csv_has_one_line_a_member(make_study: MakeStudy) -> None:
    """Columns are named, recipes come back from JSON, and numbers are exact."""
    data = StudyData.load(make_study(30, final=True))
    rows = list(csv.DictReader(io.StringIO(format_front(data, "csv"))))
    assert {int(r["trial"]): float(r["flops"]) for r in rows} == dict(
        zip(data.front["number"], data.front["flops"], strict=True)
    )
    member = data.final.members[0]
    line = next(r for r in rows if int(r["trial"]) == member.trial)
    assert member.validation is not None
    assert float(line["validation.error.mean"]) == float(line["error"]) == member.validation.mean["error"]
    assert float(line["search.error"]) == data.trials["error"][member.trial]
    assert json.loads(line["recipe"]) == data.state.records[member.trial].config


def test_the_table_shows_each_member_and_fits_its_width(make_study: MakeStudy) -> None:
    """People see trial, objectives and the recipe; no line is wider than that."""
    data = StudyData.load(make_study(30, final=True))
    text = format_front(data, width=110)
    for trial in data.front["number"]:
        assert any(line.split()[:1] == [str(trial) if trial else "dense"] for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 110
    assert "±" in text


def test_another_format_is_refused(make_study: MakeStudy) -> None:
    """The message names what is allowed."""
    with pytest.raises(InputError, match="found 'xml'; allowed are table, json, csv"):
        format_front(StudyData.load(make_study(3)), "xml")
