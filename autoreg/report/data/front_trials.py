"""Which trials make up the front of a study."""

from __future__ import annotations

from collections.abc import Collection

from autoreg.report.data.final_results import Baseline, FinalResults, Member


def is_decided(final: FinalResults, trials: int) -> bool:
    """Whether fresh seeds have said which members stay, and the search has not gone on since.

    A final evaluation without any seed says nothing.

    Args:
        final: content of final.json.
        trials: how many the study has.
    """
    both: list[Member | Baseline] = [*final.members, *final.baselines]
    if not any(one.on_final_front is not None and one.validation is not None for one in both):
        return False
    last = final.test_uses[-1].trials if final.test_uses else None
    return last is None or last >= trials


def _on(final: FinalResults) -> list[int | None]:
    return [one.trial for one in final.baselines if one.on_final_front]


def front_trials(
    final: FinalResults, trials: int, posterior: Collection[int], observed: Collection[int]
) -> frozenset[int]:
    """The numbers of the trials on the front, those of baselines on it among them.

    Args:
        final: content of final.json.
        trials: how many the study has.
        posterior: the front of posterior means; empty where it is not known.
        observed: the trials that no other dominates by what was observed.
    """
    if is_decided(final, trials):
        members = [member.trial for member in final.members if member.on_final_front]
        return frozenset([*members, *(trial for trial in _on(final) if trial is not None)])
    return frozenset(posterior or observed)
