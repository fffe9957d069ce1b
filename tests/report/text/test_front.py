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
    assert [m["trial"] for m in found["front"]] == data.front["number"].tolist()
    first = found["front"][0]
    assert first["recipe"] == data.state.records[first["trial"]].config
    assert first["metrics"]["error"] == data.front.iloc[0]["error"]
    assert len(first["validation"]["values"]) == 3
    assert 0 <= first["front_probability"] <= 1


def test_csv_has_one_line_a_member(make_study: MakeStudy) -> None:
    """Columns are named, recipes come back from JSON, and numbers are exact."""
    data = StudyData.load(make_study(30, final=True))
    rows = list(csv.DictReader(io.StringIO(format_front(data, "csv"))))
    assert [int(r["trial"]) for r in rows] == data.front["number"].tolist()
    assert [float(r["flops"]) for r in rows] == data.front["flops"].tolist()
    member = data.final.members[0]
    line = next(r for r in rows if int(r["trial"]) == member.trial)
    assert member.validation is not None
    assert float(line["validation.error.mean"]) == member.validation.mean["error"]
    assert json.loads(line["recipe"]) == data.state.records[member.trial].config


def test_the_table_shows_each_member_and_fits_its_width(make_study: MakeStudy) -> None:
    """People see trial, objectives and the recipe; no line is wider than that."""
    data = StudyData.load(make_study(30, final=True))
    text = format_front(data, width=110)
    for trial in data.front["number"]:
        assert any(line.split()[:1] == [str(trial)] for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 110
    assert "±" in text


def test_another_format_is_refused(make_study: MakeStudy) -> None:
    """The message names what is allowed."""
    with pytest.raises(InputError, match="found 'xml'; allowed are table, json, csv"):
        format_front(StudyData.load(make_study(3)), "xml")
