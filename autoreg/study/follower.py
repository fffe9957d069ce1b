"""What follows a running engine: the Optuna view, written behind, and the progress that people see."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autoreg.engine.engine import Engine
from autoreg.engine.log.optuna_view import OptunaView
from autoreg.report.text.progress import SearchProgress

if TYPE_CHECKING:
    from autoreg.space import Space


class Follower:
    """Called after events of an engine; closes with everything written.

    Args:
        engine: the engine that is followed; what its log holds already is written at once.
        view: the Optuna view, None for none.
        progress: whether a progress bar is shown.
    """

    def __init__(self, engine: Engine, view: OptunaView | None, *, progress: bool) -> None:
        self._engine, self._view = engine, view
        self._bar: SearchProgress | None = None
        if progress:
            self._bar = SearchProgress()
        self._ended = -1

    def __enter__(self) -> Follower:
        if self._bar is not None:
            self._bar.__enter__()
        self(self._engine)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self(self._engine)
        finally:
            if self._bar is not None:
                self._bar.__exit__(kind, error, trace)

    def __call__(self, engine: Engine) -> None:
        """Bring view and bar up to date."""
        summary = engine.summary()
        ended = summary["done"] + summary["stopped"] + summary["failed"]
        if self._view is not None and ended != self._ended:
            self._ended = ended
            try:
                self._view.sync(engine.state.records)
            except Exception as error:  # a view must never end a search: the log is the truth
                self._view = None
                print(f"Optuna's view is not written any more ({type(error).__name__}: {error})", file=sys.stderr)
        if self._bar is not None:
            self._bar.update(progress_of(summary))


def open_view(storage: str, name: str, objectives: Mapping[str, Any], space: Space) -> OptunaView:
    """Open Optuna's view of a study; a journal file that a kill or a full disk has torn is written anew.

    Raises:
        InputError: the storage cannot be opened.
    """
    try:
        return OptunaView(storage, name, objectives, space)
    except ValueError:  # JSON that ends in mid-line
        if "://" in storage:
            raise
        os.replace(storage, f"{storage}.torn")
        return OptunaView(storage, name, objectives, space)


def progress_of(summary: dict[str, Any]) -> dict[str, Any]:
    """An engine's summary in the words of the progress bar."""
    return {
        **summary,
        "total": summary["trials"],
        "epochs_run": summary["epochs"],
        "seconds_left": summary["time_left"],
    }
