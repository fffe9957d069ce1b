"""What beats what, in a sentence: known answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.report.data.front import front_rows, left_rows
from autoreg.report.data.load import StudyData
from autoreg.report.data.optimism import optimism
from autoreg.report.text.comparison import comparison_sentences, optimism_sentence, share_text
from autoreg.report.text.front import format_front
from tests.report.conftest import study_json, write_study

Study = Callable[..., StudyData]
DENSE = {"flops": 1000.0, "latency_ms": 1.0}


def spread(errors: tuple[float, ...], flops: float, ms: float) -> dict[str, Any]:
    values = [{"error": error, "flops": flops, "latency_ms": ms} for error in errors]
    mean = sum(errors) / len(errors)
    std = (sum((error - mean) ** 2 for error in errors) / (len(errors) - 1)) ** 0.5
    return {"mean": {**values[0], "error": mean}, "std": {"error": std}, "values": values}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of a dense network (error 0.02, ± 0.002 over two seeds) with members of given errors and costs."""

    def make(
        *members: tuple[float, float, float], left: int = 0, int8: tuple[float, float, float] | None = None
    ) -> StudyData:
        events: list[dict[str, Any]] = []
        rows = []
        for number, (error, flops, ms) in enumerate(members):
            costs = {"flops": flops, "latency_ms": ms}
            ask = {"event": "ask", "trial": number, "config": {"x": number}, "source": "tpe", "seed": 0, "costs": costs}
            metrics = {**costs, "error": error - 0.01}
            tell = {"event": "tell", "trial": number, "state": "COMPLETE", "metrics": metrics, "info": {}}
            events += [ask, tell]
            stays = number >= left
            row = {"trial": number, "validation": spread((error, error), flops, ms), "on_final_front": stays}
            row |= {"dominated_by": "" if stays else "int8", "posterior": error - 0.004}
            rows.append(row if not stays else {**row, "test": spread((error + 0.01,) * 2, flops, ms)})
        dense = spread((0.018, 0.022), 1000.0, 1.0)
        compared = [{"name": "dense", "config": {}, "metrics": dense["mean"], "validation": dense, "test": dense}]
        if int8 is not None:
            found = spread((int8[0],) * 2, *int8[1:])
            compared.append({"name": "int8", "config": {}, "metrics": found["mean"], "validation": found})
            compared[-1]["on_final_front"] = True
        final = {"members": rows, "baselines": compared, "test_uses": [{"trials": len(members)}], "seeds": [1, 2]}
        objectives = {"error": "min", "flops": "min", "latency_ms": "min"}
        content = study_json(dense={**DENSE, "error": 0.02}, objectives=objectives)
        folder = write_study(tmp_path / "study", events, content)
        (folder / "final.json").write_text(json.dumps(final))
        return StudyData.load(folder)

    return make


def said(data: StudyData) -> list[str]:
    return comparison_sentences(data, front_rows(data), left_rows(data))


def test_the_cheapest_that_is_as_good_as_dense_is_named_with_its_costs(study: Study) -> None:
    """Trial 1 has a sixth of the FLOPs, trial 0 less time; trial 2 is cheaper than both, and worse than dense."""
    data = study((0.02, 500.0, 0.1), (0.019, 160.0, 0.5), (0.03, 10.0, 0.01))
    assert said(data) == [
        "Trial 1 is as good as the dense network (error 0.019 against 0.02 ± 0.0028; on test data 0.029 ± 0 against "
        "0.02 ± 0.0028) at 1/6 of its FLOPs and 50\u00a0% of its time; trial 0 (0.02) at 1/10 of its time.",
        "No other baseline is on the front.",
    ]


def test_where_none_is_as_good_the_cheapest_within_a_standard_error_is_named(study: Study) -> None:
    """The standard error of the dense mean is 0.0028 / √2 = 0.002: 0.0219 is within it, 0.023 is not."""
    sentence = said(study((0.0219, 300.0, 0.5), (0.021, 400.0, 0.5), (0.023, 10.0, 0.5)))[0]
    start = "No member is as good as the dense network (error 0.02 ± 0.0028) at lower cost; "
    assert sentence.startswith(start + "cheapest within one standard error: trial 0 (0.0219; on test data ")
    assert sentence.endswith("at 30\u00a0% of its FLOPs and 50\u00a0% of its time.".replace("30\u00a0%", "1/3"))


def test_where_none_is_near_the_nearest_is_named(study: Study) -> None:
    """The best of those that are cheaper."""
    sentence = said(study((0.04, 300.0, 0.5), (0.03, 400.0, 0.5)))[0]
    assert "; nearest: trial 1 (0.03; on test data" in sentence


def test_baselines_on_the_front_and_what_they_beat_are_named(study: Study) -> None:
    """A baseline that is as good as dense is what is as good as dense."""
    data = study((0.04, 300.0, 0.9), (0.03, 100.0, 0.5), left=1, int8=(0.02, 1000.0, 0.25))
    assert [row.name for row in front_rows(data)] == ["int8", "trial 1"]
    assert [row.name for row in left_rows(data)] == ["trial 0"]
    first, *rest = said(data)
    assert first == (
        "Baseline int8 is as good as the dense network (error 0.02 against 0.02 ± 0.0028) at 1/4 of its time."
    )
    assert rest == [
        "Baselines on the front: int8.",
        "Baseline int8 dominates trial 0, no longer on the front.",
    ]


def test_before_fresh_seeds_the_sentence_says_so(study: Study) -> None:
    """The search saw errors that are lower by 0.01."""
    data = study((0.029, 250.0, 0.5))
    (data.folder / "final.json").unlink()
    (sentence,) = said(StudyData.load(data.folder))
    assert sentence == (
        "Before fresh seeds, trial 0 is as good as the dense network (error 0.019 against 0.02) at 1/4 of its FLOPs "
        "and 50\u00a0% of its time."
    )


def test_optimism_is_fresh_less_seen(study: Study) -> None:
    """Every member is worse by 0.01 than the search saw, and by 0.004 than its posterior mean; those that left too."""
    data = study((0.04, 300.0, 0.9), (0.03, 100.0, 0.5), left=1, int8=(0.02, 1000.0, 0.25))
    found = optimism(data)
    assert found is not None
    assert found.members == 2
    assert found.observed == pytest.approx(0.01)
    assert found.posterior == pytest.approx(0.004)
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    assert "differs by +0.01" in optimism_sentence(data)
    assert "Half a standard error" not in optimism_sentence(data)
    file = data.folder / "study.json"
    content = json.loads(file.read_text())
    for counts, expected in (({"folds": 4, "validation": 100, "test": 9}, 400), ({"folds": 1, "validation": None}, 0)):
        file.write_text(json.dumps({**content, "samples": counts}))
        known = StudyData.load(data.folder)
        found = optimism(known)
        assert found is not None
        if not expected:
            assert found.half_error is None
            continue
        errors = [member.validation.mean["error"] for member in known.final.members if member.validation is not None]
        share = np.mean([error * (1 - error) for error in errors])
        assert found.half_error == pytest.approx(0.5 * (share / expected) ** 0.5)
        assert f"Half a standard error of 400 validation samples is {found.half_error:.2g}" in optimism_sentence(known)
        assert f"of 400 validation samples is {found.half_error:.2g}" in " ".join(format_front(known, "table").split())
    (data.folder / "final.json").unlink()
    assert optimism_sentence(StudyData.load(data.folder)) == ""


@pytest.mark.parametrize(("ratio", "text"), [(0.16, "1/6"), (0.3, "1/3"), (0.41, "41\u00a0%"), (1.2, "120\u00a0%")])
def test_shares_are_read_at_a_glance(ratio: float, text: str) -> None:
    assert share_text(ratio) == text
