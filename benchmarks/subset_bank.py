"""Does a share of the training data tell which recipes are good, and does it pay to ask it first?

    python -m benchmarks.subset_bank search --seeds 3
    python -m benchmarks.subset_bank order --images 697

`search` lets our engine search the table `own-digits` (200 images) cold, and warm-started from 40 recipes, drawn
evenly, that are really trained on a share of the data: a bank's, or as many rows drawn evenly (`even`). Epochs are
weighted and shared phases are paid once; those of the subset are part of the cost. The common start is the dense recipe
alone. Rank correlations are Spearman's, with the errors on all data: of the same seed (`seen`) and as the judge has
them (`truth`, the mean test error of the other seeds).

`order` gives rank correlations for another number of images; there, recipes are trained on all data too.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreg.engine.log.trial import Trial
from autoreg.engine.transfer.earlier_studies import Source, rank_correlation
from autoreg.engine.transfer.prior import Prior
from autoreg.space.transfer import shared
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.subset import Subsets
from autoreg.trial.task_ref import TaskRef
from benchmarks.tables.arms import Arm, Run, Task, run
from benchmarks.tables.arms.ours import Ours
from benchmarks.tables.grids import GRIDS
from benchmarks.tables.measures import trials_to
from benchmarks.tables.names import judge_of, load

TABLE, GRID = "own-digits", GRIDS["digits"]
KINDS = {"bank 0.1": ("bank", 0.1), "even 0.1": ("even", 0.1), "bank 0.3": ("bank", 0.3)}


class Even(Subsets):
    """Subsets that know no classes: rows are drawn evenly."""

    classes = None


@dataclass(frozen=True)
class Tried:
    """Errors of recipes in their order, and the weighted epochs that were paid for them, shared phases once."""

    errors: np.ndarray
    epochs: float


def tried(configs: Sequence[Mapping[str, Any]], kind: str, share: float, seed: int, images: int) -> Tried:
    """Train recipes on a share of the digits, `bank` or `even`; one whose loss becomes infinite is at chance."""
    with tempfile.TemporaryDirectory() as store:
        ref = TaskRef(GRID.task, {**GRID.params, "train_images": images})
        objective = TaskObjective(ref, TrialOptions(store, device="cpu"), latency=False, rungs=False)
        setup = objective.setup
        if kind == "even":
            setup._subsets["all"] = Even(setup.task, setup.loaders("all")["train"], "", None)
        errors, epochs = [], 0.0
        for config in configs:
            training = dict(config["training"]) | ({} if share == 1 else {"share": share})
            trial = Trial(seed=seed)
            try:
                errors.append(objective(setup.complete({**config, "training": training}), trial)[setup.task.quality])
            except ArithmeticError:
                errors.append(setup.task.chance)
            epochs += trial.info.epochs_run or 0.0
    return Tried(np.array(errors), epochs)


def order(images: int, count: int, seed: int) -> None:
    """Print what shares of the data say of the order of recipes."""
    configs = drawn(count, seed)
    whole = tried(configs, "bank", 1.0, seed, images)
    print(f"{images} images, {count} recipes: {whole.epochs:.0f} epochs, median error {np.median(whole.errors):.3f}")
    for name, what in KINDS.items():
        got = tried(configs, *what, seed, images)
        print(f"{name}: {got.epochs:.0f} epochs, {agreement(got.errors, whole.errors)}", flush=True)


def agreement(errors: np.ndarray, whole: np.ndarray) -> str:
    """How far errors on a share agree with those on all data, in words."""
    good = whole <= np.median(whole)
    few, all_ = rank_correlation(errors[good], whole[good]), rank_correlation(errors, whole)
    return f"median error {np.median(errors):.3f}, rank correlation {all_:.2f} ({few:.2f} in the better half)"


def drawn(count: int, seed: int) -> list[Mapping[str, Any]]:
    """Recipes of the grid, drawn evenly without replacement."""
    configs = GRID.configs()
    return [configs[k] for k in np.random.default_rng([seed, 0xB4]).choice(len(configs), count, replace=False)]


def searched(seed: int, trials: int, prior: Prior | None) -> Run:
    """A run of our engine on the table."""

    class Warm(Ours):
        more = {} if prior is None else {"prior": prior}

    def made(task: Task) -> Arm:
        return Warm(task)

    return run(made, load(TABLE), seed, trials, 1)


def search(seeds: int, trials: int, count: int) -> None:
    """Print for each seed what a warm start saves."""
    table, saved = load(TABLE), dict[str, list[float]]()
    half = trials // 2
    for seed in range(seeds):
        cold, judge, configs = searched(seed, trials, None), judge_of(TABLE, seed), drawn(count, seed)
        rows = [table.row(config) for config in configs]
        seen, truth = table.seen(seed)[rows], judge.truths[rows]
        curve = judge.found(cold.rows, 1)
        paid = paid_to(curve, cold.epochs, float(curve[half - 1]))
        print(f"seed {seed}, cold: tight {curve[half - 1]:.3f}, {curve[-1]:.3f} after {half}, {trials} trials")
        print(f"  the first of them at {paid:.0f} epochs; all data: truth {agreement(seen, truth)}", flush=True)
        for name, (kind, share) in KINDS.items():
            got = tried(configs, kind, share, GRID.seeds[seed % len(GRID.seeds)], int(GRID.params["train_images"]))
            flats = [shared(table.space.root, config) for config in configs]
            source = Source.of(table.space, name, flats, got.errors.tolist())
            prior = Prior(table.space, [source])
            warm = searched(seed, trials, prior)
            reached = judge.found(warm.rows, 1)
            own = paid_to(reached, warm.epochs, float(curve[half - 1]))
            saved.setdefault(name, []).append(paid - own - got.epochs)
            used = "used" if source.predictive else "not used"
            print(
                f"  {name}: {got.epochs:.0f} epochs; seen: {agreement(got.errors, seen)}; truth: "
                f"{rank_correlation(got.errors, truth):.2f}; own held-out trials {source.correlation:.2f}, {used}, "
                f"dropped at {prior.dropped_at}; tight {reached[half - 1]:.3f}, {reached[-1]:.3f}; "
                f"cold value at {own:.0f} + {got.epochs:.0f} epochs",
                flush=True,
            )
    for name, values in saved.items():
        print(f"{name}: epochs saved to the cold value at {half} trials: {', '.join(f'{v:.0f}' for v in values)}")


def paid_to(curve: np.ndarray, epochs: Sequence[float], goal: float) -> float:
    """Epochs paid until a curve reaches a goal; infinite when it does not."""
    count = trials_to(np.asarray(curve), goal)
    return float(np.sum(epochs[: int(count)])) if math.isfinite(count) else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("order", "search"))
    parser.add_argument("--images", type=int, default=int(GRID.params["train_images"]))
    parser.add_argument("--recipes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=60)
    given = parser.parse_args()
    if given.what == "order":
        order(given.images, given.recipes, given.seed)
    else:
        search(given.seeds, given.trials, given.recipes)


if __name__ == "__main__":
    main()
