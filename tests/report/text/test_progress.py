"""Progress of a running search."""

from __future__ import annotations

import io

import pytest

from autoreg.report.text.progress import SearchProgress, bar_text, duration, summary_line

SUMMARY = {
    "done": 20,
    "total": 60,
    "stopped": 5,
    "failed": 1,
    "running": 2,
    "front": 7,
    "hypervolume": 0.41234,
    "epochs_run": 180.0,
    "seconds_left": 75,
}


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_a_summary_is_one_line() -> None:
    """Ended trials count, however they ended; the rest follows."""
    line = summary_line(SUMMARY)
    assert (
        line == "26/60 trials · 2 running · 5 pruned · 1 failed · front 7 · hypervolume 0.4123 · 180 epochs · 1:15 left"
    )
    assert bar_text(SUMMARY) == "2 running · 5 pruned · 1 failed · front 7 · hypervolume 0.4123 · 180 epochs"


def test_unknown_figures_are_left_out() -> None:
    """A search bounded by time has no total; other work names itself."""
    assert summary_line({"done": 3, "total": None, "hypervolume": None}) == "3 trials"
    assert summary_line({"what": "baselines", "done": 3, "total": 9}) == "baselines · 3/9"
    assert bar_text({"what": "baselines", "done": 3, "total": 9}) == "baselines"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (65, "1:05"), (7389, "2:03:09"), (None, ""), (float("inf"), "")]
)
def test_durations_are_written_as_clocks(seconds: float | None, text: str) -> None:
    """Minutes and seconds, hours when there are some, nothing when unknown."""
    assert duration(seconds) == text


def test_without_a_terminal_lines_come_now_and_then_and_at_the_end() -> None:
    """Of updates at 0, 1, 6 and 7 seconds the first, the third and the last are written."""
    now = 0.0
    out = io.StringIO()
    with SearchProgress(out, every=5, clock=lambda: now) as progress:
        for done, now in enumerate((0.0, 1.0, 6.0, 7.0)):  # noqa: B007
            progress.update({"done": done, "total": 9})
    assert out.getvalue().splitlines() == ["0/9 trials", "2/9 trials", "3/9 trials"]


def test_the_last_line_is_not_written_twice() -> None:
    """What is already there stands."""
    out = io.StringIO()
    with SearchProgress(out) as progress:
        progress.update({"done": 1, "total": 9})
    assert out.getvalue() == "1/9 trials\n"


def test_in_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The live bar shows ended trials of the total, and the figures."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with SearchProgress(out) as progress:
        progress.update(SUMMARY)
    written = out.getvalue()
    assert "26/60" in written
    assert "front 7" in written
    assert "1:15 left" in written
