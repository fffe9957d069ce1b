"""The front's column `P(on front)`: the posterior of the search, and then the draws of fresh seeds."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autoreg
from autoreg.report.data.load import StudyData
from autoreg.report.data.seed_spread import SeedSpread
from autoreg.report.text.front import format_front
from autoreg.report.write import write_report
from autoreg.space import digest
from autoreg.study.seed_statistics import SeedFront, spread
from tests.engine.problems import OBJECTIVES, toy_costs, toy_error, toy_space

COLUMN = "P(on front)"
NOISE = 0.03


def noisy_error(config: dict[str, Any], trial: Any) -> dict[str, float]:
    """An error by formula, with noise that depends on config and seed alone."""
    rng = np.random.default_rng([trial.seed, int(digest(config)[:12], 16)])
    return {"error": float(np.clip(toy_error(config) + NOISE * rng.standard_normal(), 0.001, 0.9))}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> autoreg.Study:
    """A study of formulas with noise, on disk."""
    folder = tmp_path_factory.mktemp("probabilities") / "study"
    return autoreg.search(noisy_error, toy_space(), OBJECTIVES, costs=toy_costs, trials=30, storage=folder)


def on_page(folder: Path) -> dict[int, str]:
    """What the page's table of the front says in the column, by trial; empty where it has no such column."""
    page = write_report(folder).read_text(encoding="utf-8")
    table = page[page.index('<section id="front">') :]
    table = table[: table.index("</table>")]
    heads = [html.unescape(h) for h in re.findall(r"<th [^>]*>(.*?)</th>", table)]
    rows = [re.findall(r"<td [^>]*>(.*?)</td>", row, re.S) for row in re.findall(r"<tr class.*?</tr>", table, re.S)]
    assert rows
    return {int(row[0]): row[heads.index(COLUMN)] for row in rows} if COLUMN in heads else {}


def in_file(folder: Path) -> dict[int, float]:
    """The same of front.csv."""
    rows = csv.DictReader(io.StringIO(format_front(StudyData.load(folder), "csv")))
    return {int(row["trial"]): float(row["front_probability"]) for row in rows if row["front_probability"]}


def in_terminal(folder: Path) -> str:
    return format_front(StudyData.load(folder), width=200)


def test_the_column_holds_the_posterior_probability_of_each_member(study: autoreg.Study) -> None:
    assert study.folder is not None
    probabilities = study.engine.probabilities()
    expected = {n: probabilities[n] for n in study.engine.incumbents()}
    assert min(expected.values()) < 0.95, "with this noise no front is sure"
    assert all(0 <= p <= 1 for p in expected.values())
    assert in_file(study.folder) == pytest.approx(expected)
    assert on_page(study.folder) == {n: f"{p:.0%}" for n, p in expected.items()}
    lines = in_terminal(study.folder).splitlines()
    for n, p in expected.items():
        (line,) = [line for line in lines if line.split()[:1] == [str(n)]]
        assert f" {p:.0%} " in line


def test_a_search_that_went_on_since_has_no_column(study: autoreg.Study, tmp_path: Path) -> None:
    """A posterior of an earlier end is not shown beside trials that it did not know."""
    assert study.folder is not None
    for file in ("study.json", "events.jsonl", "posterior.json"):
        (tmp_path / file).write_bytes((study.folder / file).read_bytes())
    posterior = json.loads((tmp_path / "posterior.json").read_text())
    (tmp_path / "posterior.json").write_text(json.dumps({**posterior, "ended": posterior["ended"] - 1}))
    assert on_page(tmp_path) == {}
    assert in_file(tmp_path) == {}
    assert "P(on" in in_terminal(study.folder)
    assert "P(on" not in in_terminal(tmp_path)


def test_a_study_of_an_older_version_has_its_posterior_in_another_file(study: autoreg.Study, tmp_path: Path) -> None:
    """It was called beliefs.json; where both are there, the newer name counts."""
    assert study.folder is not None
    for file, name in (("study.json",) * 2, ("events.jsonl",) * 2, ("posterior.json", "beliefs.json")):
        (tmp_path / name).write_bytes((study.folder / file).read_bytes())
    assert in_file(tmp_path) == in_file(study.folder) != {}
    (tmp_path / "posterior.json").write_text("{}")
    assert in_file(tmp_path) == {}


def test_fresh_seeds_replace_the_posterior_where_there_are_some(study: autoreg.Study, tmp_path: Path) -> None:
    """A member that was not re-evaluated has the posterior of the search."""
    assert study.folder is not None
    for file in ("study.json", "events.jsonl", "posterior.json"):
        (tmp_path / file).write_bytes((study.folder / file).read_bytes())
    first, second, *rest = study.engine.incumbents()
    members = [{"trial": first, "front_probability": 0.625}, {"trial": second, "front_probability": None}]
    (tmp_path / "final.json").write_text(json.dumps({"members": members}))
    probabilities = study.engine.probabilities()
    expected = {first: 0.625} | {n: probabilities[n] for n in (second, *rest)}
    assert in_file(tmp_path) == pytest.approx(expected)
    assert on_page(tmp_path)[first] == "62%"


def test_over_fresh_seeds_it_is_the_share_of_draws_in_which_nothing_is_better_and_cheaper() -> None:
    """Of four seeds of the dearer member one beats both seeds of the cheaper, and another one of them."""
    objectives = {"error": "min", "flops": "min"}

    def member(errors: list[float], flops: float) -> SeedSpread:
        return spread([{"error": e, "flops": flops} for e in errors])

    dear, cheap, lost = member([0.1, 0.25, 0.4, 0.5], 9.0), member([0.2, 0.3], 5.0), member([0.9], 20.0)
    found = SeedFront([dear, None, cheap, lost], objectives, (), {}).probabilities(seed=0, draws=4000)
    assert found == [pytest.approx(3 / 8, abs=0.03), None, 1.0, 0.0]
    assert SeedFront([None, None], objectives, (), {}).probabilities(seed=0) == [None, None]
