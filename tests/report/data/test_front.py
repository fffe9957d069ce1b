"""Rows of the front, and the points of the baselines beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from autoreg.engine.log.baseline_names import BASELINE_NAMES
from autoreg.report.data.front import baseline_points
from autoreg.report.data.load import StudyData

MakeStudy = Callable[..., Path]


def test_baselines_of_a_search_are_known_by_their_whole_names(make_study: MakeStudy) -> None:
    """A proposer whose name begins as that of a baseline proposes no baselines."""
    folder = make_study(30)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for event in events:
        if event.get("source") == "random":
            event["source"] = "uniform"
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    data = StudyData.load(folder)
    sources = [record.source for record in data.state.complete()]
    assert "uniform" in sources
    assert [name for name, _ in baseline_points(data)] == [name for name in sources if name in BASELINE_NAMES]
    assert len(baseline_points(data)) == 3
