"""The files of a study: what is read of final.json, and what the page and the front say of them."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.report.data.compare import Comparer, layers_of, time_notes
from autoreg.report.data.files import agreement_words, file_rows, interval, milliseconds, running_words
from autoreg.report.data.front import format_front, front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.page.exported_models import files_section, time_section
from autoreg.report.text.time_reasons import reasons
from autoreg.trial_info import Latency, LayerRecord
from tests.report.conftest import DENSE, LAYERS, costs_of, study_json, write_study
from tests.report.conftest import layers_of as recorded_layers
from tests.report.page.test_page import EVIL, page_of

MakeStudy = Callable[..., Path]


def recipe(structure: Any = "none", bits: tuple[int, int] = (32, 32)) -> dict[str, Any]:
    """The dense recipe with another structure and other bits."""
    found: dict[str, Any] = copy.deepcopy(DENSE)
    found["sparsity"] = structure
    found["quantization"]["weights"]["bits"], found["quantization"]["activations"]["bits"] = bits
    return found


SPARSE = {"2:4": {"criterion": {"magnitude": {}}, "schedule": {"one_shot": {}}}}
# dense, zeros alone, bytes alone, both
RECIPES = (recipe(), recipe(SPARSE), recipe(bits=(8, 8)), recipe(SPARSE, (8, 8)))
ERRORS, TIMES = (0.020, 0.025, 0.022, 0.027), (1.0, 1.0, 0.5, 0.5)


def latency(ms: float, **changes: Any) -> dict[str, Any]:
    """A recorded latency."""
    found = {"ms": ms, "low": 0.99 * ms, "high": 1.01 * ms, "runs": 100, "threads": 1, "batch": 64, "noisy": False}
    return found | {"device": "some processor", "runtime": "onnxruntime 1.31 CPU", "reference_ms": 0.02} | changes


def file_row(trial: int | None, ms: float, **changes: Any) -> dict[str, Any]:
    """A row of `files` in final.json."""
    name = "dense" if trial is None else f"trial {trial}"
    agreement = {"samples": 500, "top1": 0.998, "max_difference": 0.0812, "relative_rms": 0.004, "scale": 14.2}
    row = {"name": name, "trial": trial, "file": f"{name.replace(' ', '-')}.onnx", "format": "onnx", "runs": {}}
    row |= {"file_bytes": 60_611, "agreement": agreement, "metrics": {"error": 0.02}, "recorded": {"error": 0.02}}
    return row | {"latency": latency(ms), "notes": []} | changes


@pytest.fixture
def make_files(tmp_path: Path) -> Callable[..., Path]:
    """A study of four trials, all on its front of error, effective FLOPs and latency, with the given files."""

    def make(files: Any = None, **changes: Any) -> Path:
        rng, events = np.random.default_rng(0), []
        for number, config in enumerate(RECIPES):
            layers = recorded_layers(config, rng)
            metrics = costs_of(layers) | {"error": ERRORS[number], "latency_ms": TIMES[number]}
            info = {"layers": layers, "latency": latency(TIMES[number])}
            ask = {"event": "ask", "trial": number, "config": config, "source": "dense" if number == 0 else "tpe"}
            events.append(ask | {"seed": 0, "costs": {}, "predicted": None})
            told = {"event": "tell", "trial": number, "state": "COMPLETE", "metrics": metrics, "info": info}
            events.append(told | {"reason": None})
        goals = {"error": "min", "effective_flops": "min", "latency_ms": "min"}
        folder = write_study(tmp_path / "files", events, study_json(objectives=goals, **changes))
        (folder / "final.json").unlink(missing_ok=True)
        if files is not None:
            (folder / "final.json").write_text(json.dumps({"files": files}))
        return folder

    return make


def all_files() -> list[dict[str, Any]]:
    """Files of the dense network and the three others, the last of which could not be written."""
    names = [name for name, *_ in LAYERS]
    runs = {name: "int8" for name in names if name != "head.fc"}
    return [
        file_row(1, 1.0, recorded={"error": 0.025}, notes=["was carried out again"]),
        file_row(None, 1.0, file_bytes=177_000, notes=["was carried out again"]),
        file_row(2, 0.5, runs=runs, latency=latency(0.5, low=0.49, high=0.52)),
        {"name": "trial 3", "trial": 3, "fault": "MismatchError: does not compute what it should"},
    ]


def test_an_interval_is_the_median_and_both_ends() -> None:
    """Nothing where nothing was timed."""
    assert interval(Latency.from_dict(latency(2.0))) == (2.0, 1.98, 2.02)
    assert interval(None) is None


@pytest.mark.parametrize(("value", "text"), [(0.44, "0.440"), (12.34, "12.3"), (1234.5, "1,234"), (0.00123, "0.00123")])
def test_milliseconds_keep_their_last_zeros(value: float, text: str) -> None:
    """All times have as many digits as they are known to."""
    assert milliseconds(value) == text


def test_how_layers_run_is_counted_as_the_exporter_counts_it() -> None:
    """The same words as the exporter's own; layers that it does not name run in fp32."""
    from autoreg.artifacts.onnx.runtime import runs_in_words

    assert running_words((), {"a": "int8", "b": "int8", "c": "fp32"}) == "2 layers int8, 1 layer fp32"
    same = {"a": "fp32", "b": "fp32"}
    assert running_words((), same) == runs_in_words(same) == "2 layers fp32"
    rows = [LayerRecord(n, "Linear", (4, 4), 16, dropped=n == "c") for n in "abcd"]
    layers = layers_of(rows, rows, {"a": "int8", "b": "int4"})
    assert running_words(layers, {"a": "int8", "b": "int4"}) == "1 layer int8, 1 layer int4, 1 layer fp32"
    assert running_words((), {}) == "fp32"


def test_agreement_is_told_in_words_and_never_rounded_up() -> None:
    """One answer of 5,000 that differs is not all."""
    row = {"samples": 500, "top1": 0.998, "max_difference": 0.0812, "scale": 14.2}
    assert agreement_words(row) == "same answer in 99.8\u00a0% of 500 samples, largest difference 0.081 of 14"
    assert agreement_words(row | {"top1": 1.0}).startswith("same answer in all 500 samples")
    assert agreement_words(row | {"top1": 0.9998, "samples": 5000}).startswith("same answer in 99.9\u00a0% of 5,000")
    assert agreement_words(row | {"top1": None}) == "largest difference 0.081 of 14"
    assert agreement_words({}) == ""


def test_layers_know_what_was_cut_and_what_bits_let_expect() -> None:
    """Dropped layers and those that multiply nothing are left out; without a file, bits say how a layer runs."""
    dense = [LayerRecord(n, t, (16, 16), 256) for n, t in (("a", "Linear"), ("b", "Conv2d"))]
    mine = [replace(dense[0], shape=(16, 12), weight_bits=4), replace(dense[1], weight_bits=4)]
    mine += [LayerRecord("c", macs=9, dropped=True), LayerRecord("e", shape=(9, 9))]
    found = layers_of(mine, dense, None)
    assert [(x.name, x.cut, x.runs) for x in found] == [("a", (12,), "int4"), ("b", (), "fp32")]
    bytes_ = [replace(row, weight_bits=8, activation_bits=8) for row in dense]
    assert [x.runs for x in layers_of(bytes_, dense, None)] == ["int8", "int8"]


def test_files_are_read_with_the_dense_one_first(make_files: Callable[..., Path]) -> None:
    """Rows come back as they were written; a study without them, or with nonsense, has none."""
    rows = file_rows(StudyData.load(make_files(all_files())))
    assert [row.trial for row in rows] == [None, 1, 2, 3]
    assert rows[2].ms == (0.5, 0.49, 0.52)
    assert rows[3].fault.startswith("MismatchError")
    assert file_rows(StudyData.load(make_files())) == []
    assert file_rows(StudyData.load(make_files("none"))) == []
    nonsense = file_rows(StudyData.load(make_files([None, {"runs": 3, "latency": [], "file_bytes": "many"}])))
    assert [(row.name, row.runs, row.ms, row.file_bytes) for row in nonsense] == [("dense", {}, None, None)]


def test_a_file_is_compared_with_the_dense_file(make_files: Callable[..., Path]) -> None:
    """Shares of FLOPs are those of the trial, times those of the files, the interval the widest of both."""
    data = StudyData.load(make_files(all_files()))
    comparer, rows = Comparer.of(data), file_rows(data)
    zeros, eight = comparer.file(rows[1], rows[0]), comparer.file(rows[2], rows[0])
    assert zeros is not None
    assert eight is not None
    assert (zeros.flops, zeros.time, zeros.zeros, zeros.twin) == (1.0, 1.0, "2:4", (0, 1.0))
    assert zeros.effective == pytest.approx(0.5, abs=0.02)
    assert (eight.time, eight.low, eight.high) == pytest.approx((0.5, 0.49 / 1.01, 0.52 / 0.99))
    assert eight.twin == (0, 0.5)
    assert [layer.runs for layer in eight.layers] == ["int8"] * 8 + ["fp32"]
    assert "2:4 zeros" in reasons(zeros)[0]
    assert "In integers it takes 50\u00a0% less time" in reasons(eight)[-1]
    assert comparer.file(rows[3], rows[0]) is None
    assert comparer.file(rows[1], None) is None


def test_the_page_shows_each_file_with_its_numbers_and_why(make_files: Callable[..., Path]) -> None:
    """Device and runtime stand there once; sizes, times, ratios, words and faults beside each file."""
    page = page_of(make_files(all_files()))
    for words in (
        "What leaves",
        "60,611",
        "177,000",
        "0.500 (0.490 to 0.520)",
        "2.00×",
        "8 layers int8, 1 layer fp32",
        "0.02 (recorded 0.025)",
        "same answer in 99.8\u00a0% of 500 samples",
        "points of FLOPs saved are 2:4 zeros",
        "Effective FLOPs: as dense; time: 50\u00a0% saved.",
        "There is no file: MismatchError: does not compute what it should",
        "dense, trial 1: was carried out again",
    ):
        assert words in page.words, words
    assert page.words.count("onnxruntime 1.31 CPU on some processor") == 1
    assert "do not trust these times" not in page.words
    assert "Costs beside time" not in page.words


def test_a_disturbed_machine_and_a_missing_dense_file_are_told(make_files: Callable[..., Path]) -> None:
    """Then the times are not to be trusted, or there is nothing to compare with."""
    rows = [file_row(1, 1.0, latency=latency(1.0, noisy=True))]
    section = files_section(StudyData.load(make_files(rows)))
    assert "do not trust these times" in section
    assert "there is nothing to compare with" in section
    assert "×" not in section


def test_files_hold_no_markup(make_files: Callable[..., Path]) -> None:
    """Whatever a row says is text."""
    row = file_row(1, 1.0, name=EVIL, file=EVIL, runs={"stem.conv": EVIL}, notes=[EVIL])
    fault = {"name": EVIL, "trial": 2, "fault": EVIL}
    device = file_row(None, 1.0, latency=latency(1.0, device=EVIL, runtime=EVIL))
    page = page_of(make_files([row, fault, device]))
    assert not [script for script in page.scripts if script.startswith("alert")]
    assert page.words.count(EVIL) >= 5


def test_before_there_are_files_the_trials_times_speak(make_files: Callable[..., Path]) -> None:
    """Members whose zeros brought no time are named; once files say it, the section goes."""
    data = StudyData.load(make_files())
    notes = time_notes(data, front_rows(data))
    zeros = next(note for note in notes if note.startswith("Trial 1 (2:4 magnitude): Effective FLOPs: 49"))
    assert "time: no measurable difference." in zeros
    assert "points of FLOPs saved are 2:4 zeros" in zeros
    assert not any(note.startswith("Trial 0") for note in notes)
    assert zeros in time_section(data, front_rows(data))
    later = StudyData.load(make_files(all_files()))
    assert time_section(later, front_rows(later)) == ""


def test_a_front_whose_time_followed_says_so(make_study: MakeStudy) -> None:
    """The dense recipe alone has nothing to explain."""
    data = StudyData.load(make_study(1))
    assert "On this front time followed the other costs." in time_section(data, front_rows(data))
    assert files_section(data) == ""


def test_the_front_lists_size_and_time_of_files(make_files: Callable[..., Path]) -> None:
    """In JSON as `file`, in CSV as four columns, in the table as two; without files as before."""
    data = StudyData.load(make_files(all_files()))
    found = {member["trial"]: member["file"] for member in json.loads(format_front(data, "json"))["front"]}
    assert found[2] == {"name": "trial-2.onnx", "bytes": 60_611, "ms": 0.5, "low": 0.49, "high": 0.52}
    assert found[3] == {}
    lines = {int(r["trial"]): r for r in csv.DictReader(io.StringIO(format_front(data, "csv")))}
    names = ("file_bytes", "file_ms", "file_ms.low", "file_ms.high")
    assert [lines[2][n] for n in names] == ["60611", "0.5", "0.49", "0.52"]
    assert [lines[3][n] for n in names] == [""] * 4
    assert "0.500 (0.490 to 0.520)" in format_front(data, width=200)
    narrow = format_front(data, width=110)
    assert "file ms" in narrow
    assert "0.500" in narrow
    assert "file ms" not in format_front(data, width=80)
    without = StudyData.load(make_files([]))
    assert "file" not in format_front(without, "csv").splitlines()[0]
    assert "file ms" not in format_front(without, width=200)


@pytest.mark.parametrize("width", [80, 90, 100, 110, 125, 160])
def test_no_character_of_a_recipe_is_cut_off(make_files: Callable[..., Path], width: int) -> None:
    """Whatever the width, each word of each phrase is there; no line is wider."""
    data = StudyData.load(make_files(all_files()))
    text = format_front(data, width=width)
    assert max(map(len, text.splitlines())) <= width
    for row in front_rows(data):
        assert all(word in text for word in row.phrase.split()), row.phrase
