"""A study as Optuna shows it, written behind the engine's own log.

`optuna-dashboard` and Optuna's plots open it. It is a view: nothing is read back from it but
which trials it holds already.
"""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoreg.engine.log.records import Record
from autoreg.engine.samplers.tpe import contains, distribution, on_grid, quiet
from autoreg.errors import InputError, StudyError

if TYPE_CHECKING:
    from autoreg.space import Space

NUMBER = "trial"
"""User attribute that holds our number of a trial: Optuna numbers trials in the order in which they are added."""
LOCK_FILE_SUFFIX = ".lock"
"""What Optuna adds to a journal file's name for its lock."""
LOCK_GRACE_SECONDS = 5
"""A lock of a journal file that does not change for so long was left behind: one writer holds it for milliseconds."""
SUMMARY = ("epochs_requested", "epochs_run", "seconds", "notes")
"""What of a trial's info is shown."""


def open_storage(where: str | os.PathLike[str]) -> optuna.storages.BaseStorage:
    """Return Optuna's storage at a URL (`sqlite:///...`, `postgresql://...`) or, for a path, a journal file.

    Raises:
        InputError: If a URL cannot be opened; the message says what is missing.
    """
    text = os.fspath(where)
    if "://" not in text:
        # absolute: Optuna looks at the file through its lock, a link, to see whether a killed process left that behind
        path = os.path.abspath(text)
        lock = path + LOCK_FILE_SUFFIX
        if os.path.lexists(lock) and not os.path.exists(lock):  # a link that leads nowhere: it would wait for ever
            os.unlink(lock)
        backend = JournalFileBackend(path, lock_obj=JournalFileSymlinkLock(path, grace_period=LOCK_GRACE_SECONDS))
        return optuna.storages.JournalStorage(backend)
    try:
        return optuna.storages.get_storage(text)
    except ImportError as error:
        raise InputError(
            f"storage {_shown(text)}: {error.name or error} is not installed; "
            "install autoreg[sqlite] or autoreg[postgres]"
        ) from error
    except Exception as error:
        raise InputError(
            f"storage {_shown(text)} cannot be opened: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def _shown(url: str) -> str:
    """A URL without its password."""
    head, _, tail = url.partition("://")
    return f"{head}://{tail.rpartition('@')[2]}"


class OptunaView:
    """The trials of a study in an Optuna storage.

    Args:
        storage: Path of a journal file, or any URL that Optuna takes.
        study_name: Name of the study in the storage; made when it is not there.
        objectives: Direction of each.
        space: Where parameters and their distributions come from.

    Raises:
        StudyError: If the storage holds a study of that name with other objectives.
    """

    def __init__(
        self, storage: str | os.PathLike[str], study_name: str, objectives: Mapping[str, str], space: Space
    ) -> None:
        quiet()
        self._space = space
        self._names = list(objectives)
        self._domains = {p.path: p.domain for p in space.parameters}
        self._distributions = {path: distribution(domain) for path, domain in self._domains.items()}
        directions: list[Literal["minimize", "maximize"]] = [
            "minimize" if d == "min" else "maximize" for d in objectives.values()
        ]
        self.study = optuna.create_study(
            storage=open_storage(storage), study_name=study_name, directions=directions, load_if_exists=True
        )
        found: list[Any] = [d.name.lower() for d in self.study.directions]
        names = self.study.metric_names
        if found != directions or (names is not None and names != self._names):
            raise StudyError(
                f"{_shown(os.fspath(storage))}: study {study_name!r} has objectives {names or found}, "
                f"not {self._names}; give the study another name"
            )
        if names is None:
            with warnings.catch_warnings():  # experimental since 2023, and the dashboard shows the names
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self.study.set_metric_names(self._names)
        self._held = {t.user_attrs.get(NUMBER) for t in self.study.get_trials(deepcopy=False)}

    def add(self, record: Record) -> None:
        """Add a trial that has ended; one that is there already is left alone."""
        if record.state == "RUNNING" or record.number in self._held:
            return
        self.study.add_trial(self.frozen(record))
        self._held.add(record.number)

    def sync(self, records: Iterable[Record]) -> None:
        """Add every trial that has ended and is not there yet."""
        for record in records:
            self.add(record)

    def frozen(self, record: Record) -> FrozenTrial:
        """The trial in Optuna's form: values where it is COMPLETE, the rest as user attributes."""
        flat = self._flat(record.config)
        complete = record.state == "COMPLETE"
        trial = create_trial(
            state=TrialState[record.state],
            values=[record.metrics[n] for n in self._names] if complete else None,
            params=flat,
            distributions={path: self._distributions[path] for path in flat},
            user_attrs=self._attributes(record),
        )
        if complete and record.feasible is not None:
            trial.set_constraint("constraints", record.violation)
        now = datetime.datetime.now()
        trial.datetime_complete = now
        spent = record.info.seconds
        lasted = spent if spent is not None else max((record.ended_at or 0.0) - record.asked_at, 0.0)
        trial.datetime_start = now - datetime.timedelta(seconds=lasted)
        return trial

    def _flat(self, config: dict[str, Any]) -> dict[str, Any]:
        try:
            flat = self._space.flatten(config)
        except (InputError, KeyError, ValueError, TypeError):
            return {}  # a baseline from outside of the space
        return {
            p: on_grid(v, self._domains[p])
            for p, v in flat.items()
            if p in self._domains and contains(v, self._domains[p])
        }

    def _attributes(self, record: Record) -> dict[str, Any]:
        return {
            NUMBER: record.number,
            "source": record.source,
            "reevaluation_of": record.reevaluation_of,
            "metrics": record.metrics,
            "costs": record.costs,
            "feasible": record.feasible,
            "reason": record.reason,
            "reports": [[r.step, r.metrics] for r in record.reports],
            "info": {k: v for k, v in record.info.to_dict().items() if k in SUMMARY},
        }
