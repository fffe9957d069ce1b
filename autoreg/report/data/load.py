"""A study's folder as tables and dataclasses: what text, plots and page are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoreg.engine.log.baseline_names import DENSE
from autoreg.engine.log.events import read_events
from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.transfer.earlier_studies import SOURCES_FILE, load_sources
from autoreg.report.data.final_results import FinalResults
from autoreg.report.data.front_trials import front_trials, is_decided
from autoreg.report.data.posterior import EarlierStudy, FrontPosterior, WarmStart
from autoreg.report.data.study_config import StudyConfig, read_json_object
from autoreg.report.data.trial_table import COST_COLUMNS, trial_table
from autoreg.report.data.trial_values import costs_of, predictions_of

if TYPE_CHECKING:
    import pandas as pd

POSTERIOR_FILE = "posterior.json"


# many arguments: the files of a study and the tables made of them, built by `load` alone
@dataclass(frozen=True)
class StudyData:
    """Everything that is known of one study.

    Attributes:
        folder: where it lies.
        config: study.json.
        final: final.json; empty before the final evaluation.
        posterior: posterior.json; empty before the search has ended once.
        state: the replayed log.
        random_state: the replayed log of random search (random.jsonl), None where it was not run.
        trials: one row a trial: `trial_table.BOOKKEEPING_COLUMNS`, every metric, every parameter by its path.
        predictions: one row a prediction: trial, metric, mean, lower, upper, observed, trusted.
        metrics: columns of `trials` that are metrics.
        parameters: columns of `trials` that are parameters.
    """

    folder: Path
    config: StudyConfig
    final: FinalResults
    posterior: FrontPosterior
    state: StudyState
    random_state: StudyState | None
    trials: pd.DataFrame
    predictions: pd.DataFrame
    metrics: tuple[str, ...]
    parameters: tuple[str, ...]

    @classmethod
    def load(cls, folder: str | Path) -> StudyData:
        """Read study.json, events.jsonl, final.json, posterior.json, random.jsonl; all but the first may be missing.

        Raises:
            InputError: when the folder holds no study, or study.json, final.json or posterior.json cannot be read.
            StudyError: when a line in the middle of the log is no event, or events do not fit together.
        """
        folder = Path(folder)
        config = StudyConfig.from_json(read_json_object(folder / "study.json", required=True), folder)
        events, random_events = folder / "events.jsonl", folder / "random.jsonl"
        state = StudyState(read_events(events) if events.exists() else ())
        table = trial_table(state.records, config.objectives, config.dense, config.constraints)
        final = FinalResults.from_json(read_json_object(folder / "final.json", required=False))
        posterior = FrontPosterior.from_json(read_json_object(_posterior_file(folder), required=False))
        means = posterior.means if posterior.completed == len(state.ended_numbers) else {}
        observed = table.frame["number"][table.frame["on_front"]]
        on_front = front_trials(final, len(state.records), list(means), observed.tolist())
        table.frame["on_front"] = table.frame["number"].isin(on_front)
        return cls(
            folder=folder,
            config=config,
            final=final,
            posterior=posterior,
            state=state,
            random_state=StudyState(read_events(random_events)) if random_events.exists() else None,
            trials=table.frame,
            predictions=_prediction_table(state.records),
            metrics=table.metrics,
            parameters=table.parameters,
        )

    @property
    def name(self) -> str:
        """The study's name."""
        return self.config.name

    @property
    def objectives(self) -> dict[str, str]:
        """Objective names and their directions, `min` or `max`."""
        return dict(self.config.objectives)

    @property
    def quality(self) -> tuple[str, ...]:
        """The objectives that are no costs, the one that the surrogate predicts first."""
        return self.config.quality

    @property
    def main_objective(self) -> str:
        """The objective by which members are sorted: the first quality, or the first objective of all."""
        return next(iter(self.quality or self.objectives))

    @property
    def cost_metrics(self) -> tuple[str, ...]:
        """The recorded costs, in a fixed order."""
        return tuple(c for c in COST_COLUMNS if c in self.metrics)

    @property
    def dense_record(self) -> Record | None:
        """The first complete trial of the dense recipe, None where there is none."""
        return next((r for r in self.state.complete() if r.source == DENSE), None)

    @property
    def dense(self) -> dict[str, float]:
        """Metrics of the dense recipe: from study.json, completed by the trial that measured it."""
        record = self.dense_record
        return (costs_of(record) if record else {}) | dict(self.config.dense)

    @property
    def complete(self) -> pd.DataFrame:
        """Trials that ended at full fidelity and have a value for every objective."""
        rows = self.trials[self.trials["state"] == "COMPLETE"]
        return rows.dropna(subset=list(self.objectives))

    @property
    def front(self) -> pd.DataFrame:
        """The rows of the trials on the front (`autoreg.report.data.front`), best observed quality first."""
        return self._sorted(self.trials[self.trials["on_front"]])

    @property
    def is_final(self) -> bool:
        """Whether the front is that of the final evaluation."""
        return is_decided(self.final, len(self.state.records))

    @property
    def posterior_means(self) -> dict[int, float]:
        """Posterior mean of the quality of trials on the front of these; empty while the search has gone on since."""
        return dict(self.posterior.means) if self._posterior_is_current else {}

    def _sorted(self, rows: pd.DataFrame) -> pd.DataFrame:
        ascending = [self.objectives[self.main_objective] == "min", True]
        return rows.sort_values([self.main_objective, "number"], ascending=ascending, kind="stable")

    @property
    def epochs_run(self) -> float:
        """Passes over the training data that the study made, those of the dense reference before it among them."""
        return float(self.effort("epochs_run").sum()) + self.config.epochs_before

    def effort(self, name: str) -> pd.Series[float]:
        """What each trial took: `epochs_requested`, `epochs_run` or `seconds`; NaN where it says nothing."""
        return self.trials[f"trial.{name}" if f"trial.{name}" in self.trials.columns else name]

    @property
    def ended(self) -> pd.DataFrame:
        """The rows of the trials that ended, in the order in which they did."""
        return self.trials.set_index("number", drop=False).loc[self.state.ended_numbers]

    @property
    def front_probabilities(self) -> dict[int, float]:
        """Probability of each trial to be on the front with other seeds; empty while the search has gone on since."""
        return dict(self.posterior.front_probabilities) if self._posterior_is_current else {}

    @property
    def warm_start(self) -> WarmStart:
        """The prior of a warm start when the search last ended; before that, the earlier studies that were read.

        Raises:
            StudyError: the file of the earlier studies is damaged.
        """
        if self._posterior_is_current and self.posterior.warm_start is not None:
            return self.posterior.warm_start
        sources = load_sources(self.folder) if (self.folder / SOURCES_FILE).exists() else []
        return WarmStart(tuple(EarlierStudy.from_json(source.summary()) for source in sources))

    @property
    def _posterior_is_current(self) -> bool:
        return self.posterior.completed == len(self.state.ended_numbers)


def _posterior_file(folder: Path) -> Path:
    older = folder / "beliefs.json"
    return older if older.exists() and not (folder / POSTERIOR_FILE).exists() else folder / POSTERIOR_FILE


def _prediction_table(records: Iterable[Record]) -> pd.DataFrame:
    import pandas as pd

    rows = [row for record in records for row in predictions_of(record)]
    return pd.DataFrame(rows, columns=["trial", "metric", "mean", "lower", "upper", "observed", "trusted"])
