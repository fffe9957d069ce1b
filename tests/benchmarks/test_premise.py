"""Joint against sequential: measures against numbers by hand, and all arms on a small table from end to end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from autoreg.engine.log.trial import Trial
from benchmarks import premise, premise_measures, premise_report
from benchmarks.premise_allocation import largest, sensitive_amounts
from benchmarks.premise_arms import ARMS, quantizers, with_bits
from benchmarks.premise_bench import Bench, Done, front
from benchmarks.premise_clock import WorkClock
from benchmarks.premise_measures import Scale, cheapest, chosen_volume, error_at, volume
from benchmarks.premise_tasks import CASES, TABULAR, case_of
from benchmarks.runs import read

SCALE = Scale(cost=1000.0, error=0.3, tolerance=0.1, near=0.01)
POINTS = [(10.0, 0.5, 0.45), (100.0, 0.3, 0.30), (500.0, 0.2, 0.35)]
"""Cost, validation error, test error: the first is beyond the corner, the last is better on validation alone."""


def bench_of(tmp_path: Path, seconds: float = 60.0) -> Bench:
    return Bench(TABULAR, {}, 0, seconds, tmp_path)


def done(cost: float, error: float, state: str = "COMPLETE") -> Done:
    return Done({}, 8, "", 0.0, state, error, {"bytes": cost})


def test_hypervolume_is_one_for_the_dense_error_at_a_hundredth_of_the_dense_cost() -> None:
    assert volume([(10.0, 0.0, 0.3)], SCALE) == pytest.approx(1.0)
    assert volume([(1000.0, 0.0, 0.1)], SCALE) == 0.0


def test_hypervolume_takes_the_best_on_test_and_chosen_what_validation_prefers() -> None:
    unit = math.log(100) * 0.1
    # (100, .30) reaches .40 - .30 over log(1000 / 100); (500, .35) is dominated on test
    assert volume(POINTS, SCALE) == pytest.approx(math.log(10) * 0.1 / unit)
    # validation takes the member at 500 from there on, which is worse on test
    by_hand = math.log(5) * 0.1 + math.log(2) * 0.05
    assert chosen_volume(POINTS, SCALE) == pytest.approx(by_hand / unit)


def test_what_validation_chooses_beyond_the_corner_counts_nothing() -> None:
    assert chosen_volume([(10.0, 0.2, 0.9)], SCALE) == 0.0
    assert chosen_volume([], SCALE) == 0.0
    assert chosen_volume([(2000.0, 0.1, 0.1)], SCALE) == 0.0


def test_cheapest_is_a_share_of_the_dense_cost_and_never_above_it() -> None:
    assert cheapest(POINTS, SCALE) == pytest.approx(0.1)
    assert cheapest([(10.0, 0.1, 0.32)], SCALE) == 1.0


def test_error_at_a_cost_is_that_of_the_member_that_validation_prefers() -> None:
    assert error_at(POINTS, 99.0) == 0.45
    assert error_at(POINTS, 1000.0) == 0.35
    assert math.isnan(error_at(POINTS, 9.0))


def test_pairs_are_seeds_that_both_arms_have() -> None:
    def measured(*values: float) -> dict[int, dict[str, float]]:
        return {seed: {"hypervolume": v, "cheapest": v} for seed, v in enumerate(values)}

    found = {"joint": measured(0.5, 0.7, 0.9), "small": measured(0.4, 0.4)}
    row = premise_measures.compared(found, "hypervolume", "joint")["small"]
    # differences .1 and .3: mean .2, deviation sqrt(.02), Student's 97.5 % quantile with 1 degree of freedom 12.7062
    assert (row["pairs"], row["better"]) == (2, 2)
    assert row["difference"] == pytest.approx(0.2)
    assert row["half"] == pytest.approx(12.7062 * math.sqrt(0.02) / math.sqrt(2), rel=1e-4)
    logs = premise_measures.compared(found, "cheapest", "joint")["small"]
    assert logs["difference"] == pytest.approx((math.log(0.5 / 0.4) + math.log(0.7 / 0.4)) / 2)
    assert logs["better"] == 0


def test_front_holds_complete_trials_that_no_other_dominates() -> None:
    rows = [done(3, 0.1), done(1, 0.3), done(2, 0.3), done(3, 0.2), done(0.5, math.nan, "PRUNED")]
    assert front(rows, "bytes") == [rows[1], rows[0]]
    assert front([], "bytes") == []


def test_small_hands_over_the_front_of_its_32_bit_networks_too() -> None:
    def of(bits: int, cost: float, error: float) -> Done:
        recipe = {"quantization": {"weights": {"bits": bits}}}
        return Done(recipe, 8, "", 0.0, "COMPLETE", error, {"bytes": cost, "flops": 5.0})

    whole, rounded = of(32, 100.0, 0.2), of(8, 30.0, 0.2)
    handed = premise.handed_over([whole, rounded], [], bits=True, dense=False)
    assert [(d.costs["bytes"], on) for d, on in handed] == [
        (30.0, ["bytes"]),
        (100.0, ["flops", "bytes32", "flops32"]),
    ]


def test_quantizers_go_from_what_costs_nothing_to_what_trains() -> None:
    found = quantizers((2, 4, 8, 32))
    assert found == [("rtn", 8), ("rtn", 4), ("lsq", 4), ("lsq", 2), ("rtn", 2)]


def test_largest_keeps_the_largest() -> None:
    assert largest(torch.tensor([[1.0, -3.0], [2.0, 0.5]]), 2).tolist() == [[0.0, -3.0], [2.0, 0.0]]


def test_shares_by_sensitivity_meet_the_budget_and_spare_what_matters(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    objective = bench.objective()
    setup = objective.setup
    shares = sensitive_amounts(objective, 0.8)
    sizes = {layer.name: layer.weights for layer in setup.profile.layers}
    assert shares.keys() == sizes.keys()
    handed_over = sum(round((1 - share) * sizes[name]) for name, share in shares.items())
    assert 0.15 * sum(sizes.values()) <= handed_over <= 0.2 * sum(sizes.values()) + 1
    assert shares["head"] < max(shares.values())
    parts = {"criterion": "magnitude", "allocation": "each_layer", "amount": {"per_layer": shares}}
    recipe = setup.complete({"sparsity": {"weight": parts}, "training": {"epochs": 1, "finetune_epochs": 1}})
    trial = Trial()
    objective(recipe, trial)
    density = {layer.name: layer.density for layer in trial.info.layers}
    assert density == pytest.approx({name: 1 - share for name, share in shares.items()})
    assert not trial.info.notes


def test_what_is_uncounted_is_free_and_no_trial_begins_after_the_end(tmp_path: Path) -> None:
    at = [0.0]
    bench = Bench(TABULAR, {}, 0, 3.0, tmp_path, clock=ticking(at, probes=[0.03]))
    at[0] += 1
    with bench.clock.uncounted():
        at[0] += 3
        assert bench.now() == pytest.approx(1)
    assert not bench.over()
    at[0] += 2
    assert bench.over()


def ticking(at: list[float], probes: list[float]) -> WorkClock:
    """A clock over a time that is set by hand; each probe takes as long as the list says, the last one for ever."""

    def probe() -> None:
        at[0] += probes.pop(0) if len(probes) > 1 else probes[0]

    return WorkClock(lambda: at[0], probe)


def test_a_second_of_work_takes_longer_where_the_probe_does() -> None:
    at = [7.0]
    clock = ticking(at, probes=[0.03, 0.03, 0.03, 0.06])
    at[0] += 6  # at full speed, after which the probe is due
    assert clock() == pytest.approx(6)
    at[0] += 6
    assert clock() == pytest.approx(12)  # the median of three probes is still that of a quiet machine
    at[0] += 6
    assert clock() == pytest.approx(15)  # now half as much is done in a second
    assert clock.processor == pytest.approx(18)
    assert clock.speed == pytest.approx(0.03 / ((3 * 0.03 + 3 * 0.06) / 6))


def test_quantizing_keeps_the_training_and_the_sparsity(tmp_path: Path) -> None:
    setup = bench_of(tmp_path).objective().setup
    recipe = setup.complete({"training": {"lr": 0.1}, "sparsity": {"weight": {"amount": 0.5}}})
    found = with_bits(recipe, "lsq", 4)
    assert setup.complete(found) == found
    assert found["quantization"]["weights"]["bits"] == 4
    assert {k: v for k, v in found.items() if k != "quantization"} == {
        k: v for k, v in recipe.items() if k != "quantization"
    }


def test_all_arms_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["premise", "tabular", "--seconds", "1.5", "--seeds", "1", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", argv)
    premise.main()
    rows: list[dict[str, Any]] = list(read(tmp_path / "premise_tabular.jsonl"))
    assert [(r["seed"], r["arm"]) for r in rows] == [(0, arm) for arm in ARMS]
    for row in rows:
        assert row["spent"] >= 1.5 or row["arm"] == "small"  # which has nothing left to quantize before
        assert row["notes"] == []  # nothing was predicted wrongly: members have the sparsity and the bits they claim
        assert row["members"]
        for member in row["members"]:
            assert 0 <= member["error_test"] <= 1
        whole = [t for t in row["trials"] if t[2] == "COMPLETE"]
        assert min(t[3] for t in whole) == pytest.approx(min(m["error"] for m in row["members"]), abs=1e-5)
    assert {m["width"] for r in rows if r["arm"] == "small" for m in r["members"]} <= set(TABULAR.narrow)
    dense = next(r for r in rows if r["arm"] == "dense")["members"]
    assert len(dense) == 1
    assert dense[0]["recipe"]["training"]["epochs"] == 5 + 15 + 3

    page = (tmp_path / "premise_tabular.md").read_text()
    assert all(shown in page for shown in premise_report.SHOWN.values())
    measured = json.loads((tmp_path / "premise_tabular.json").read_text())
    assert measured["bytes"]["measures"]["dense"]["0"]["cheapest"] == 1.0
    assert (tmp_path / "premise_tabular.png").read_bytes().startswith(b"\x89PNG")

    before = (tmp_path / "premise_tabular.jsonl").read_bytes()
    premise.main()  # nothing is missing, so nothing is run
    assert (tmp_path / "premise_tabular.jsonl").read_bytes() == before


def test_cases_have_spaces_that_hold_their_dense_network() -> None:
    assert len({case.digest for case in CASES.values()}) == len(CASES)
    with pytest.raises(Exception, match="allowed are digits"):
        case_of("nothing")
