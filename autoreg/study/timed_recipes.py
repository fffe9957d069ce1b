"""Recipes of a space as artifacts that are timed: those that a correction is fitted on, and those it is checked on."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreg.artifacts.skeleton import build_skeleton, latency_key, write_skeleton
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.latency.artifact_latency import measure
from autoreg.network.shapes import Profile
from autoreg.space import Space
from autoreg.study.reachable_layers import channel_counts
from autoreg.tasks.batches import batch_size_of
from autoreg.trial.reference import UntrainedReference
from autoreg.trial.resolve import resolve_network
from autoreg.trial.setup import Setup
from autoreg.trial_info import Latency

MIN_FITTED_RECIPES = 60  # recipes that a correction is fitted on, or as many as errors are measured on
MAX_REPEATED_DRAWS = 400  # draws in a row that show nothing new, before a space is taken to have no more architectures
MAX_DRAWS_PER_RECIPE = 200  # and draws in all, per recipe that is wanted


@dataclass(frozen=True)
class Measured:
    """A recipe's structure and bits, and how long its artifact takes."""

    levels: Levels
    latency: Latency


def draw(space: Space, setup: Setup, number: int, seed: int) -> Iterator[tuple[dict[str, Any], Levels]]:
    """Random recipes with their levels on an untrained reference, without those that the network cannot carry out.

    Levels are those of the whole network, also where a recipe has a narrower one; networks that a task builds narrow
    itself are left out.

    Args:
        space: bound to the task.
        setup: the task.
        number: of draws.
        seed: of the draws.
    """
    reference = UntrainedReference(setup)
    rng = np.random.default_rng(seed)
    for _ in range(number):
        recipe = space.sample(rng)
        with contextlib.suppress(InputError):
            network, levels = resolve_network(recipe, reference)
            whole = network.on_whole(levels)
            if whole is not None:
                yield recipe, whole


def time_recipes(
    space: Space, setup: Setup, recipes: int, seed: int, on_done: Callable[[int, int], None]
) -> tuple[list[Measured], list[Measured]]:
    """Time the artifacts of random recipes, no two of the same architecture.

    Args:
        space: bound to the task.
        setup: the task.
        recipes: how many are held out.
        seed: of the draws.
        on_done: called with how many are timed, and of how many.

    Returns:
        Those to fit on, and those held out; a space with too few architectures is shared out evenly.
    """
    wanted = max(MIN_FITTED_RECIPES, recipes) + recipes
    found: list[Measured] = []
    seen: set[str] = set()
    known: set[str] = set()  # of levels: most repeated architectures are seen without building them
    stale = 0
    for recipe, levels in draw(space, setup, MAX_DRAWS_PER_RECIPE * wanted, seed):
        if len(found) == wanted or stale == MAX_REPEATED_DRAWS:
            break
        stale += 1
        symmetric = bool(recipe["quantization"]["activations"]["symmetric"])
        same = repr((symmetric, {**levels.to_dict(), "retained": None}))
        if same in known:
            continue
        known.add(same)
        key, build = artifact(setup, levels, act_symmetric=symmetric)
        if key not in seen:
            seen.add(key)
            found.append(time_artifact(setup, levels, key, build))
            on_done(len(found), wanted)
            stale = 0
    order = np.random.default_rng(seed).permutation(len(found))
    mixed = [found[i] for i in order]
    fitted = len(found) - min(recipes, len(found) // 2)
    return mixed[:fitted], mixed[fitted:]


def artifact(setup: Setup, levels: Levels, *, act_symmetric: bool = False) -> tuple[str, Callable[[], bytes]]:
    """What the latency of some levels is remembered by, and a function that writes their ONNX model."""
    model = build_skeleton(setup.skeleton(), setup.example_input, setup.profile, levels)
    key = latency_key(model, setup.task.latency_input(), levels, act_symmetric=act_symmetric)

    def build() -> bytes:
        timed = batch_size_of(setup.task.latency_input())
        return write_skeleton(
            copy.deepcopy(model), setup.example_input, levels, act_symmetric=act_symmetric, batch=timed
        )

    return key, build


def time_artifact(setup: Setup, levels: Levels, key: str, build: Callable[[], bytes]) -> Measured:
    """Time an artifact, or recall its time; one that was measured on a disturbed machine is timed again."""
    timed, threads = setup.task.latency_input(), setup.options.threads
    known = setup.latency.get(key, threads)
    if known is None or not known.noisy:
        return Measured(levels, measure(key, build, timed, setup.latency, setup.lock, threads=threads))
    again = measure(key, build, timed, None, setup.lock, threads=threads)
    if again.noisy:
        return Measured(levels, known)
    setup.latency.put(key, threads, again)
    return Measured(levels, again)


def corners(profile: Profile, drawn: Sequence[tuple[Mapping[str, Any], Levels]]) -> list[tuple[str, Levels]]:
    """The dense and the thinnest network of a space, in floating point and, where the space has it, in integers."""
    names = [layer.name for layer in profile.layers]
    thin = {name: counts[0] for name, counts in channel_counts(profile, drawn).items() if len(counts) > 1}
    structures: list[tuple[str, dict[str, int]]] = [("dense", {})]
    structures += [("thinnest", thin)] if thin else []
    bytes_ = any(
        max(levels.weight_bits.values(), default=32) <= 8 and max(levels.activation_bits.values(), default=32) <= 8
        for _, levels in drawn
    )
    found = []
    for name, channels in structures:
        found.append((f"{name} fp32", Levels(channels=channels)))
        if bytes_:
            eight = dict.fromkeys(names, 8)
            found.append((f"{name} int8", Levels(channels=channels, weight_bits=eight, activation_bits=eight)))
    return found
