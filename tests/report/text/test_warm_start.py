"""A warm start on the page: studies that ran, by the figures that their engine gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autoreg
from autoreg.report.data.load import StudyData
from autoreg.report.text.warm_start import warm_start_sentences
from tests.engine.problems import OBJECTIVES, toy_costs, toy_error, toy_space
from tests.report.page.test_page import EVIL, page_of

TRIALS = 14
Error = Callable[[dict[str, Any]], float]


def study(folder: Path, error: Error, warm: tuple[Path, ...] = (), trials: int = TRIALS) -> autoreg.Study:
    """A study of formulas on disk."""
    return autoreg.search(
        lambda config, trial: {"error": error(config)},
        toy_space(),
        OBJECTIVES,
        costs=toy_costs,
        trials=trials,
        sampler="auto" if warm else "random",
        storage=folder,
        warm_start=warm,
    )


def chance(config: dict[str, Any]) -> float:
    """An error that has nothing to do with the config."""
    return float(np.random.default_rng(int(1e9 * config["rate"])).random())


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three finished studies: of the same order, of the reverse, of none."""
    errors: dict[str, Error] = {"alike": toy_error, "reversed": lambda config: 1 - toy_error(config), "chance": chance}
    folder = tmp_path_factory.mktemp("earlier")
    for name, error in errors.items():
        study(folder / name, error, trials=40)
    return {name: folder / name for name in errors}


def test_the_page_names_the_studies_and_what_new_trials_say_of_them(earlier: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "warm"
    prior = study(folder, toy_error, (earlier["alike"], earlier["chance"])).engine.predictor()["prior"]
    words = page_of(folder).words
    first, second = prior["sources"]
    assert (first["used"], second["used"]) == (True, False)
    count = len(first["matched"])
    assert (
        f"Warm start from {earlier['alike']}: 40 trials, {count} parameters in common ({', '.join(first['matched'])})"
        in words
    )
    assert f"used: it predicts its own held-out trials (rank correlation {first['correlation']:.2f})" in words
    assert (
        f"not used: it does not predict its own held-out trials (rank correlation {second['correlation']:.2f})" in words
    )
    assert prior["checked_trials"] == TRIALS
    assert prior["correlation"] > 0.3
    assert f"with the first {TRIALS} complete trials of this study is {prior['correlation']:.2f}, so it stays" in words


def test_the_page_says_when_and_why_the_prior_was_dropped(earlier: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "warm"
    prior = study(folder, toy_error, (earlier["reversed"],)).engine.predictor()["prior"]
    assert prior["correlation"] < 0
    sentence = warm_start_sentences(StudyData.load(folder))[-1]
    assert f"It was dropped after {prior['dropped_at']} complete trials of this study" in sentence
    assert f"its rank correlation with them was {prior['correlation']:.2f}." in sentence


def test_earlier_studies_that_do_not_predict_are_left_out(earlier: dict[str, Path], tmp_path: Path) -> None:
    study(tmp_path / "warm", toy_error, (earlier["chance"],), trials=4)
    assert warm_start_sentences(StudyData.load(tmp_path / "warm"))[1:] == [
        "No earlier study is used: the search started cold."
    ]


def test_a_search_that_has_not_ended_tells_what_it_took(earlier: dict[str, Path], tmp_path: Path) -> None:
    """Killed before its end it leaves no posterior, or that of an earlier end."""
    folder = tmp_path / "warm"
    study(folder, toy_error, (earlier["alike"],), trials=4)
    ended = warm_start_sentences(StudyData.load(folder))
    assert ended[1].endswith("it has not been compared with trials of this study yet.")
    posterior = json.loads((folder / "posterior.json").read_text())
    (folder / "posterior.json").write_text(json.dumps({**posterior, "ended": 3, "prior": {"sources": []}}))
    assert warm_start_sentences(StudyData.load(folder)) == ended
    (folder / "posterior.json").unlink()
    assert warm_start_sentences(StudyData.load(folder)) == ended


def test_without_a_warm_start_nothing_is_said_and_what_a_file_says_is_text(tmp_path: Path) -> None:
    folder = tmp_path / "cold"
    study(folder, toy_error, trials=4)
    assert warm_start_sentences(StudyData.load(folder)) == []
    assert "arm start" not in page_of(folder).words
    posterior = json.loads((folder / "posterior.json").read_text())
    for prior, count in (([], 0), ({}, 0), ({"sources": [3, None]}, 0), ({"sources": [{"name": EVIL, "used": 1}]}, 2)):
        (folder / "posterior.json").write_text(json.dumps({**posterior, "prior": prior}))
        assert len(warm_start_sentences(StudyData.load(folder))) == count
    page = page_of(folder)
    assert EVIL in page.words
    assert not [script for script in page.scripts if script.startswith("alert")]
