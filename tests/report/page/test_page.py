"""The report as files: what is in them, whatever state the study is in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pandas as pd
import pytest

from autoreg.report.data.front import front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.page.environment import page_environment
from autoreg.report.page.sections import summary_cards
from autoreg.report.plots.interactive import plotly_source
from autoreg.report.write import write_report
from tests.report.conftest import make_events, study_json, write_study

MakeStudy = Callable[..., Path]
EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """Checks that elements close in order, and collects texts, attributes and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.attributes += [(tag, k, v or "") for k, v in attrs]
        self.ids += [v for k, v in attrs if k == "id" and v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close an element; it must be the innermost."""
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        """Collect text, scripts apart."""
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words += data


def page_of(folder: Path) -> Page:
    """Write the report of a folder and read its page."""
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert page.wrong == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    return page


def test_a_report_has_page_tables_and_pictures(make_study: MakeStudy) -> None:
    """All files of the design are there, nothing half-written is left, and pictures are PNGs."""
    folder = make_study(30, final=True)
    path = write_report(folder)
    assert path == folder / "report.html"
    names = {p.name for p in folder.iterdir()}
    assert {"report.html", "front.csv", "trials.parquet", "plots"} <= names
    pictures = {p.name for p in (folder / "plots").iterdir()}
    assert pictures == {
        *(f"front_error_{c}.png" for c in ("flops", "latency-ms", "effective-flops", "bops", "bytes")),
        "front_latency-ms_flops.png",
        *(f"{n}.png" for n in ("hypervolume", "cost", "importance", "predictor", "layers")),
    }
    assert all(p.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for p in (folder / "plots").iterdir())
    assert not [n for n in (*names, *pictures) if n.startswith(".")]


def test_front_csv_is_the_front(make_study: MakeStudy) -> None:
    """The file lists just the trials that no other dominates, found here by brute force."""
    folder = make_study(30)
    write_report(folder)
    rows = StudyData.load(folder).trials.query("state == 'COMPLETE'")
    points = {int(r["number"]): (r["error"], r["flops"], r["latency_ms"]) for _, r in rows.iterrows()}
    expected = {
        n
        for n, p in points.items()
        if not any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points.values())
    }
    assert set(pd.read_csv(folder / "front.csv")["trial"]) == expected


def test_trials_parquet_holds_every_trial_with_typed_columns(make_study: MakeStudy) -> None:
    """Bookkeeping, metrics and parameters come back with their types."""
    folder = make_study(30)
    write_report(folder)
    table = pd.read_parquet(folder / "trials.parquet")
    assert len(table) == 30
    assert {"number", "state", "source", "error", "flops", "sparsity", "training.lr", "on_front"} <= set(table.columns)
    assert table["on_front"].dtype == bool
    assert table["training.lr"].dtype == float
    assert table["quantization.weights.bits"].dtype == "Int64"


def test_the_page_loads_nothing_from_anywhere(make_study: MakeStudy) -> None:
    """No attribute points to a network address, and the page's own policy forbids it."""
    page = page_of(make_study(30, final=True))
    loads = [(t, k, v) for t, k, v in page.attributes if k in ("src", "href", "srcset", "action", "data", "poster")]
    assert loads
    assert [v[:60] for _, _, v in loads if not v.startswith(("data:image/png;base64,", "#"))] == []
    policy = next(v for t, k, v in page.attributes if k == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'")
    assert "@import" not in page.words
    assert page.scripts[0] == plotly_source()  # as it is: escaped it would not run


def test_a_final_json_with_halves_of_characters_has_a_page(make_study: MakeStudy) -> None:
    """As studies of older versions hold them: in a baseline's reason, a fault and a note of a file."""
    folder = make_study(12, final=True, task_note="name: \udce9")
    final = json.loads((folder / "final.json").read_text())
    final["baselines"].append({"name": "late", "config": {}, "metrics": {}, "test": None, "reason": "reason: \udce9"})
    final["files"] = [{"name": "trial 1", "trial": 1, "fault": "fault: \udce9", "notes": ["note: \udce9"]}]
    (folder / "final.json").write_text(json.dumps(final))
    page = write_report(folder).read_text(encoding="utf-8")
    assert "name: \\udce9" in page
    assert "fault: \\udce9" in page


def test_whatever_a_file_says_is_text_on_the_page(make_study: MakeStudy) -> None:
    """A name, a note, a task, a reason and a label that look like scripts stay words."""
    folder = make_study(
        30, final=True, name=EVIL, task_note=EVIL, task={"name": EVIL, "params": {EVIL: EVIL}}, machine={EVIL: EVIL}
    )
    text = (folder / "events.jsonl").read_text()
    evil = json.dumps(EVIL)[1:-1]
    text = text.replace("RuntimeError: out of memory", evil).replace('"group": "filter"', f'"group": "{evil}"')
    (folder / "events.jsonl").write_text(text)
    final = (
        (folder / "final.json").read_text().replace("speaker_a", evil).replace('"name": "int8"', f'"name": "{evil}"')
    )
    (folder / "final.json").write_text(final)
    page = page_of(folder)
    assert not [s for s in page.scripts if s.startswith("alert")]
    assert page.words.count(EVIL) >= 6
    assert len(page.scripts) == 3


def test_the_data_of_the_picture_is_json_with_every_point(make_study: MakeStudy) -> None:
    """The script's data names the metrics and holds all complete trials, the front apart."""
    folder = make_study(30, final=True)
    page = page_of(folder)
    found = next(json.loads(s) for s in page.scripts if s.startswith('{"metrics"'))
    groups = {g["name"]: g["points"] for g in found["groups"]}
    data = StudyData.load(folder)
    shown = [*groups["front"], *groups["baseline on the front"]]
    assert {p["label"] for p in shown} == {"dense", *(f"trial {n}" for n in data.front["number"] if n)}
    left = groups["left the front with fresh seeds"]
    assert len(shown) + len(left) + len(groups["dominated"]) == len(data.complete)
    assert {p["label"] for p in groups["baseline"]} == {"int8"}
    fresh = {m.trial: m.validation.mean["error"] for m in data.final.members if m.validation is not None}
    names = {"dense" if number == 0 else f"trial {number}": error for number, error in fresh.items()}
    assert {p["label"]: p["values"]["error"] for p in shown + left} == names
    assert (found["x"], found["y"]) == ("flops", "error")


def test_the_page_has_setup_front_and_search_cost(make_study: MakeStudy) -> None:
    """Task, note, baselines, fresh seeds, test data and search cost all stand on the page."""
    page = page_of(make_study(30, final=True))
    for words in (
        "Accuracy is nearly saturated here: size and time are the point.",
        "digits (train_images: 400)",
        "baseline: int8",
        "re-evaluated with 3 fresh seeds",
        "Left the front with fresh seeds",
        "No member is as good as the dense network",
        "Optimism: over the 3 members",
        "test: speaker_b",
        "dense trainings",
        "Latency is that of an untrained network with the recipe's architecture and bits, exported",
        "loss is not finite in epoch 2",
        "2025-11-21T10:00:00, after 30 trials",
        "Kendall tau",
    ):
        assert words in page.words, words
    assert "Warning." not in page.words


def test_the_count_of_the_front_is_that_of_its_rows(make_study: MakeStudy) -> None:
    """Baselines on it are counted with it, what left it is counted apart."""
    folder = make_study(30, final=True)
    final = json.loads((folder / "final.json").read_text())
    final["baselines"][1]["on_final_front"] = True
    (folder / "final.json").write_text(json.dumps(final))
    data = StudyData.load(folder)
    card = next(card for card in summary_cards(data, front_rows(data), None) if card.name == "on the front")
    assert (card.value, card.remark) == (str(len(data.front) + 1), "2 baselines among them, 1 left it")


def test_a_study_without_any_event_is_reported(tmp_path: Path) -> None:
    """Before the first trial the page says so, and the tables are empty."""
    folder = write_study(tmp_path / "s", [], study_json())
    (folder / "events.jsonl").unlink()
    assert "no trial has started yet" in page_of(folder).words
    assert pd.read_parquet(folder / "trials.parquet").empty
    assert pd.read_csv(folder / "front.csv").empty


def test_a_study_in_which_everything_failed_is_reported(tmp_path: Path) -> None:
    """The page says that no trial is complete, and why."""
    events = make_events(6)
    for event in events:
        if event["event"] == "tell":
            event.update(state="FAIL", metrics={}, reason="CUDA out of memory")
    page = page_of(write_study(tmp_path / "s", events, study_json()))
    assert "no trial is complete so far (6 failed)" in page.words
    assert "CUDA out of memory" in page.words


@pytest.mark.parametrize("trials", [1, 3])
def test_a_study_of_few_trials_is_reported(make_study: MakeStudy, trials: int) -> None:
    """One trial is a front of one; importance says how many trials it needs."""
    page = page_of(make_study(trials))
    assert f"Importance of parameters: 12 complete trials are needed, there are {trials}." in page.words


def test_a_study_of_a_python_objective_is_reported(python_study: Path) -> None:
    """Without task, layers or known costs the page still has its front and pictures."""
    page = page_of(python_study)
    assert "Python objective" in page.words
    assert "Layers" not in page.words
    assert {p.name for p in (python_study / "plots").iterdir()} == {
        "front_score_price.png",
        "hypervolume.png",
        "importance.png",
    }


def test_thousands_of_trials_are_thinned_on_the_page_and_whole_in_the_table(make_study: MakeStudy) -> None:
    """Faint points are thinned, the front never."""
    folder = make_study(2600)
    page = page_of(folder)
    found = next(json.loads(s) for s in page.scripts if s.startswith('{"metrics"'))
    groups = {g["name"]: g["points"] for g in found["groups"]}
    data = StudyData.load(folder)
    assert len(groups["front"]) == len(data.front)
    assert len(groups["dominated"]) <= 1500 < len(data.complete)
    assert len(pd.read_parquet(folder / "trials.parquet")) == 2600


def test_a_second_report_replaces_the_first(make_study: MakeStudy) -> None:
    """Pictures that are no longer drawn go; the page is the same for the same study."""
    folder = make_study(30)
    first = write_report(folder).read_bytes()
    (folder / "plots" / "front_error_old.png").write_bytes(b"")
    assert write_report(folder).read_bytes() == first
    assert not (folder / "plots" / "front_error_old.png").exists()


def test_a_metric_called_seconds_does_not_hide_the_column_of_trials(tmp_path: Path) -> None:
    """An objective may have the name of an effort column; both are there."""
    events = []
    for n in range(3):
        events.append({"event": "ask", "trial": n, "config": {"x": n}, "source": "tpe", "seed": 0, "costs": {}})
        tell = {
            "event": "tell",
            "trial": n,
            "state": "COMPLETE",
            "metrics": {"seconds": 5.0 - n, "loss": n},
            "info": {"seconds": 9.0},
        }
        events.append(tell)
    folder = write_study(tmp_path / "s", events, {"objectives": {"seconds": "min", "loss": "min"}})
    page_of(folder)
    table = pd.read_parquet(folder / "trials.parquet")
    assert table["seconds"].tolist() == [5.0, 4.0, 3.0]
    assert table["trial.seconds"].tolist() == [9.0] * 3


def test_every_plot_label_can_be_read_back_from_names(make_study: MakeStudy) -> None:
    """Names of files are made of letters, digits, dots, dashes and one underscore between parts."""
    folder = make_study(30)
    write_report(folder)
    assert all(re.fullmatch(r"[a-z]+(_[a-z-]+)*\.png", p.name) for p in (folder / "plots").iterdir())


def test_json_inside_a_script_cannot_end_it() -> None:
    """Whatever a string holds, the element ends where the page ends it, and the JSON reads back the same."""
    value = {"name": "</script><!--", "also": "a & b > c"}
    text = page_environment().from_string("{{ value | tojson }}").render(value=value)
    assert "<" not in text
    assert json.loads(text) == value


def test_a_template_escapes_values_and_refuses_names_that_are_missing() -> None:
    """Markup in a value is text, in an element and in an attribute; a typing error in a template is no empty cell."""
    template = page_environment().from_string('<p title="{{ value }}">{{ value }}</p>')
    page = Page(template.render(value=EVIL))
    assert page.attributes == [("p", "title", EVIL)]
    assert page.words == EVIL
    with pytest.raises(jinja2.UndefinedError, match="value"):
        template.render()


def test_templates_style_and_script_are_in_the_wheel(tmp_path: Path) -> None:
    """What the page is made of stands in the package that is installed, not only in the repository."""
    root = Path(__file__).parents[3]
    wheel = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", wheel, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    names = zipfile.ZipFile(tmp_path / built.stdout.strip().splitlines()[-1]).namelist()
    folder = root / "autoreg" / "report" / "page" / "templates"
    assert {f"autoreg/report/page/templates/{path.name}" for path in folder.iterdir()} <= set(names)
    assert {"page.html", "style.css", "front.js"} <= {path.name for path in folder.iterdir()}
