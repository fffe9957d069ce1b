"""The arms of "joint against sequential"; each fills a `Bench` with trials until its seconds are over."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

from autoreg.engine import Budget, Engine, EventLog, Halving, Normalizer, Problem, SharedWork, Strategy
from autoreg.engine.log.trial import Trial
from autoreg.errors import InputError
from autoreg.execution import run_local
from autoreg.space import Space
from autoreg.space.study_spec import StudySpec
from autoreg.study.options import RunOptions
from autoreg.study.task_study import TaskStudy
from autoreg.training_length import rung_stage, trained_after
from benchmarks.premise_allocation import sensitive_amounts
from benchmarks.premise_bench import Bench, Done, Recipe, front, make_ready
from benchmarks.premise_tasks import ABLATIONS, Family

SHARES = {"train": 0.5, "sparsify": 0.25}
"""Of the seconds of the sequential arm; the rest quantizes."""
SMALL_TUNING = 0.9
"""Of the seconds of the small networks; the rest quantizes what they found."""
BEST_SMALL = 2
"""Trials of each width that are quantized."""


OBJECTIVES: dict[str, Literal["min"]] = {"bytes": "min", "flops": "min"}
"""Costs that the joint arms seek beside the error."""


def joint(bench: Bench, without: str = "") -> None:
    """Our engine, sampler auto, over the whole space: quality, bytes and FLOPs at once.

    Its scale is that of the measure: hypervolume below the dense error plus the tolerance, and the dense costs.

    Args:
        bench: of the arm.
        without: one of `ABLATIONS`, which the space leaves out.
    """
    study, scale = _whole_space(bench, without)
    with bench.stage("search"):
        engine = study.engine(EventLog(), normalizer=scale, budget=Budget(), clock=bench.clock)
        run_local(engine, bench.watched(study.objective, "joint", bench.case.width), in_process=True, stop=bench.over)


def tpe(bench: Bench) -> None:
    """Optuna's TPE over the space of the joint arm, for the same objectives; no starters, no filter, no surrogate."""
    study, scale = _whole_space(bench, "")
    study.objective.rungs = False
    strategy = Strategy(sampler="tpe", prune=False, screen=False)
    with bench.stage("search"):
        engine = study.engine(EventLog(), normalizer=scale, strategy=strategy, budget=Budget(), clock=bench.clock)
        run_local(engine, bench.watched(study.objective, "tpe", bench.case.width), in_process=True, stop=bench.over)


def _whole_space(bench: Bench, without: str) -> tuple[TaskStudy, Normalizer]:
    """A study of the whole space, made ready, and its scale."""
    case = bench.case
    objectives: dict[str, Literal["min", "max"]] = {case.quality: "min", **OBJECTIVES}
    with bench.clock.uncounted():
        space = Space.from_dict(case.joint(without), "premise")
        ref = bench.ref(case.width)
        spec = StudySpec(
            "premise", str(ref.name), space, objectives, dict(ref.params), budget=Budget(), seed=bench.seed
        )
        study = TaskStudy(spec, RunOptions(bench.folder / "study", store=bench.folder / "store"))
        study.objective.latency = False
        make_ready(study.objective)
    with bench.stage("prepare"):
        dense = study.dense[case.quality]
        study.prepare()
    corner, ideal = dense + case.tolerance, max(0.0, dense - 2 * case.tolerance)
    return study, Normalizer.from_dense(objectives, study.dense, case.quality, corner, best=ideal)


def tune(
    bench: Bench, width: int, until: float, stage: str, *, distilled: int | None = None, **epochs: int
) -> list[Done]:
    """Tune the training of a network that nothing is removed from, by TPE on its error, the default training first.

    With `distilled` it is narrowed to that width from the start and learns from the dense network, or from several.

    Bad trials are stopped early by the optimistic bound, which helps where the rung is the error of the network itself;
    the joint arm stops none, as is the default of tasks.
    """
    objective = bench.objective(width)
    with bench.clock.uncounted():
        setup = objective.setup
        tree = bench.case.dense(**epochs) if distilled is None else bench.case.distilled(distilled, **epochs)
        space = Space.from_dict(tree, "training")
        space = space.bind(setup.registry, setup.layers, setup.defaults)
        start: Recipe = {"training": epochs}
        if distilled is not None:
            start |= {"network": tree["network"], "teacher": {"kd": {"of": "dense"}}}
        start = setup.complete(start)
    quality = bench.case.quality
    engine = Engine(
        Problem(space, {quality: "min"}, quality, objective.identity),
        seed=bench.seed,
        strategy=Strategy(sampler="tpe", starters=[("dense", start)], prune=Halving(every_report_is_rung=True)),
        shared_work=SharedWork(group=objective.training_key, trained_after=trained_after, rung_stage=rung_stage),
        clock=bench.clock,
    )
    before = len(bench.done)
    objective.rungs = True
    run_local(engine, bench.watched(objective, stage, width), in_process=True, stop=lambda: bench.over(until))
    return [d for d in bench.done[before:] if d.state == "COMPLETE"]


def dense(bench: Bench) -> None:
    """The dense network, its training tuned, trained for all the epochs that a recipe of the joint arm may have."""
    with bench.stage("train"):
        tune(bench, bench.case.width, bench.seconds, "train", **full_epochs(bench))


def small(bench: Bench) -> None:
    """Narrow networks from scratch, each tuned for an equal part of the seconds, then quantized after training."""
    _small(bench, distilled=False)


def distilled(bench: Bench) -> None:
    """The same with the dense network, or four of them, as teachers, whose training counts."""
    _small(bench, distilled=True)


def _small(bench: Bench, *, distilled: bool) -> None:
    case = bench.case
    best: list[Done] = []
    with bench.stage("train"):
        for k, width in enumerate(case.narrow, 1):
            until = SMALL_TUNING * bench.seconds * k / len(case.narrow)
            own, narrow = (case.width, width) if distilled else (width, None)
            found = tune(bench, own, until, f"width {width}", distilled=narrow, **full_epochs(bench))
            best += sorted(found, key=lambda d: d.error)[:BEST_SMALL]
    with bench.stage("quantize"):
        for bits in sorted(case.bits)[::-1][1:]:
            for member in best:
                if bench.over():
                    return
                bench.carry_out(with_bits(member.recipe, "rtn", bits), "quantize", member.width)


def full_epochs(bench: Bench) -> dict[str, int]:
    """All epochs of a recipe in one stretch: training, and what others spend on fine-tuning and quantizing."""
    names = ("epochs", "finetune_epochs", "qat_epochs")
    training = bench.objective().setup.task.training
    return {"epochs": sum(int(training[name]) for name in names), "finetune_epochs": 0}


def sequential(bench: Bench) -> None:
    """Tune the training; with the best one fixed remove weights, channels or blocks; quantize what came out.

    Half of the seconds for the first stage, a quarter for the second, the rest for the third. Every variant starts
    from the tuned weights and is fine-tuned just as the joint arm's are; levels follow the tuned network.
    """
    case = bench.case
    with bench.stage("train"):
        found = tune(bench, case.width, SHARES["train"] * bench.seconds, "train", finetune_epochs=0)
    if not found:
        raise InputError("premise: no training of the dense network ended; give the arms more seconds")
    tuned = min(found, key=lambda d: d.error).recipe
    objective = bench.objective()
    objective.rungs, objective.tuned = False, tuned
    own = objective.setup.task.training["finetune_epochs"]
    base: Recipe = {**tuned, "training": {**tuned["training"], "finetune_epochs": own}}
    with bench.stage("sparsify"):
        results = [bench.carry_out(base, "sparsify")]
        removals = Removals(bench, base, results)
        while not bench.over(sum(SHARES.values()) * bench.seconds) and removals.next() is not None:
            pass
    limit = min(d.error for d in [*found, *results] if d.state == "COMPLETE") + case.tolerance
    with bench.stage("quantize"):
        members = [d for d in front(results, "bytes") if d.error <= limit]
        for quantizer, bits in quantizers(case.bits):
            for member in members[::-1]:  # from the most accurate on, until they are no good
                if bench.over():
                    return
                if not bench.carry_out(with_bits(member.recipe, quantizer, bits), "quantize").error <= limit:
                    break
        while not bench.over() and (more := removals.next()) is not None:  # seconds are left: more of the second stage
            for quantizer, bits in quantizers(case.bits)[:3]:
                if not bench.over() and more.error <= limit:
                    bench.carry_out(with_bits(more.recipe, quantizer, bits), "quantize")


class Removals:
    """What the sequential arm removes: every family at its first amount, then finer ones of those on the front.

    Args:
        bench: carries them out.
        base: the tuned recipe.
        results: trials of the stage so far; added to.
    """

    def __init__(self, bench: Bench, base: Recipe, results: list[Done]) -> None:
        self._bench, self._base, self._results = bench, base, results
        case = bench.case
        self._left = {family: list(case.amounts[family.structure]) for family in case.families}
        self._tried: dict[Family, list[Done]] = {family: [] for family in case.families}

    def next(self) -> Done | None:
        """Carry out the next one; None when all were. What this network cannot do is passed over."""
        while (family := self._family()) is not None:
            with contextlib.suppress(InputError):  # blocks to drop that it does not have
                done = self._bench.carry_out(self._recipe(family, self._left[family].pop(0)), "sparsify")
                self._results.append(done)
                self._tried[family].append(done)
                return done
        return None

    def _family(self) -> Family | None:
        """The one with fewest trials among those on the front; the untried first, and any when those are through."""
        left = [family for family, amounts in self._left.items() if amounts]
        best = {id(done) for done in front(self._results, "bytes")}
        live = [f for f in left if not self._tried[f] or any(id(done) in best for done in self._tried[f])]
        return min(live or left, key=lambda f: len(self._tried[f]), default=None)

    def _recipe(self, family: Family, amount: float) -> Recipe:
        bench, base = self._bench, self._base
        objective = bench.objective()
        dropped = int(amount) if family.structure == "drop" else family.dropped
        if dropped:
            base = {**base, "layers": {**base["layers"], "drop": {"angular": {"count": dropped}}}}
        if family.structure == "drop":
            return objective.setup.complete(base)
        parts: dict[str, Any] = {"amount": amount, "criterion": "magnitude", "schedule": "gradual"}
        parts["allocation"] = family.rule
        if family.rule == "sensitivity":
            parts |= {"allocation": "each_layer", "amount": {"per_layer": sensitive_amounts(objective, amount)}}
        if family.structure == "channel":
            parts["round_to"] = bench.case.removal["sparsity"][2]["channel"]["round_to"]
        return objective.setup.complete({**base, "sparsity": {family.structure: parts}})


def quantizers(bits: tuple[int, ...]) -> list[tuple[str, int]]:
    """Quantizers and bits in the order in which an engineer tries them: rounding first, then with training."""
    low = sorted(b for b in bits if b < 32)[::-1]
    return [("rtn", low[0]), *(("rtn", b) for b in low[1:2]), *(("lsq", b) for b in low[1:]), ("rtn", low[-1])]


def with_bits(recipe: Mapping[str, Any], quantizer: str, bits: int) -> Recipe:
    """The recipe with its weights held in so many bits."""
    before = recipe["quantization"]
    weights = {**before["weights"], "bits": bits}
    return {**recipe, "quantization": {**before, "quantizer": {quantizer: {}}, "weights": weights}}


ARMS: dict[str, Callable[[Bench], None]] = {
    "joint": joint,
    "sequential": sequential,
    "dense": dense,
    "small": small,
    "distilled": distilled,
    "tpe": tpe,
}
"""What is compared; the ablations are called by name alone."""
ABLATED: dict[str, Callable[[Bench], None]] = {
    f"joint_without_{name}": functools.partial(joint, without=name) for name in ABLATIONS
}


def warm_up(bench: Bench) -> None:
    """Import what engines use, and train once: the first arm of a process must not pay for it."""

    from autoreg.engine.surrogate import ensemble

    assert ensemble
    import xgboost

    assert xgboost
    objective = bench.objective()
    one = {"epochs": 1, "finetune_epochs": 0}
    objective(objective.setup.complete({"training": one}), Trial(seed=bench.seed))
