"""Playing with curves, early stopping and shared phases; measures and the page, against figures worked out by hand."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.errors import InputError
from benchmarks.engines import Job, jobs_of, key
from benchmarks.tables import engines_figures, engines_summary, measures
from benchmarks.tables.arms import STOPPING, run, task_of
from benchmarks.tables.arms.asha import Rungs, spread
from benchmarks.tables.arms.linas import select
from benchmarks.tables.engines_report import attainment, figures, report
from benchmarks.tables.paying import Meter, epochs_at, whole
from benchmarks.tables.table import Table
from tests.benchmarks.curved import STEPS, curved
from tests.benchmarks.test_tables import small

ASHA = ("random_asha", "moasha", "tpe_asha")


def pair(table: Table) -> tuple[int, int]:
    """Two recipes without SAM that share their training."""
    first = {"width": 4, "rate": 1, "sam": "off", "bits": 8, "level": 0}
    return table.row(first), table.row({**first, "bits": 4})


# -- what is paid ---------------------------------------------------------------------------------


def test_a_shared_phase_is_paid_once_with_the_cache_and_every_time_without() -> None:
    table = curved()
    first, second = pair(table)
    on, off = Meter(table), Meter(table, cache=False)
    assert on.remaining_cost(first) == off.remaining_cost(first) == (12.0, 20.0)  # 8 epochs of 2 s, 4 of 1 s
    assert [on.pay(row) for row in (first, second)] == [(12.0, 20.0), (4.0, 4.0)]
    assert [off.pay(row) for row in (first, second)] == [(12.0, 20.0)] * 2
    assert on.remaining_cost(second) == (0.0, 0.0)


def test_sam_counts_twice() -> None:
    table = curved()
    row = table.row({"width": 4, "rate": 1, "sam": "on", "bits": 8, "level": 0})
    assert Meter(table).pay(row) == (20.0, 36.0)
    assert whole(table).epochs == (12 + 20) / 2
    assert whole(small()).epochs == 1.0


def test_a_stopped_trial_pays_until_the_stop_and_shares_only_phases_that_it_ended() -> None:
    table = curved()
    first, second = pair(table)
    meter = Meter(table)
    assert meter.pay(first, step=3) == pytest.approx((3.0, 6.0))  # 12 epochs, 12 steps: an epoch each
    assert meter.remaining_cost(second) == (12.0, 20.0)  # the training was not ended, so nobody has it
    assert meter.pay(first, step=10) == pytest.approx((10.0, 18.0))
    assert meter.remaining_cost(second) == (4.0, 4.0)
    assert meter.pay(second, step=8) == pytest.approx((0.0, 0.0))  # a replay of a stored curve
    assert meter.pay(second, step=9) == pytest.approx((1.0, 1.0))


def test_steps_stand_where_the_table_says() -> None:
    table = curved()
    first, _ = pair(table)
    spots = np.tile(np.append(np.arange(1, STEPS) * 8 / 11, 12.0), (len(table), 1))
    held = replace(table, curve_epochs=spots)
    assert epochs_at(held, first, 11) == 8.0
    assert Meter(held).pay(first, step=11) == (8.0, 16.0)
    with pytest.raises(InputError, match="no step 13"):
        epochs_at(held, first, 13)


def test_a_last_phase_without_epochs_is_paid_by_whole_trials_only() -> None:
    table = curved()
    first, _ = pair(table)
    table = replace(table, phases=[[*row, (f"score {k}", 0.0, 0.5)] for k, row in enumerate(table.phases or ())])
    assert Meter(table).pay(first, step=11).seconds == pytest.approx(19.0)
    assert Meter(table).pay(first).seconds == 20.5


# -- runs -----------------------------------------------------------------------------------------


def test_the_figures_of_a_run_add_up_by_hand() -> None:
    table = curved()
    for cache in (True, False):
        got = run("random_asha", table, seed=1, trials=30, cache=cache)
        paid: set[str] = set()
        for row, step, epochs, seconds in zip(got.rows, got.steps, got.epochs, got.trained, strict=True):
            (train, long, took), (_, short, _) = (table.phases or [])[row]
            until = step / STEPS * (long + short) if step else long + short
            new = not cache or train not in paid
            wanted = min(until, long) * new + max(until - long, 0.0)
            assert epochs == pytest.approx(wanted)
            assert seconds == pytest.approx(min(until, long) * new * took / long + max(until - long, 0.0))
            paid |= {train} if until >= long - 1e-9 else set()
        assert sum(step > 0 for step in got.steps) > 5


@pytest.mark.parametrize("arm", [*ASHA, "ours_halving", "ours_bound"])
def test_arms_that_stop_leave_the_start_alone_and_repeat_nothing(arm: str) -> None:
    table = curved()
    got = run(arm, table, seed=0, trials=24, starts=8)
    assert got.rows[:8] == table.starts(0, 8)
    assert got.steps[:8] == [0] * 8
    assert len(set(got.rows)) == 24
    assert run(arm, table, seed=0, trials=24, starts=8).steps == got.steps


def test_a_run_ends_with_its_epochs() -> None:
    got = run("random", curved(), seed=0, trials=500, epochs=300.0)
    assert sum(got.epochs) >= 300 > sum(got.epochs[:-1])


def test_an_arm_that_stops_needs_curves() -> None:
    with pytest.raises(InputError, match="no curves"):
        run("moasha", small(), seed=0, trials=12)


def test_an_arm_never_sees_the_end_of_a_trial_that_it_stopped() -> None:
    """Errors at the end of stopped trials do not change what an arm does."""
    table = curved()
    for arm in ("tpe_asha", "ours_bound"):
        got = run(arm, table, seed=2, trials=25)
        stopped = [row for row, step in zip(got.rows, got.steps, strict=True) if step]
        assert stopped
        errors = np.array(table.validation)
        errors[stopped] += 100.0
        assert run(arm, replace(table, validation=errors), seed=2, trials=25).rows == got.rows


def test_what_is_yet_to_be_paid_follows_the_run() -> None:
    table = curved()
    first, second = pair(table)
    task = task_of(table, 0, 20)
    assert task.remaining_cost(table.configs[second]).epochs == 12.0
    task.meter.pay(first)
    assert task.remaining_cost(table.configs[second]).epochs == 4.0


# -- successive halving ---------------------------------------------------------------------------


def test_promotions_by_hand() -> None:
    """Equal costs: the front is the least error. Best third of those at the rung, itself included, at least one."""
    rungs = Rungs(select)
    stops = [rungs.stops(1, (error, 1.0)) for error in (0.5, 0.4, 0.6, 0.3, 0.35, 0.38, 0.2)]
    #          first: goes on; .4 leads; .6 is third of 3; .3 leads 4; .35 is second of 5 (one goes on);
    #          .38 is third of 6 (two go on); .2 leads
    assert stops == [False, False, True, False, True, True, False]
    assert not rungs.stops(2, (9.0, 9.0))  # no rung
    assert not rungs.stops(3, (9.0, 9.0))  # the first there
    assert not rungs.stops(9, (9.0, 9.0))
    assert sorted(rungs.points) == [1, 3, 9]


def test_a_dominated_trial_ends_and_one_that_extends_the_front_may_go_on() -> None:
    rungs = Rungs(spread)
    for point in ((0.1, 5.0), (0.2, 4.0), (0.3, 3.0), (0.9, 6.0), (0.8, 6.0)):
        rungs.stops(1, point)
    assert rungs.stops(1, (0.95, 7.0))
    assert not rungs.stops(1, (0.05, 2.0))  # dominates all
    assert not rungs.stops(3, (0.05, 2.0))


def test_the_epsilon_net_begins_at_the_least_error_and_goes_on_with_the_farthest() -> None:
    points = np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [4.0, 0.0], [5.0, 5.0]])
    assert spread(points).tolist() == [0, 4, 2, 1, 3, 5]


# -- measures -------------------------------------------------------------------------------------


def test_what_was_stopped_is_not_found() -> None:
    table = curved()
    judge = measures.judge(table, 0)
    starts = table.starts(0, 5)[1:]
    rows = [*starts, *(row for row in range(400, 960, 7) if row not in starts)]
    best = 4 + int(np.argmin(judge.truths[rows[4:]]))
    steps = [0] * len(rows)
    steps[best] = 3
    left = [row for k, row in enumerate(rows) if k != best]
    assert judge.found(rows, 4, steps)[-1] == pytest.approx(judge.found(left, 4)[-1])
    assert judge.naive(rows, steps)[-1] == pytest.approx(judge.naive(left)[-1])
    assert judge.found(rows, 4, steps)[-1] < judge.found(rows, 4)[-1]
    assert judge.handed_over(rows, 4, steps) == pytest.approx(judge.handed_over(left, 4))
    assert judge.cheapest(rows, steps) == judge.cheapest(left)
    assert judge.attained(rows, [10.0], steps)[0] == judge.truths[left].min()


def test_tight_and_naive_hypervolume_by_hand() -> None:
    """Three recipes at costs 1, e and e^2 with true errors .5, .3 and .1; the last is dense, tolerance .5."""
    table = curved()
    part = replace(
        table,
        configs=table.configs[:3],
        costs=np.exp([0.0, 1.0, 2.0]),
        validation=np.array([[0.5, 0.5], [0.3, 0.3], [0.1, 0.1]]),
        dense=2,
        tolerance=0.5,
        curves=None,
        phases=None,
    )
    judge = measures.judge(part, 0)
    assert judge.tight_corner == pytest.approx((2.0, 0.6))
    # the dense recipe stands on the corner's cost and adds nothing: .1 wide 2 high 1 -> 0.1 * 2 + 0.2 * 1
    assert judge.tight_full == pytest.approx(2 * 0.1 + 1 * 0.2)
    assert judge.found([2, 1, 0], 1) == pytest.approx([0.0, 1 * 0.3 / 0.4, 1.0])
    widths = np.exp(2.0) - np.exp([0.0, 1.0])
    assert judge.naive_full == pytest.approx(widths[1] * 0.2)  # the worst error is that of the cheapest
    assert judge.naive([2, 1, 0]) == pytest.approx([0.0, 1.0, 1.0])


def test_work_to_a_target_and_at_a_mark() -> None:
    shares, paid = np.array([0.0, 0.2, 0.6, 0.9]), np.array([4.0, 5.0, 5.0, 9.0])
    assert measures.spent_to(shares, paid, 0.5) == 5.0
    assert measures.spent_to(shares, paid, 0.95) == np.inf
    assert measures.at_spent(shares, paid, 5.0) == 0.6
    assert measures.at_spent(shares, paid, 8.9) == 0.6
    assert np.isnan(measures.at_spent(shares, paid, 10.0))
    assert measures.ecdf([3.0, np.inf, 1.0, 3.0], [0, 1, 2, 3, 99]).tolist() == [0, 0.25, 0.25, 0.75, 0.75]


def test_gains_are_paired_by_seed_and_marked_beyond_the_interval() -> None:
    def runs(values: list[float]) -> dict[int, dict[str, Any]]:
        return {seed: {"tight 30": value} for seed, value in enumerate(values)}

    both = {
        ("ours", "a"): runs([0.5, 0.6, 0.7]),
        ("x", "a"): runs([0.6, 0.71, 0.79]),
        ("y", "a"): {1: {"tight 30": 0.6}, 2: {"tight 30": 0.1}, 9: {"tight 30": 9.0}},
    }
    found = engines_summary.gains(both, "ours", "tight 30")
    assert found["x"]["a"].mean == pytest.approx(-0.1)
    assert found["x"]["a"].half == pytest.approx(4.30265 * 0.01 / np.sqrt(3), rel=1e-5)  # Student's t, 2 degrees
    assert found["x"]["a"].behind
    assert found["y"]["a"].pairs == 2
    assert found["y"]["all"].mean == pytest.approx(0.3)
    text = "\n".join(engines_summary.summary(both, "ours", 30, units=False))
    assert "behind x (-0.100); behind beyond the interval: x on a." in text


def test_a_fifth_of_the_trials_is_the_bar() -> None:
    def runs(*values: float) -> dict[int, dict[str, Any]]:
        return {seed: {"to 95% naive": value} for seed, value in enumerate(values)}

    both = {
        ("ours", "a"): runs(10, 12, 99),
        ("tpe", "a"): runs(61, 60, 70),
        ("nsga2", "a"): runs(np.inf, 90, np.inf),
        ("ours", "b"): runs(40),
        ("tpe", "b"): runs(np.inf),
    }
    lines = engines_summary.faster(both, "to 95% naive", "ours", 100)
    assert "| a | 12 | tpe: 61 | 5.08 | yes |" in lines
    assert "| b | 40 | tpe: inf | > 2.50 | not known |" in lines


# -- the page -------------------------------------------------------------------------------------


def played(arm: str, seed: int, cache: str = "on") -> dict[str, Any]:
    """A row as `engines.play` writes it."""
    got = run(arm, curved(), seed, 24, cache=cache == "on")
    row = {"arm": arm, "table": "curved", "seed": seed, "trials": 24, "starts": 10, "state": "", "cache": cache}
    row |= {"rows": got.rows, "seconds": got.seconds, "drawn": got.drawn, "steps": got.steps}
    return row | {"trained": got.trained, "epochs_paid": got.epochs}


def test_the_page_begins_with_a_summary_and_shows_its_figures(tmp_path: Path) -> None:
    table = curved()
    judges = {seed: measures.judge(table, seed) for seed in range(2)}
    rows = [played(arm, seed, cache) for arm in ("random", "tpe_asha") for seed in range(2) for cache in ("on", "off")]
    report(rows, "now", tmp_path, "page", "random", lambda name, seed: judges[seed])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert text.index("## Summary") < text.index("## Measures")
    assert "| tpe_asha (cache off) |" in text
    assert "Epochs to 50% tight" in text
    for picture in ("page-curved.png", "page-ecdf.png"):
        assert f"({picture})" in text
        assert (tmp_path / picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(json.loads((tmp_path / "page-attainment.json").read_text(encoding="utf-8"))) == 4


def test_figures_against_epochs_and_seconds() -> None:
    table = curved()
    row, judge = played("random", 0), measures.judge(table, 0)
    found = figures(row, judge)
    assert found["epochs"] == pytest.approx(sum(row["epochs_paid"]) / 16)
    assert found["seconds"] == pytest.approx(sum(row["trained"]) + sum(row["seconds"]))
    reached = found["to 25% tight"]
    if np.isfinite(reached):
        assert found["epochs to 25% tight"] == pytest.approx(sum(row["epochs_paid"][: int(reached)]) / 16)
    grid = np.array([11.0, 20.0, 24.0, 25.0])
    mean, _ = engines_figures.band([("random", row, judge)], "trials", grid)
    assert mean[:3] == pytest.approx(judge.found(row["rows"], 10)[[10, 19, 23]])
    assert np.isnan(mean[3])
    surface = attainment([row], "", lambda name, seed: judge)[0]
    assert surface["quartiles"][1][-1] == pytest.approx(
        judge.attained(row["rows"], [judge.tight_corner[0]])[0], abs=1e-4
    )


def test_which_runs_are_asked_for() -> None:
    given = argparse.Namespace(
        tables="hpolib-naval,own-digits",
        arms="tpe,optuna_gp,qlognehvi,ours,stopping",
        seeds=20,
        trials=100,
        cache="off",
        epochs=40.0,
    )
    jobs = jobs_of(given, "abc")
    assert Job("ours", "hpolib-naval", 19, 100, "abc") in jobs
    assert Job("ours_halving", "own-digits", 19, 100, "abc", "off", 40.0) in jobs
    assert not any(job.arm in STOPPING and job.table == "hpolib-naval" for job in jobs)
    assert max(job.seed for job in jobs if job.arm == "optuna_gp") == 4
    assert {job.trials for job in jobs if job.arm == "qlognehvi"} == {50}
    assert len(jobs) == len(set(jobs))
    assert key({**jobs[0]._asdict(), "rows": []}) == jobs[0]
