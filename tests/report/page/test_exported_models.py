"""Exported models: what is read of final.json, and what the page and the front show of them."""

from __future__ import annotations

import copy
import csv
import html
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.report.data.dense_reference import DenseComparison, computed_layers
from autoreg.report.data.exported_model import OutputAgreement
from autoreg.report.data.front import front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.page.exported_models import exported_section, time_section
from autoreg.report.text.exported_models import agreement_phrase, precision_phrase
from autoreg.report.text.front import format_front
from autoreg.report.text.metrics import format_milliseconds
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.time_reasons import reasons, time_notes
from autoreg.report.write import write_report
from autoreg.trial_info import LayerRecord
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


SPARSE: dict[str, Any] = {"2:4": {"criterion": {"magnitude": {}}, "schedule": {"one_shot": {}}}}
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
    row: dict[str, Any] = {
        "name": name,
        "trial": trial,
        "file": f"{name.replace(' ', '-')}.onnx",
        "format": "onnx",
        "runs": {},
    }
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
            tell = {"event": "tell", "trial": number, "state": "COMPLETE", "metrics": metrics, "info": info}
            events.append(tell | {"reason": None})
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
        file_row(1, 1.0, recorded={"error": 0.025}, notes=["was trained again"]),
        file_row(None, 1.0, file_bytes=177_000, notes=["was trained again"]),
        file_row(2, 0.5, runs=runs, latency=latency(0.5, low=0.49, high=0.52)),
        {"name": "trial 3", "trial": 3, "fault": "MismatchError: does not compute what it should"},
    ]


@pytest.mark.parametrize(("value", "text"), [(0.44, "0.440"), (12.34, "12.3"), (1234.5, "1,234"), (0.00123, "0.00123")])
def test_milliseconds_keep_their_last_zeros(value: float, text: str) -> None:
    """All times have as many digits as they are known to."""
    assert format_milliseconds(value) == text


def test_the_precision_of_layers_is_counted_as_the_exporter_counts_it() -> None:
    """The same words as the exporter's own; layers that it does not name are in fp32."""
    from autoreg.artifacts.onnx.runtime import runs_in_words

    assert precision_phrase((), {"a": "int8", "b": "int8", "c": "fp32"}) == "2 layers int8, 1 layer fp32"
    same = {"a": "fp32", "b": "fp32"}
    assert precision_phrase((), same) == runs_in_words(same) == "2 layers fp32"
    rows = [LayerRecord(n, "Linear", (4, 4), macs=16, dropped=n == "c") for n in "abcd"]
    layers = computed_layers(rows, rows, {"a": "int8", "b": "int4"})
    assert precision_phrase(layers, {"a": "int8", "b": "int4"}) == "1 layer int8, 1 layer int4, 1 layer fp32"
    assert precision_phrase((), {}) == "fp32"


def test_agreement_is_never_rounded_up() -> None:
    """One prediction of 5,000 that differs is not all."""
    found = OutputAgreement.from_json({"samples": 500, "top1": 0.998, "max_difference": 0.0812, "scale": 14.2})
    text = "same prediction for 99.8\u00a0% of 500 samples, largest difference 0.081 (outputs up to 14)"
    assert agreement_phrase(found) == text
    assert agreement_phrase(replace(found, top1=1.0)).startswith("same prediction for all 500 samples")
    nearly = agreement_phrase(replace(found, top1=0.9998, samples=5000))
    assert nearly.startswith("same prediction for 99.9\u00a0% of 5,000")
    assert agreement_phrase(replace(found, top1=None)) == "largest difference 0.081 (outputs up to 14)"
    assert agreement_phrase(OutputAgreement.from_json("nonsense")) == ""


def test_layers_know_what_was_removed_and_the_precision_that_bits_imply() -> None:
    """Dropped layers and those that multiply nothing are left out; without an export, bits imply the precision."""
    dense = [LayerRecord(n, t, (16, 16), macs=256) for n, t in (("a", "Linear"), ("b", "Conv2d"))]
    mine = [replace(dense[0], shape=(16, 12), weight_bits=4), replace(dense[1], weight_bits=4)]
    mine += [LayerRecord("c", dropped=True), LayerRecord("e", shape=(9, 9))]
    found = computed_layers(mine, dense, None)
    assert [(x.name, x.reduced, x.precision) for x in found] == [("a", (12,), "int4"), ("b", (), "fp32")]
    eight = [replace(layer, weight_bits=8, activation_bits=8) for layer in dense]
    assert [x.precision for x in computed_layers(eight, dense, None)] == ["int8", "int8"]


def test_exported_models_are_read_with_the_dense_one_first(make_files: Callable[..., Path]) -> None:
    """Rows come back as they were written; a study without them, or with nonsense, has none."""
    models = StudyData.load(make_files(all_files())).final.exported
    assert [model.trial for model in models] == [None, 1, 2, 3]
    timed = models[2].latency
    assert timed is not None
    assert (timed.ms, timed.low, timed.high) == (0.5, 0.49, 0.52)
    assert models[3].error.startswith("MismatchError")
    assert StudyData.load(make_files()).final.exported == ()
    assert StudyData.load(make_files("none")).final.exported == ()
    nonsense = [None, {"runs": 3, "latency": [], "file_bytes": "many"}]
    (model,) = StudyData.load(make_files(nonsense)).final.exported
    assert (model.name, model.precision, model.latency, model.file_bytes) == ("dense", {}, None, None)


def test_an_exported_model_is_compared_with_the_dense_one(make_files: Callable[..., Path]) -> None:
    """FLOPs are those of the trial, times those of the exported models, the interval the widest of both."""
    data = StudyData.load(make_files(all_files()))
    reference, models = DenseComparison.of(data), data.final.exported
    zeros, eight = (reference.compare_exported(models[n], models[0]) for n in (1, 2))
    assert zeros is not None
    assert eight is not None
    assert (zeros.flops, zeros.time, zeros.zeros, zeros.fp32_counterpart) == (1.0, 1.0, "2:4", (0, 1.0))
    assert zeros.effective_flops == pytest.approx(0.5, abs=0.02)
    assert (eight.time, eight.low, eight.high) == pytest.approx((0.5, 0.49 / 1.01, 0.52 / 0.99))
    assert eight.fp32_counterpart == (0, 0.5)
    assert [layer.precision for layer in eight.layers] == ["int8"] * 8 + ["fp32"]
    assert "2:4 zeros" in reasons(zeros)[0]
    assert "In integers it takes 50\u00a0% less time" in reasons(eight)[-1]
    assert reference.compare_exported(models[3], models[0]) is None
    assert reference.compare_exported(models[1], None) is None


def test_the_page_shows_each_exported_model_with_its_numbers_and_why(make_files: Callable[..., Path]) -> None:
    """Device and runtime stand there once; sizes, times, ratios, words and faults beside each file."""
    page = page_of(make_files(all_files()))
    for words in (
        "Exported models",
        "60,611",
        "177,000",
        "0.500 (0.490 to 0.520)",
        "2.00×",
        "8 layers int8, 1 layer fp32",
        "0.02 (trial: 0.025)",
        "same prediction for 99.8\u00a0% of 500 samples",
        "points of FLOPs saved are 2:4 zeros",
        "Effective FLOPs: as dense; time: 50\u00a0% saved.",
        "The export failed: MismatchError: does not compute what it should",
        "dense, trial 1: was trained again",
    ):
        assert words in page.words, words
    assert page.words.count("onnxruntime 1.31 CPU on some processor") == 1
    assert "do not trust these times" not in page.words
    assert "Latency against other costs" not in page.words


def test_the_page_warns_of_noisy_times_and_of_a_missing_dense_model(make_files: Callable[..., Path]) -> None:
    """Then the times are not to be trusted, or there is nothing to compare with."""
    rows = [file_row(1, 1.0, latency=latency(1.0, noisy=True))]
    section = exported_section(StudyData.load(make_files(rows)))
    assert section is not None
    text = " ".join(section.sentences)
    assert "do not trust these times" in text
    assert "there is no speed-up to show" in text
    (row,) = section.table.rows
    assert not any("×" in cell.text for cell in row.cells)
    assert any(cell.text.endswith(", noisy") for cell in row.cells)


def test_exported_models_hold_no_markup(make_files: Callable[..., Path]) -> None:
    """Whatever a row says is text."""
    row = file_row(1, 1.0, name=EVIL, file=EVIL, runs={"stem.conv": EVIL}, notes=[EVIL])
    fault = {"name": EVIL, "trial": 2, "fault": EVIL}
    device = file_row(None, 1.0, latency=latency(1.0, device=EVIL, runtime=EVIL))
    page = page_of(make_files([row, fault, device]))
    assert not [script for script in page.scripts if script.startswith("alert")]
    assert page.words.count(EVIL) >= 5


def test_before_the_export_times_are_those_of_the_trials(make_files: Callable[..., Path]) -> None:
    """Members whose zeros brought no time are named; once models are exported, the section goes."""
    data = StudyData.load(make_files())
    notes = time_notes(data, front_rows(data))
    zeros = next(note for note in notes if note.startswith("Trial 1 (2:4 magnitude): Effective FLOPs: 49"))
    assert "time: no measurable difference." in zeros
    assert "points of FLOPs saved are 2:4 zeros" in zeros
    assert not any(note.startswith("Trial 0") for note in notes)
    section = time_section(data, front_rows(data))
    assert section is not None
    assert zeros in section.notes
    assert html.escape(zeros) in write_report(data.folder).read_text(encoding="utf-8")
    later = StudyData.load(make_files(all_files()))
    assert time_section(later, front_rows(later)) is None


def test_a_front_whose_time_followed_says_so(make_study: MakeStudy) -> None:
    """The dense recipe alone has nothing to explain."""
    data = StudyData.load(make_study(1))
    assert "On this front time followed the other costs." in page_of(data.folder).words
    assert exported_section(data) is None


def test_the_front_lists_size_and_time_of_exported_models(make_files: Callable[..., Path]) -> None:
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
        assert all(word in text for word in recipe_phrase(row.recipe).split()), row.recipe
