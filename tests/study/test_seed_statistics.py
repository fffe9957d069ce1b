"""Statistics over fresh seeds: means and spreads, the front by them, and what a missing metric costs."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.engine.log.trial import Result
from autoreg.report.data.final_results import FinalResults
from autoreg.report.data.seed_spread import SeedSpread
from autoreg.space import Expression
from autoreg.study.baseline_runs import baseline_of
from autoreg.study.folder import write_json
from autoreg.study.job_list import Job, JobList
from autoreg.study.seed_statistics import SeedFront, spread, spread_by_set
from autoreg.trial_info import TrialInfo

OBJECTIVES = {"error": "min", "flops": "min"}


def test_mean_and_deviation_of_three_seeds() -> None:
    """0.1, 0.2 and 0.6 have the mean 0.3 and the sample variance (0.04 + 0.01 + 0.09) / 2 = 0.07."""
    found = spread([{"error": value} for value in (0.1, 0.2, 0.6)])
    assert found.mean["error"] == pytest.approx(0.3)
    assert found.std["error"] == pytest.approx(math.sqrt(0.07))
    assert found.standard_error("error") == pytest.approx(math.sqrt(0.07 / 3))
    assert spread([{"error": 0.1}]).to_json()["std"] == {"error": None}
    assert spread([{"error": 0.1}]).standard_error("error") is None


def test_a_metric_that_one_seed_lacks_is_averaged_over_the_others() -> None:
    """Whichever seed it is; the first decides nothing."""
    timed, untimed = {"error": 0.2, "latency_ms": 3.0}, {"error": 0.4}
    for seeds in ([timed, untimed], [untimed, timed]):
        found = spread(seeds)
        assert found.mean == {"error": pytest.approx(0.3), "latency_ms": 3.0}
        assert "latency_ms" not in found.std
        assert found.values == tuple(seeds)


def test_a_baseline_with_one_untimed_seed_is_a_row_all_the_same() -> None:
    """Its means are over the seeds that know a metric; a failed seed counts nowhere."""
    results = [
        Result("COMPLETE", {"error": 0.2, "latency_ms": 3.0}),
        Result("COMPLETE", {"error": 0.4}),
        Result("FAIL", reason="out of memory"),
    ]
    assert baseline_of("int8", {"x": 1}, results).metrics == {"error": pytest.approx(0.3), "latency_ms": 3.0}
    assert baseline_of("int8", {}, results[2:]).reason == "out of memory"


def test_a_test_set_or_a_metric_that_one_seed_lacks_loses_no_other() -> None:
    """One seed has a set less, the other a metric less."""
    both, sets = spread_by_set([{"a": {"error": 0.1, "loss": 1.0}}, {"a": {"error": 0.3}, "b": {"error": 0.5}}])
    assert sets["a"].mean == {"error": pytest.approx(0.2), "loss": 1.0}
    assert sets["b"].mean == {"error": 0.5}
    assert both is not None
    assert both.mean == {"error": pytest.approx((0.1 + 0.4) / 2), "loss": 1.0}
    assert spread_by_set([]) == (None, {})


def test_what_breaks_a_constraint_takes_no_probability_from_others() -> None:
    """The forbidden recipe is better in everything: alone by its values it would leave the allowed one nothing."""
    forbidden = spread([{"error": 0.1, "flops": 1.0}] * 2)
    allowed = spread([{"error": 0.2, "flops": 2.0}] * 2)
    rules = [Expression.parse("flops >= 1.5", "constraints")]
    front = SeedFront([forbidden, allowed], OBJECTIVES, rules, {})
    assert front.members() == [False, True]
    assert front.probabilities(seed=0) == [0.0, 1.0]
    without = SeedFront([forbidden, allowed], OBJECTIVES, [], {})
    assert (without.members(), without.probabilities(seed=0)) == ([True, False], [1.0, 0.0])


def test_a_rule_may_name_the_dense_network() -> None:
    """Half of the dense work at most."""
    rules = [Expression.parse("flops <= 0.5 * dense.flops", "constraints")]
    large, small = spread([{"error": 0.1, "flops": 6.0}]), spread([{"error": 0.2, "flops": 5.0}])
    assert SeedFront([large, small], OBJECTIVES, rules, {"flops": 10.0}).members() == [False, True]


def test_an_objective_that_is_not_known_with_some_seeds_has_its_mean_there() -> None:
    """Latency was not measured once; without any measurement a recipe is not on the front, and the others are."""
    ways = {"error": "min", "latency_ms": "min"}
    fast = spread([{"error": 0.3, "latency_ms": 1.0}, {"error": 0.3}])
    slow = spread([{"error": 0.1}, {"error": 0.1, "latency_ms": 9.0}])
    never = spread([{"error": 0.01}])
    front = SeedFront([fast, never, slow, None], ways, [], {})
    assert front.members() == [True, False, True, False]
    assert front.probabilities(seed=0) == [1.0, 0.0, 1.0, None]


def test_a_constraint_on_what_was_not_measured_is_not_met() -> None:
    """It must not end the evaluation either."""
    rules = [Expression.parse("latency_ms <= 5", "constraints")]
    measured = spread([{"error": 0.3, "flops": 1.0, "latency_ms": 2.0}])
    front = SeedFront([measured, spread([{"error": 0.1, "flops": 1.0}])], OBJECTIVES, rules, {})
    assert front.members() == [True, False]


def test_what_is_no_finite_number_loses_nothing_else(tmp_path: Path) -> None:
    """A seed whose objective is NaN is a failed seed; any other metric is left out, and the rest is written."""
    nan, inf = math.nan, math.inf
    listed = JobList([Job({}, seed, True) for seed in range(3)], list(OBJECTIVES))
    measured = [{"error": nan, "flops": 1.0}, {"error": 0.2, "flops": 1.0, "loss": nan}, {"error": 0.4, "loss": inf}]
    for number, metrics in enumerate(measured):
        assert listed.ask() is not None
        info = TrialInfo(test_metrics={"test": {"error": 0.3, "loss": nan}})
        listed.tell(number, Result("COMPLETE", metrics, info))
    results = [listed.results[number] for number in range(3)]
    assert [result.state for result in results] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert results[0].reason == "objective 'error' is nan, which is no finite number"
    row = baseline_of("dense", {}, results)
    assert row.metrics == {"error": pytest.approx(0.3), "flops": 1.0}
    assert SeedFront([row.validation], OBJECTIVES, [], {}).members() == [True]
    write_json(tmp_path / "final.json", FinalResults(baselines=(row,)).to_json())
    (read,) = json.loads((tmp_path / "final.json").read_text())["baselines"]
    assert read["test"]["mean"] == {"error": pytest.approx(0.3)}


def measured(error: float, flops: float) -> SeedSpread:
    return spread([{"error": error, "flops": flops}])


def front_of(*points: tuple[float, float], baselines: Collection[int]) -> SeedFront:
    spreads = [measured(*point) for point in points]
    return SeedFront(spreads, OBJECTIVES, [], {}, costs=["flops"], baselines=baselines)


def test_a_baseline_dominates_a_member_that_is_cheaper_by_less_than_a_twentieth() -> None:
    """0.96 of the cost is the same cost, 0.94 is a lower one; between members and between baselines nothing is rounded.

    And a member that is as dear within a twentieth does not beat a baseline that is a little cheaper.
    """
    assert front_of((0.2, 0.96), (0.1, 1.0), baselines=[1]).members() == [False, True]
    assert front_of((0.2, 0.94), (0.1, 1.0), baselines=[1]).members() == [True, True]
    assert front_of((0.2, 0.96), (0.1, 1.0), baselines=[]).members() == [True, True]
    assert front_of((0.2, 0.96), (0.1, 1.0), baselines=[0, 1]).members() == [True, True]
    assert front_of((0.1, 1.0), (0.2, 0.96), baselines=[1]).members() == [True, True]


def test_what_keeps_a_member_off_the_front_is_named() -> None:
    """A member of the front that dominates it before a baseline that does so only nearly."""
    front = front_of((0.3, 2.0), (0.2, 0.97), (0.1, 1.0), (0.25, 1.5), baselines=[2])
    assert front.members() == [False, False, True, False]
    assert front.dominators() == [2, 2, None, 2]


def test_means_that_differ_in_their_last_bit_are_equal() -> None:
    """The means of 0.1, 0.2, 0.3 and of three times 0.2 are not the same number."""
    first = spread([{"error": error, "flops": 1.0} for error in (0.1, 0.2, 0.3)])
    second = spread([{"error": 0.2, "flops": 1.0}] * 3)
    assert SeedFront([first, second], OBJECTIVES, [], {}).members() == [True, True]


@given(
    st.lists(st.tuples(st.integers(1, 6), st.floats(0.5, 2), st.floats(0.5, 2), st.booleans()), min_size=1, max_size=12)
)
def test_a_front_is_never_empty_and_no_baseline_dominates_a_member_of_it(
    points: list[tuple[int, float, float, bool]],
) -> None:
    """By the rule written out again, over errors that are often equal; and whatever is off the front has a reason."""
    ways = {"error": "min", "flops": "min", "bytes": "min"}
    spreads = [spread([{"error": e / 10, "flops": f, "bytes": b}]) for e, f, b, _ in points]
    named = [i for i, point in enumerate(points) if point[3]]
    front = SeedFront(spreads, ways, [], {}, costs=["flops", "bytes"], baselines=named)
    on = front.members()
    assert any(on)

    def dominates(i: int, j: int) -> bool:
        signs = [
            0 if max(a, b) <= 1.05 * min(a, b) else a - b for a, b in zip(points[i][1:3], points[j][1:3], strict=True)
        ]
        signs.append(points[i][0] - points[j][0])
        return all(sign <= 0 for sign in signs) and any(sign < 0 for sign in signs)

    beaten = [j for j in range(len(points)) if j not in named and any(dominates(i, j) for i in named)]
    assert not any(on[j] for j in beaten) or len(beaten) == len(points) - len(named)
    assert all(on[i] or by is not None for i, by in enumerate(front.dominators()))
