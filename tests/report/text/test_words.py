"""Recipes in words, rows of the front, and what the numbers say."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoreg.errors import InputError
from autoreg.report.data.front import format_front, format_metric, front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.text import words
from autoreg.report.text.phrase import number, recipe_phrase
from tests.report.conftest import DENSE

MakeStudy = Callable[..., Path]


def recipe(**changes: Any) -> dict[str, Any]:
    """The dense recipe with some sections changed."""
    return {**copy.deepcopy(DENSE), **changes}


def test_a_recipe_says_what_it_does_and_leaves_out_what_it_leaves_alone() -> None:
    """The phrase names structure, amount, criterion, allocation, bits, regularizer and dropped blocks."""
    channel = {
        "channel": {
            "criterion": {"magnitude": {}},
            "allocation": {"uniform": {}},
            "amount": 0.4,
            "schedule": {"one_shot": {}},
        }
    }
    bits = {"quantizer": {"rtn": {}}, "weights": {"bits": 8}, "activations": {"bits": 8}}
    full = recipe(
        sparsity=channel,
        quantization=bits,
        regularizer={"l1": {"strength": 1e-4}},
        layers={"train": {"all": {}}, "drop": {"last": {"count": 1}}},
    )
    assert recipe_phrase(full) == "channel 40% magnitude/uniform · 8/8 bits · l1 1e-4 · drop last 1"
    assert recipe_phrase(DENSE) == "dense"
    assert recipe_phrase({**DENSE, "training": {"start": "pretrained", "share": 0.1}}) == (
        "from pretrained · on 10% of the data"
    )


def test_values_by_layer_are_told_as_a_range() -> None:
    """Amounts and bits that differ by layer show the lowest and the highest."""
    amount = {"per_layer": {"conv1": 0.3, "conv2": 0.8}}
    weight = {
        "weight": {
            "criterion": {"wanda": {}},
            "allocation": {"each_layer": {}},
            "amount": amount,
            "schedule": {"gradual": {}},
        }
    }
    bits = {"quantizer": {"lsq": {}}, "weights": {"bits": {"per_layer": {"a": 2, "*": 8}}}, "activations": {"bits": 32}}
    phrase = recipe_phrase(recipe(sparsity=weight, quantization=bits))
    assert phrase == "weight 30–80% by layer wanda/each_layer gradual · 2–8 by layer/32 bits lsq"


def test_a_config_of_another_kind_lists_its_values() -> None:
    """A Python objective's config has no slots: names and values."""
    assert recipe_phrase({"x": 0.25, "kind": "a", "opt": {"sgd": {"lr": 0.001}}}) == "x=0.25 · kind=a · opt=sgd 0.001"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-4, "1e-4"), (0.4, "0.4"), (12, "12"), (0.00123, "0.00123"), (1.25e-7, "1.25e-7"), (True, "True")],
)
def test_numbers_are_short(value: Any, text: str) -> None:
    """At most three digits, small ones with an exponent."""
    assert number(value) == text


def test_costs_are_written_with_units() -> None:
    """FLOPs in k, M, G; other numbers with three digits."""
    assert format_metric("flops", 1_234_567) == "1.23M"
    assert format_metric("error", 0.02346) == "0.0235"
    assert format_metric("error", None) == ""


def test_json_holds_the_whole_front_with_what_was_re_measured(make_study: MakeStudy) -> None:
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
    member = data.members[0]
    line = next(r for r in rows if int(r["trial"]) == member["trial"])
    assert float(line["validation.error.mean"]) == member["validation"]["mean"]["error"]
    assert json.loads(line["recipe"]) == member["config"]


def test_the_table_shows_each_member_and_fits_its_width(make_study: MakeStudy) -> None:
    """People see trial, objectives and the recipe; no line is wider than asked."""
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


def test_gains_are_ratios_to_dense_of_the_cheapest_member_that_is_good_enough(make_study: MakeStudy) -> None:
    """Checked against a search by hand over the rows, with means over fresh seeds where there are some."""
    data = StudyData.load(make_study(30, final=True))
    rows, bound = front_rows(data), 0.05
    good = [r for r in rows if r.validation["mean"]["error"] <= bound]
    cheapest = min(good, key=lambda r: r.metrics["flops"])
    gain = next(g for g in words.gains(data, rows, bound) if g.cost == "flops")
    assert gain.trial == cheapest.trial
    assert gain.ratio == pytest.approx(data.dense["flops"] / cheapest.metrics["flops"])
    assert gain.fresh
    assert all(g.trial is None for g in words.gains(data, rows, 0.0))
    lucky = replace(cheapest, metrics={**cheapest.metrics, "error": 0.001}, validation={})
    others = [r for r in rows if r.trial != cheapest.trial]
    gain = next(g for g in words.gains(data, [lucky, *others], bound) if g.cost == "flops")
    assert gain.trial != lucky.trial  # what was not measured again is no gain beside what was
    alone = next(g for g in words.gains(data, [lucky], bound) if g.cost == "flops")
    assert (alone.trial, alone.fresh) == (lucky.trial, False)


def test_the_slack_is_a_share_of_the_way_to_chance(make_study: MakeStudy) -> None:
    """2 % of the way from the dense error 0.021 to chance at 0.9."""
    assert words.slack(StudyData.load(make_study(3))) == pytest.approx(0.02 * (0.9 - 0.021))


def test_failures_are_grouped_by_reason_whatever_numbers_it_holds(make_study: MakeStudy) -> None:
    """Trials 5, 14 and 23 failed, for two reasons; a reason that differs in a number only is the same."""
    folder = make_study(30)
    text = (folder / "events.jsonl").read_text()
    (folder / "events.jsonl").write_text(text.replace("in epoch 2", "in epoch 3", 1))
    assert words.failures(StudyData.load(folder)) == [
        ("RuntimeError: out of memory", [5, 23]),
        ("loss is not finite in epoch 3", [14]),
    ]


def test_searching_on_after_a_look_at_test_data_is_warned_of(make_study: MakeStudy) -> None:
    """The uses are listed; a warning stands there only when later trials exist, and says how many."""
    folder = make_study(30, final=True)
    uses, warning = words.test_use_sentences(StudyData.load(folder))
    assert uses == ["2025-11-21T10:00:00, after 30 trials"]
    assert warning == ""
    final = json.loads((folder / "final.json").read_text())
    final["test_uses"][0]["trials"] = 22
    (folder / "final.json").write_text(json.dumps(final))
    assert "went on for 8 trials" in words.test_use_sentences(StudyData.load(folder))[1]


def test_audited_trials_tell_how_many_stops_would_have_been_wrong(make_study: MakeStudy) -> None:
    """A trial that was to be stopped, was finished and is on the front counts as a wrong stop."""
    folder = make_study(30)
    best = int(StudyData.load(folder).front.iloc[0]["number"])
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for event in lines:
        if event["event"] == "report" and event["trial"] == best:
            event["audit"] = True
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    sentence = words.audit_sentence(StudyData.load(folder))
    assert sentence.startswith("5 trials were stopped early. 1 that were to be stopped")
    assert "1 of them ended on the front" in sentence
