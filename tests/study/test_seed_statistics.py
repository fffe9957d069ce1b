"""Statistics over fresh seeds: means and spreads, the front by them, and what a missing metric costs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from autoreg.engine.log.trial import Result
from autoreg.space import Expression
from autoreg.study.baseline_runs import baseline_row
from autoreg.study.folder import write_json
from autoreg.study.job_list import Job, JobList
from autoreg.study.seed_statistics import SeedFront, spread, spread_by_set
from autoreg.trial_info import TrialInfo

OBJECTIVES = {"error": "min", "flops": "min"}


def test_mean_and_deviation_of_three_seeds() -> None:
    """0.1, 0.2 and 0.6 have the mean 0.3 and the sample variance (0.04 + 0.01 + 0.09) / 2 = 0.07."""
    found = spread([{"error": value} for value in (0.1, 0.2, 0.6)])
    assert found["mean"]["error"] == pytest.approx(0.3)
    assert found["std"]["error"] == pytest.approx(math.sqrt(0.07))
    assert spread([{"error": 0.1}])["std"] == {"error": None}


def test_a_metric_that_one_seed_lacks_is_averaged_over_the_others() -> None:
    """Whichever seed it is; the first decides nothing."""
    timed, untimed = {"error": 0.2, "latency_ms": 3.0}, {"error": 0.4}
    for seeds in ([timed, untimed], [untimed, timed]):
        found = spread(seeds)
        assert found["mean"] == {"error": pytest.approx(0.3), "latency_ms": 3.0}
        assert found["std"]["latency_ms"] is None
        assert found["values"] == seeds


def test_a_baseline_with_one_untimed_seed_is_a_row_all_the_same() -> None:
    """Its means are over the seeds that know a metric; a failed seed counts nowhere."""
    results = [
        Result("COMPLETE", {"error": 0.2, "latency_ms": 3.0}),
        Result("COMPLETE", {"error": 0.4}),
        Result("FAIL", reason="out of memory"),
    ]
    row = baseline_row("int8", {"x": 1}, results)
    assert row["metrics"] == {"error": pytest.approx(0.3), "latency_ms": 3.0}
    assert baseline_row("int8", {}, results[2:])["reason"] == "out of memory"


def test_a_test_set_or_a_metric_that_one_seed_lacks_loses_no_other() -> None:
    """One seed has a set less, the other a metric less."""
    found = spread_by_set([{"a": {"error": 0.1, "loss": 1.0}}, {"a": {"error": 0.3}, "b": {"error": 0.5}}])
    assert found["test_sets"]["a"]["mean"] == {"error": pytest.approx(0.2), "loss": 1.0}
    assert found["test_sets"]["b"]["mean"] == {"error": 0.5}
    assert found["test"]["mean"] == {"error": pytest.approx((0.1 + 0.4) / 2), "loss": 1.0}
    assert spread_by_set([]) == {"test": None, "test_sets": {}}


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
    row = baseline_row("dense", {}, results)
    assert row["metrics"] == {"error": pytest.approx(0.3), "flops": 1.0}
    assert SeedFront([row["validation"]], OBJECTIVES, [], {}).members() == [True]
    write_json(tmp_path / "final.json", {"baselines": [row]})
    (read,) = json.loads((tmp_path / "final.json").read_text())["baselines"]
    assert read["test"]["mean"] == {"error": pytest.approx(0.3)}
