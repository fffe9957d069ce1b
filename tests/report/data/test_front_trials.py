"""Which trials are on the front, at every moment of a study."""

from __future__ import annotations

from autoreg.report.data.final_results import Baseline, FinalResults, Member, UseOfTestData
from autoreg.report.data.front_trials import front_trials, is_decided
from autoreg.report.data.seed_spread import SeedSpread

MEASURED = SeedSpread({"error": 0.1})
POSTERIOR, OBSERVED = [2, 5], [1, 2, 3]


def final(*, trials: int, stays: bool | None = True, seeds: SeedSpread | None = MEASURED) -> FinalResults:
    members = tuple(Member(n, validation=seeds, on_final_front=None if stays is None else n == 5) for n in (2, 5))
    baselines = (Baseline("int8", trial=1, validation=seeds, on_final_front=stays), Baseline("dense", trial=0))
    return FinalResults(members, baselines, test_uses=(UseOfTestData(trials=trials),))


def test_fresh_seeds_decide_for_members_and_baselines_alike() -> None:
    assert front_trials(final(trials=9), 9, POSTERIOR, OBSERVED) == {1, 5}


def test_before_them_and_without_any_the_posterior_decides() -> None:
    """While the evaluation runs, when the search has gone on since, and with no seeds at all."""
    for before in (FinalResults(), final(trials=9, stays=None), final(trials=6), final(trials=9, seeds=None)):
        assert not is_decided(before, 9)
        assert front_trials(before, 9, POSTERIOR, OBSERVED) == set(POSTERIOR)


def test_without_a_posterior_what_was_observed_decides() -> None:
    assert front_trials(FinalResults(), 9, [], OBSERVED) == set(OBSERVED)
