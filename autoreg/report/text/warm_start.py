"""A warm start in sentences: the earlier studies, how well they fit, and whether the prior was dropped."""

from __future__ import annotations

from autoreg.report.data.load import StudyData
from autoreg.report.data.posterior import EarlierStudy, WarmStart
from autoreg.report.text.metrics import plural


def warm_start_sentences(data: StudyData) -> list[str]:
    """One sentence for each earlier study, and one on how the trials agreed with them; empty for a cold start.

    Raises:
        StudyError: the file of the earlier studies is damaged.
    """
    warm_start = data.warm_start
    studies = warm_start.studies
    return [*map(_study_sentence, studies), _outcome_sentence(warm_start)] if studies else []


def _study_sentence(study: EarlierStudy) -> str:
    names = f" ({', '.join(study.parameters)})" if study.parameters else ""
    common = f"{plural(len(study.parameters), 'parameter')} in common{names}"
    verdict = "used: it predicts" if study.used else "not used: it does not predict"
    return (
        f"Warm start from {study.name}: {plural(study.trials, 'trial')}, {common}; {verdict} its own held-out trials "
        f"(rank correlation {_two_digits(study.correlation)})."
    )


def _outcome_sentence(warm_start: WarmStart) -> str:
    if not any(study.used for study in warm_start.studies):
        return "No earlier study is used: the search started cold."
    head = "The prior is the mean rank of a recipe in the earlier studies that are used"
    correlation = _two_digits(warm_start.correlation)
    if warm_start.dropped_at is not None:
        return (
            f"{head}. It was dropped after {warm_start.dropped_at} complete trials of this study: its rank correlation "
            f"with them was {correlation}."
        )
    if warm_start.correlation is not None:
        return (
            f"{head}. Its rank correlation with the first {warm_start.checked_on} complete trials of this study is "
            f"{correlation}, so it stays: every base model of the surrogate has it as a feature beside the recipe."
        )
    return f"{head}; it has not been compared with trials of this study yet."


def _two_digits(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
