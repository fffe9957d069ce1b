"""A study of a task: from its specification to an engine and an objective, then through the search to its end."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np

from autoreg.artifacts.export import FileFormat
from autoreg.costs.predict import predict
from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog
from autoreg.engine.log.trial import Trial
from autoreg.engine.pareto.front import Normalizer
from autoreg.engine.problem import Interval, Problem, QualityPrior
from autoreg.engine.pruning.halving import Halving
from autoreg.engine.settings import SharedWork, Strategy
from autoreg.engine.transfer.prior import load_prior, save_prior
from autoreg.errors import InputError
from autoreg.execution import run
from autoreg.plan import uncompressed
from autoreg.space import Budget, Space, StudySpec
from autoreg.study.baselines import chosen_starters, empty_slots, possible_baselines
from autoreg.study.environment import machine, trial_device, versions
from autoreg.study.folder import open_folder, single_writer, write_posterior
from autoreg.study.follower import Follower, open_view
from autoreg.study.hypervolume_scale import hypervolume_scale
from autoreg.study.metric_names import check_metrics
from autoreg.study.options import RunOptions
from autoreg.study.study import Study
from autoreg.study.subset_spec import check_fractions, data_fractions
from autoreg.tasks.splits import sample_count
from autoreg.training_length import rung_stage, trained_after
from autoreg.trial.objective import TaskObjective
from autoreg.trial.reference import CurveRequest, UntrainedReference
from autoreg.trial.resolve import resolve_network
from autoreg.trial.setup import TrialOptions
from autoreg.trial.store import default_store
from autoreg.trial.summary import cost_metrics
from autoreg.trial.task_ref import TaskRef

CHECKED_RECIPES = 200  # drawn from the space before anything trains
MAX_CHECKED_RECIPES = 3000  # before a study is refused because no drawn recipe meets its constraints


class TaskStudy:
    """One study of a task, made ready to run.

    Everything is checked when it is made: space against methods and task, objectives, constraints.

    Args:
        spec: what is searched.
        options: how it is run.

    Raises:
        InputError: something in the specification is wrong; nothing has been trained.
    """

    notices: tuple[str, ...] = ()
    prepared: Mapping[str, float] = {}
    _curves: Sequence[CurveRequest] = ()

    def __init__(self, spec: StudySpec, options: RunOptions) -> None:
        self.spec, self.options = spec, options
        self.ref = TaskRef(
            spec.task,
            {**spec.task_params, **options.params},
            options.imports,
            None if spec.path is None else str(spec.path.resolve().parent),
        )
        store = options.store or default_store()
        trial_options = TrialOptions(
            str(store),
            cache=options.cache,
            device=trial_device(options.executor, options.gpus_per_trial),
            reference_seed=spec.seed,
        )
        self.objective = TaskObjective(self.ref, trial_options, rungs=options.rungs)
        setup = self.objective.setup
        self.space: Space = spec.space.bind(setup.registry, setup.layers, setup.defaults)
        named = {*spec.objectives}.union(*(rule.names for rule in (*self.space.constraints, *spec.constraints)))
        self.objective.latency = self.objective.latency_needed = bool(named & {"latency_ms", "dense.latency_ms"})
        if named & {"file_bytes", "dense.file_bytes"}:
            self.objective.file_format = FileFormat(spec.format, spec.compress)
        check_metrics(spec, self.space.constraints, setup.task)
        self._check_recipes()
        check_fractions(spec, self.space, options, setup)
        self.prior = load_prior(options.folder, self.space, options.warm_start)
        self.notices += tuple([] if self.prior is None else self.prior.notices())

    @property
    def quality(self) -> str:
        """The metric of the task that is learned."""
        return self.objective.setup.task.quality

    def _check_recipes(self) -> None:
        """Refuse a space of which this network can carry out no recipe, or none that meets the constraints.

        Recipes that ask for what the network does not have (blocks to drop, channels that can go) are passed over by
        the search; `notices` says so. Levels are resolved on an untrained reference: nothing has been trained yet.
        """
        setup = self.objective.setup
        untrained = UntrainedReference(setup)
        dense = {f"dense.{name}": value for name, value in cost_metrics(predict(setup.profile)).items()}
        rules = [*self.space.constraints, *self.spec.constraints]
        broken: Counter[str] = Counter()
        impossible: Counter[str] = Counter()
        met = False
        rng = np.random.default_rng(self.spec.seed)
        draws = 0
        while draws < CHECKED_RECIPES or (not met and draws < MAX_CHECKED_RECIPES):
            draws += 1
            recipe = self.space.sample(rng)
            try:
                network, levels = resolve_network(recipe, untrained)
                metrics = {**dense, **cost_metrics(predict(network.profile, levels))}
            except InputError as error:
                impossible[str(error)] += 1
                continue
            violated = [r.text for r in rules if r.names <= metrics.keys() and r.violation(metrics) > 0]
            broken.update(violated)
            met = met or not violated
        self._curves = untrained.requested
        if sum(impossible.values()) == draws:
            raise InputError(impossible.most_common(1)[0][0])
        if not met:
            often = "; ".join(f"{text} ({count} times)" for text, count in broken.most_common(3))
            raise InputError(
                f"constraints: none of {draws} recipes drawn from the space meets them at its known cost; broken are "
                f"{often}. Loosen them or widen the space."
            )
        self.notices = tuple(
            f"{count / draws:.0%} of the space is passed over: {reason}" for reason, count in impossible.most_common(3)
        )

    @cached_property
    def dense(self) -> dict[str, float]:
        """Metrics of the dense recipe with the study's seed; of a study that goes on, as they were measured then."""
        before = self.options.folder / "study.json"
        if self.options.resume and before.exists():
            known: dict[str, Any] = json.loads(before.read_text(encoding="utf-8"))
            if known.get("dense"):
                prepared = known.get("prepared", {})
                self.prepared = {{"epochs_paid": "epochs_run"}.get(k, k): v for k, v in prepared.items()}  # older name
                return dict(known["dense"])
        try:
            metrics = self.objective(self.dense_recipe, trial := Trial(number=-1, seed=self.spec.seed))
        except (ArithmeticError, RuntimeError, MemoryError) as error:
            raise InputError(
                f"task {self.objective.setup.task.name!r}: its dense recipe cannot be trained "
                f"({type(error).__name__}: {error}); mend the task or its training settings"
            ) from error
        self.prepared = {"epochs_run": trial.info.epochs_run or 0.0, "seconds": trial.info.seconds or 0.0}
        return metrics

    def prepare(self) -> None:
        """Train what everything is measured against: the dense recipe, and the reference that levels look at.

        The reference's distortion curves are measured too, where the space asks for them; what they cost is added to
        what was prepared.
        """
        _, reference = self.dense, self.objective.reference
        _ = reference.model
        for asked in self._curves:
            reference.curves(*asked)
        if reference.spent["seconds"] > 0 and "curve_seconds" not in self.prepared:
            before = {name: self.prepared.get(name, 0.0) for name in ("epochs_run", "seconds")}
            self.prepared = {
                "epochs_run": before["epochs_run"] + reference.spent["epochs"],
                "seconds": before["seconds"] + reference.spent["seconds"],
                "curve_epochs": reference.spent["epochs"],
                "curve_seconds": reference.spent["seconds"],
            }

    @cached_property
    def dense_recipe(self) -> dict[str, Any]:
        """The dense recipe at the training that the space fixes, so that it costs what the others cost.

        Of the shares of the data that the space allows it has the largest.
        """
        varies = {parameter.path for parameter in self.space.parameters}
        sample = self.space.sample(np.random.default_rng(0))["training"]
        fixed = {name: value for name, value in sample.items() if f"training.{name}" not in varies}
        if found := data_fractions(self.space):
            fixed["share"] = max(found)
        training = {**self.objective.setup.dense["training"], **fixed}
        return self.objective.setup.complete({**empty_slots(self.space), "training": training})

    @cached_property
    def normalizer(self) -> Normalizer:
        """How hypervolume is taken; fixed here."""
        rules, chance = (*self.space.constraints, *self.spec.constraints), self.objective.setup.task.chance
        return hypervolume_scale(self.spec.objectives, self.quality, rules, self.dense, chance)

    def study_config(self) -> dict[str, Any]:
        """What study.json holds."""
        spec, setup = self.spec, self.objective.setup
        model, file_format = self.objective.latency_model, self.objective.file_format
        return {
            "name": spec.name,
            "task": {
                "name": str(self.ref.name),
                "params": dict(self.ref.params),
                "fingerprint": setup.task.fingerprint(),
            },
            "task_note": setup.task.note,
            "imports": list(self.ref.imports),
            "study_folder": self.ref.study_folder,
            "space": self.space.to_dict(),
            "space_digest": self.space.digest,
            "objectives": dict(spec.objectives),
            "constraints": [str(c) for c in (*self.space.constraints, *spec.constraints)],
            "budget": asdict(spec.budget),
            "seed": spec.seed,
            "sampler": spec.sampler,
            "baselines": spec.baselines,
            "final_seeds": spec.final_seeds,
            "quality": self.quality,
            "chance": setup.task.chance,
            "samples": self._samples(),
            "dense": self.dense,
            "prepared": dict(self.prepared),
            "normalizer": self.normalizer.to_dict(),
            "file_format": None
            if file_format is None
            else {"format": file_format.name, "compress": file_format.compress},
            "store": str(self.objective.options.store),
            "options": {
                "cache": self.objective.options.cache,
                "device": setup.device.type,
                "threads": self.objective.options.threads,
            },
            "latency_table": None if model is None else model.summary(),
            "machine": machine(),
            "versions": versions(),
        }

    def _samples(self) -> dict[str, int | None]:
        """How many samples the first fold scores, and how many folds there are; nothing of a split is read for it."""
        task = self.objective.setup.task
        loaders = self.objective.setup.loaders(task.folds[0])
        return {"folds": len(task.folds), **{name: sample_count(loaders[name]) for name in ("validation", "test")}}

    def baselines(self) -> dict[str, dict[str, Any]]:
        """The recipes that a search is compared with, by name: those that this network can carry out."""
        return possible_baselines(self.objective, self.dense_recipe, full=self.spec.baselines == "full")

    def starters(self) -> list[tuple[str, dict[str, Any]]]:
        """The baselines that are trials of the search, in the space or not, in order."""
        return chosen_starters(self.objective, self.baselines(), self.spec)

    def uncompressed(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """The recipe of the same training with nothing removed or quantized, None where the space has none.

        One that is fine-tuned stands for it only where the space fixes fine-tuning, so that all recipes are.
        """
        varies = any(p.path == "training.finetune_epochs" for p in self.space.parameters)
        found = uncompressed(config, self.objective.setup.dense)
        return next((c for c in found if c in self.space and not (varies and c["training"]["finetune_epochs"])), None)

    def costs(self, config: dict[str, Any]) -> dict[str, float | Interval]:
        """What is known of a recipe before it trains: exactly, but what is predicted, which are intervals."""
        costs, intervals = self.objective.costs_and_intervals(config)
        return {**costs, **{name: Interval(*interval.ends) for name, interval in intervals.items()}}

    @property
    def strategy(self) -> Strategy:
        """How recipes are chosen and stopped, as the study file and the options say."""
        return Strategy(
            sampler=self.spec.sampler,
            starters=self.starters(),
            prune=Halving(every_report_is_rung=True) if self.options.rungs else False,
            screen=None if self.options.screen else False,
        )

    def engine(
        self,
        log: EventLog,
        *,
        strategy: Strategy | None = None,
        prior: QualityPrior | None = None,
        budget: Budget | None = None,
        normalizer: Normalizer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Engine:
        """An engine for this study over an event log; what is not given is the study's own, but for the prior.

        The reference that costs are resolved on is made ready here: while trials run, the process that answers their
        reports must never wait for an entry of the store that one of them holds.
        """
        spec = self.spec
        self.prepare()
        problem = Problem(
            self.space,
            dict(spec.objectives),
            self.quality,
            self.objective.identity,
            costs=self.costs,
            constraints=tuple(spec.constraints),
            reference={f"dense.{name}": value for name, value in self.dense.items()},
            prior=prior,
            base=self.dense_recipe,
            learned_costs=() if self.objective.file_format is None else ("file_bytes",),
        )
        costs = self.objective.phase_costs if self.options.cache else None
        return Engine(
            problem,
            budget=budget or spec.budget,
            seed=spec.seed,
            strategy=strategy or self.strategy,
            shared_work=SharedWork(costs, self.objective.training_key, self.uncompressed, trained_after, rung_stage),
            normalizer=normalizer or self.normalizer,
            log=log,
            clock=clock,
        )

    def run(self, *, progress: bool = False) -> Study:
        """Search until the budget is spent, writing the folder as it goes."""
        folder = self.options.folder
        with single_writer(folder):
            storage = self.options.storage or str(folder / "optuna.journal")
            view = open_view(storage, self.spec.name, dict(self.spec.objectives), self.space)
            self.prepare()
            open_folder(folder, self.study_config(), resume=self.options.resume)
            save_prior(folder, self.prior)
            with EventLog(folder / "events.jsonl") as log:
                engine = self.engine(log, prior=self.prior, budget=self._budget())
                with Follower(engine, view, progress=progress) as follower:
                    run(engine, self.objective, **self.execution(), on_event=follower)
                write_posterior(folder, engine)
        return Study(engine, folder)

    def _budget(self) -> Budget:
        """What is left of the budget for the study proper: epochs that a warm start took are gone."""
        budget, taken = self.spec.budget, self.prepared.get("subset_epochs", 0.0)
        return replace(budget, epochs=None if budget.epochs is None else max(budget.epochs - taken, 0.0))

    def execution(self) -> dict[str, Any]:
        """Arguments of `autoreg.execution.run`."""
        options = self.options
        chosen: dict[str, Any] = {"executor": options.executor, "workers": options.workers}
        if options.executor == "ray":
            chosen |= {"address": options.address, "gpus_per_trial": options.gpus_per_trial}
        return chosen
