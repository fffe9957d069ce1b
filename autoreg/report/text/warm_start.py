"""What a warm start brought, in words: from which earlier studies, how well they fit, and whether they were dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.report.data.files import mapping
from autoreg.report.data.table import is_number

if TYPE_CHECKING:
    from autoreg.report.data.load import StudyData


def warm_sentences(data: StudyData) -> list[str]:
    """One sentence for each earlier study, and one of what new trials say of them; empty without a warm start.

    Raises:
        StudyError: what the study took cannot be read.
    """
    prior = data.prior
    listed = prior.get("sources")
    sources = [mapping(source) for source in listed] if isinstance(listed, list) else []
    return [*map(_source, sources), _became(prior, any(s.get("used") for s in sources))] if sources else []


def _source(source: Mapping[str, Any]) -> str:
    matched = source.get("matched")
    names = f" ({', '.join(map(str, matched))})" if isinstance(matched, list) and matched else ""
    count = len(matched) if isinstance(matched, list) else 0
    taken = (
        f"Warm start from {source.get('name')}: {source.get('trials')} trials, {count} "
        f"parameter{'' if count == 1 else 's'} in common{names}; "
    )
    fit = f"rank correlation {_two(source.get('correlation'))}"
    if source.get("used"):
        return f"{taken}used, since it foretells its own held-out trials ({fit})."
    return f"{taken}not used, since it does not foretell its own held-out trials ({fit})."


def _became(prior: Mapping[str, Any], used: bool) -> str:
    if not used:
        return "So the search began as if there were no earlier study."
    head = "The search began with the mean rank of a recipe in the studies that are used"
    heard, correlation, dropped = (prior.get(name) for name in ("heard", "correlation", "dropped_at"))
    if is_number(dropped):
        return (
            f"{head}. It was dropped after {dropped} complete trials of this study, since it misled: its rank "
            f"correlation with them was {_two(correlation)}."
        )
    if is_number(correlation):
        return (
            f"{head}. Its rank correlation with the first {heard} complete trials of this study is "
            f"{_two(correlation)}, so it was kept: every expert of the predictor sees it beside the recipe."
        )
    return f"{head}; it has not been checked against trials of this study yet."


def _two(value: Any) -> str:
    return f"{value:.2f}" if is_number(value) else "unknown"
