"""Progress of a running search: a bar in a terminal, one plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def duration(seconds: float | None) -> str:
    """`1:05` or `2:03:09`; empty when unknown."""
    if seconds is None or seconds != seconds or seconds < 0 or seconds == float("inf"):
        return ""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def ended(summary: Mapping[str, Any]) -> int:
    """How many trials have ended, however they did."""
    return sum(int(summary.get(key) or 0) for key in ("done", "stopped", "failed"))


def summary_line(summary: Mapping[str, Any]) -> str:
    """One line from a summary of the search.

    Args:
        summary: `done`, `total`, `stopped`, `failed`, `running`, `front` (counts), `hypervolume`, `epochs_run`,
            `seconds_left`, and `what`, the name of the work when it is no search. Every key may be missing or None.
            `done` counts complete trials, so that done + stopped + failed of total have ended; `total` is None for a
            search that is bounded by time alone.
    """
    total = summary.get("total")
    parts = [str(summary["what"])] if summary.get("what") else []
    count = f"{ended(summary)}/{total}" if total else str(ended(summary))
    parts.append(count if parts else f"{count} trials")
    words = {"running": "running", "stopped": "pruned", "failed": "failed"}
    parts += [f"{summary[key]} {word}" for key, word in words.items() if summary.get(key)]
    if summary.get("front") is not None:
        parts.append(f"front {summary['front']}")
    if summary.get("hypervolume") is not None:
        parts.append(f"hypervolume {summary['hypervolume']:.4f}")
    if summary.get("epochs_run"):
        parts.append(f"{summary['epochs_run']:.0f} epochs")
    left = duration(summary.get("seconds_left"))
    return " · ".join([*parts, f"{left} left"] if left else parts)


def bar_text(summary: Mapping[str, Any]) -> str:
    """The text beside the bar: the line without the count that the bar itself shows."""
    parts = summary_line({**summary, "seconds_left": None}).split(" · ")
    del parts[1 if summary.get("what") else 0]
    return " · ".join(parts)


class SearchProgress:
    """Shows the summaries that it is given.

    In a terminal it is one live bar. Elsewhere (a log file, CI) it writes one line at most every `every`
    seconds, and a last one at the end. Nothing is written to a stream that is not this one.

    Args:
        stream: where to write, by default standard error.
        every: seconds between plain lines.
        clock: seconds that only go up.

    Example:
        >>> import io
        >>> out = io.StringIO()
        >>> with SearchProgress(out) as progress:
        ...     progress.update({"done": 3, "total": 60, "front": 2, "hypervolume": 0.25})
        >>> out.getvalue()
        '3/60 trials · front 2 · hypervolume 0.2500\\n'
    """

    def __init__(
        self, stream: TextIO | None = None, every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._every = every
        self._clock = clock
        self._written_at: float | None = None
        self._written = ""
        self._latest = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> SearchProgress:
        from rich.console import Console

        console = Console(file=self._stream)
        if console.is_terminal:
            self._bar = _bar(console)
            self._bar.start()
            self._task = self._bar.add_task("", total=None, text="starting", left="")
        return self

    def update(self, summary: Mapping[str, Any]) -> None:
        """Show a newer summary; cheap enough to be called after every event."""
        self._latest = summary_line(summary)
        if self._bar is not None and self._task is not None:
            left = duration(summary.get("seconds_left"))
            self._bar.update(
                self._task,
                completed=ended(summary),
                total=summary.get("total") or None,
                text=bar_text(summary),
                left=f"{left} left" if left else "",
            )
            return
        now = self._clock()
        if self._written_at is None or now - self._written_at >= self._every:
            self._write(now)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._latest and self._latest != self._written:
            self._write(self._clock())

    def _write(self, now: float) -> None:
        self._written_at, self._written = now, self._latest
        self._stream.write(self._latest + "\n")
        self._stream.flush()


def _bar(console: Any) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=console,
        transient=False,
    )
