"""Which baselines a search begins with."""

from __future__ import annotations

from autoreg.engine.starters import Starter, choose_starters
from autoreg.space import Budget

DENSE = Starter("dense", {}, {"flops": 100.0, "bytes": 400.0}, (("train", 10.0),))
INT8 = Starter("int8", {}, {"flops": 100.0, "bytes": 100.0}, (("train", 10.0), ("round", 0.0)))
HALF = Starter("half", {}, {"flops": 25.0, "bytes": 100.0}, (("half", 10.0),))
HALF_INT8 = Starter("half int8", {}, {"flops": 25.0, "bytes": 25.0}, (("half", 10.0), ("round half", 0.0)))
TAUGHT = Starter("half, taught", {}, {"flops": 25.0, "bytes": 100.0}, (("taught", 10.0),))
ALL = (DENSE, INT8, HALF, TAUGHT, HALF_INT8)


def names(chosen: list[Starter]) -> list[str]:
    return [one.name for one in chosen]


def test_what_tells_most_per_epoch_still_to_be_run_comes_first() -> None:
    """By bytes int8 is free and a quarter; half of the channels in 8 bits is a sixteenth, and pays for those in 32."""
    assert names(choose_starters(ALL, ["bytes"], Budget())) == ["dense", "int8", "half int8", "half", "half, taught"]
    far = Starter("half, taught", {}, {"bytes": 90.0}, TAUGHT.phases)
    assert names(choose_starters((DENSE, HALF, far), ["bytes"], Budget())) == ["dense", "half, taught", "half"]


def test_rounding_that_no_objective_sees_is_left_out() -> None:
    """By FLOPs a network in 8 bits costs what it costs in 32; one that learned from a teacher may be better."""
    assert names(choose_starters(ALL, ["flops"], Budget())) == ["dense", "half", "half, taught"]
    assert "int8" in names(choose_starters(ALL, ["flops", "latency_ms"], Budget()))  # which nobody knows yet


def test_starters_take_a_fifth_of_a_budget_at_most() -> None:
    assert names(choose_starters(ALL, ["bytes"], Budget(trials=10))) == ["dense", "int8"]
    assert len(choose_starters(ALL, ["bytes"], Budget(trials=19))) == 3
    assert len(choose_starters(ALL, ["bytes"], Budget(trials=1000))) == 5
    # a fifth of 110 epochs pays for dense and one narrow network, with all that share their training
    assert names(choose_starters(ALL, ["bytes"], Budget(epochs=110))) == ["dense", "int8", "half int8", "half"]


def test_without_shared_work_each_costs_the_same() -> None:
    alone = [Starter(one.name, {}, one.costs) for one in ALL]
    assert names(choose_starters(alone, ["bytes"], Budget(trials=15))) == ["dense", "half int8", "int8"]
