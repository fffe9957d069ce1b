"""Failed and pruned trials, and uses of test data, in sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from autoreg.report.data.load import StudyData
from autoreg.report.text.trials import failures, pruning_sentence, uses_of_test_data

MakeStudy = Callable[..., Path]


def test_failures_are_grouped_by_reason_whatever_numbers_it_holds(make_study: MakeStudy) -> None:
    """Trials 5, 14 and 23 failed, for two reasons; a reason that differs in a number only is the same."""
    folder = make_study(30)
    text = (folder / "events.jsonl").read_text()
    (folder / "events.jsonl").write_text(text.replace("in epoch 2", "in epoch 3", 1))
    assert failures(StudyData.load(folder)) == [
        ("RuntimeError: out of memory", [5, 23]),
        ("loss is not finite in epoch 3", [14]),
    ]


def test_searching_on_after_a_use_of_test_data_is_warned_of(make_study: MakeStudy) -> None:
    """The uses are listed; a warning stands there only when later trials exist, and says how many."""
    folder = make_study(30, final=True)
    uses, warning = uses_of_test_data(StudyData.load(folder))
    assert uses == ["2025-11-21T10:00:00, after 30 trials"]
    assert warning == ""
    final = json.loads((folder / "final.json").read_text())
    final["test_uses"][0]["trials"] = 22
    (folder / "final.json").write_text(json.dumps(final))
    assert "went on for 8 trials" in uses_of_test_data(StudyData.load(folder))[1]


def test_audited_trials_show_how_many_prunings_would_have_been_wrong(make_study: MakeStudy) -> None:
    """A trial that the rule would have pruned and that is on the front counts as a wrong decision."""
    folder = make_study(30)
    best = int(StudyData.load(folder).front.iloc[0]["number"])
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for event in lines:
        if event["event"] == "report" and event["trial"] == best:
            event["audit"] = True
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    sentence = pruning_sentence(StudyData.load(folder))
    assert sentence.startswith("5 trials were pruned. As an audit, 1 that the rule would have pruned")
    assert "1 of them ended on the front" in sentence
