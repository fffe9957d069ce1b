"""From a recipe to the chain of phases that carries it out.

Phases run in a fixed order, `train -> sparsify -> quantize -> measure`. Where a recipe starts from trained weights,
`train` is that of the dense recipe, and what the recipe trains itself is the phase `tune` after it; a network that is
narrower from the start is cut out of the trained one in between, in the phase `narrow`. Each phase reads
its own part of the recipe and is keyed by the content of everything up to it, so that recipes with the same beginning
share their work: the trial stores results under these keys and the engine counts what remains to be run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoreg.space.recipe import canonical_json, content_hashes
from autoreg.space.spec import MethodSpec, Registry
from autoreg.training_length import CONSTANT, cooldown_start, grid_epochs

Config = Mapping[str, Any]
_Work = tuple[float, dict[str, Any]]  # epochs and settings of a phase

TRAINING_PHASES = ("train", "tune")
"""The phases that only train; others compress, and may train on."""

TRAINING_METHODS = ("reparam", "noise", "regularizer", "teacher", "averaging")
"""Slots of the methods that act while a phase trains, in the order in which they act."""

NO_METHOD = "none"
"""What a slot of a recipe says where no method is."""

TEACHER = "teacher"
"""Name of the phases that train a recipe's teachers."""

SELF_TAUGHT = {"kd": {"temperature": 1.0, "weight": 1.0}}
"""The teacher of a dense network that learns nothing but what the dense network says."""

OPTIMIZER_SETTINGS = ("lr", "weight_decay", "optimizer", "momentum")


@dataclass(frozen=True)
class Phase:
    """One step of the work of a trial.

    `key` is the content hash of the recipe up to and with this phase, the task, the seed and the code;
    `epochs` is what it costs in passes over the training data (a pass that computes the gradient twice
    counts twice, one over a share of the data that share); `settings` is the part of the recipe that this phase reads.
    `trunk` holds the beginning that trainings of other lengths have too: keys by epoch, counted from the start of the
    phase, at which the training can be left and gone on with.
    """

    name: str
    key: str
    epochs: float
    settings: Mapping[str, Any]
    trunk: Mapping[int, str] = field(default_factory=dict)


def content_hash(value: Any) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of `value` written as canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]


def passes(config: Config, registry: Registry) -> int:
    """Gradient computations per training step of this recipe.

    Each method adds what it declares beyond one, and one that replaces the gradient of a step (there is at most one)
    repeats all of that as often as it declares.
    """
    declared = [s for kind in ("regularizer", "noise", "reparam") for s in _declared(registry, kind, config[kind])]
    once = 1 + sum(spec.passes - 1 for spec in declared if "gradient" not in spec.hooks)
    return once * math.prod(spec.passes for spec in declared if "gradient" in spec.hooks)


def _declared(registry: Registry, kind: str, slot: Any) -> list[MethodSpec]:
    """What the methods in a slot of a recipe declare; nothing where the slot says `none`."""
    names = [slot] if isinstance(slot, str) else list(slot)
    return [registry.methods[kind][name] for name in names if name != NO_METHOD]


def teacher_members(config: Config) -> int:
    """Of how many dense trainings a complete recipe's teacher is the mean; 0 where it learns from none.

    A method that learns from dense trainings has the parameters `of` and `members`.
    """
    slot = config.get(TEACHER, NO_METHOD)
    params = {} if isinstance(slot, str) else next(iter(slot.values()))
    if "of" not in params:
        return 0
    return int(params["members"]) if params["of"] == "ensemble" else 1  # what is trained again has the same seed


def is_quantized(config: Config) -> bool:
    """Whether any weight or activation of the recipe is held in fewer than 32 bits."""
    quantization = config["quantization"]
    return any(_lowest(quantization[part]["bits"]) < 32 for part in ("weights", "activations"))


def _lowest(bits: Any) -> int:
    if isinstance(bits, Mapping):
        return min(int(value) for value in bits["per_layer"].values())
    return int(bits)


def _full_precision_bits(bits: Any) -> Any:
    return {"per_layer": dict.fromkeys(bits["per_layer"], 32)} if isinstance(bits, Mapping) else 32


def _reshapes(config: Config) -> bool:
    """Whether weights, channels, ranks or blocks go."""
    return any(slot != NO_METHOD for slot in (config["sparsity"], config["layers"]["drop"]))


def uncompressed(config: Config, dense: Config) -> Iterator[dict[str, Any]]:
    """Recipes that end where a complete one has been trained and nothing was taken from it yet.

    They differ in settings of which a space may hold one and not another: a quantizer that has nothing to do, and
    fine-tuning. The first two have none and end there exactly; the others fine-tune as the recipe does, for spaces in
    which all do.
    """
    quantization = config["quantization"]
    full_precision = {
        part: {**quantization[part], "bits": _full_precision_bits(quantization[part]["bits"])}
        for part in ("weights", "activations")
    }
    plain = {**config, "sparsity": "none", "layers": {**config["layers"], "drop": "none"}}
    for epochs in dict.fromkeys((0, config["training"]["finetune_epochs"])):
        training = {**config["training"], "finetune_epochs": epochs}
        for settings in ({**quantization, **full_precision}, dense["quantization"]):
            yield {**plain, "training": training, "quantization": settings}


def compile_plan(  # many arguments: all that keys depend on, each given by its name
    config: Config,
    registry: Registry,
    *,
    dense: Config,
    base: str = "",
    seed: int = 0,
    fold: str = "",
    resolved: Mapping[str, Any] | None = None,
    pretrained_digest: str = "",
    teacher_seeds: Sequence[int] = (),
    trunks: bool = True,
) -> tuple[Phase, ...]:
    """Compile a complete recipe into its phases.

    Args:
        config: a complete recipe (every section present).
        registry: what the methods declare (passes per step, whether a quantizer trains).
        dense: the task's dense recipe; its training is the `train` phase of a recipe that starts pretrained.
        base: hash of what every phase depends on: task, code, library versions, dtype, device, threads. Without it,
            seed and fold, keys tell recipes apart and nothing else.
        seed: the trial's seed.
        fold: the fold of the task's data that is trained and scored.
        resolved: the explicit levels of the recipe (JSON), where its allocation is data-dependent; `weight_bits`
            among them where one divides the bits, `network` where the network is narrower from the start.
        pretrained_digest: of the trained weights that the task brings, so that none need be trained; empty for none.
        teacher_seeds: of the dense trainings that teachers are, as many as any recipe asks for; none where keys know
            nothing of seeds.
        trunks: whether phases say where other trainings leave them, which takes most of the time.

    Returns:
        The phases in order. A phase that would do nothing is left out, so that recipes which differ
        only in settings without effect have the same keys.
    """
    training = config["training"]
    pretrained = training["start"] == "pretrained"
    resolved = dict(resolved or {})
    weight_bits, network = resolved.pop("weight_bits", None), resolved.pop("network", None)
    origin = content_hash([base, seed, fold, *_initial(pretrained, pretrained_digest, network)])
    phases: list[Phase] = []

    def add(name: str, epochs: float, settings: Mapping[str, Any]) -> None:
        before = phases[-1].key if phases else origin
        trunk = _trunk(name, settings, registry, before) if trunks else {}
        phases.append(Phase(name, content_hash([before, name, settings]), epochs, settings, trunk))

    learns = config.get(TEACHER, NO_METHOD) != NO_METHOD
    starts = [content_hash([base, s, fold, pretrained_digest]) for s in teacher_seeds or [seed]] if learns else []
    teachers = _teachers(config, _train(dense, registry, {}), starts) if learns else []
    teacher = _teacher(config, teachers)
    if pretrained and not pretrained_digest:
        add("train", *_train(dense, registry, {}))  # the dense network's own training: one phase, whoever asks for it
    if network and pretrained:
        add("narrow", 0, network)
    if training["epochs"] > 0:
        add("tune" if pretrained else "train", *_train(config, registry, teacher))
    if _reshapes(config) or training["finetune_epochs"] > 0:
        add("sparsify", *_sparsify(config, registry, teacher, resolved))
    if is_quantized(config):
        add("quantize", *_quantize(config, registry, teacher, weight_bits))
    add("measure", 0, {})
    needed = any("taught_by" in phase.settings for phase in phases)
    return (*(teachers if needed else ()), *phases)


def _sparsify(config: Config, registry: Registry, teacher: Mapping[str, Any], resolved: Mapping[str, Any]) -> _Work:
    """Epochs and settings of the phase that drops, removes or masks, and fine-tunes."""
    epochs = config["training"]["finetune_epochs"]
    settings = {**_train(config, registry, teacher if epochs > 0 else {})[1], "epochs": epochs, "resolved": resolved}
    settings |= {"sparsity": config["sparsity"], "drop": config["layers"]["drop"]}
    del settings["reparam"]  # baked when sparsifying begins: only mask and quantizer are active at once
    return epochs * share_of(config["training"]) * passes(config, registry), settings


def _quantize(config: Config, registry: Registry, teacher: Mapping[str, Any], weight_bits: Any) -> _Work:
    """Epochs and settings of the phase that quantizes; `weight_bits` are those that were divided among layers."""
    training = config["training"]
    quantizer = _declared(registry, "quantizer", config["quantization"]["quantizer"])
    epochs = training["qat_epochs"] if any(spec.trains for spec in quantizer) else 0
    settings = {**_rates(training), **_averaging(config), **teacher} if epochs else {}
    settings |= {} if weight_bits is None else {"weight_bits": weight_bits}
    return epochs * share_of(training), {**settings, "epochs": epochs, "quantization": config["quantization"]}


def _initial(pretrained: bool, digest: str, network: Any) -> list[Any]:
    """What initial weights depend on beside the seed: those that are given, or the network that is drawn narrow."""
    return [digest] if pretrained else ["", network] if network else [""]


def _teachers(config: Config, dense: tuple[float, Mapping[str, Any]], starts: Sequence[str]) -> list[Phase]:
    """The dense trainings that a recipe's teacher is the mean of, keyed as the `train` phase of whoever else has them.

    Args:
        config: the recipe.
        dense: epochs and settings of the dense recipe's training.
        starts: what keys begin with, by member; of one alone where they know nothing of seeds.
    """
    epochs, settings = dense
    keys = [content_hash([starts[k % len(starts)], "train", settings]) for k in range(teacher_members(config))]
    found = [Phase(TEACHER, key, epochs, settings) for key in keys]
    if _teaches_itself(config):
        again = {**settings, TEACHER: SELF_TAUGHT, "taught_by": keys}
        found.append(Phase(TEACHER, content_hash([starts[0], "train", again]), epochs, again))
    return found


def _teaches_itself(config: Config) -> bool:
    """Whether the dense network is trained again on its own outputs: its method has a parameter `again`."""
    slot = config.get(TEACHER, NO_METHOD)
    return slot != NO_METHOD and "again" in next(iter(slot.values()))


def _teacher(config: Config, teachers: Sequence[Phase]) -> dict[str, Any]:
    """What a phase that trains reads of the recipe's teacher, with what it is in keys; nothing for none."""
    slot = config.get(TEACHER, NO_METHOD)
    if slot == NO_METHOD:
        return {}
    ((name, params),) = slot.items()
    own = {key: value for key, value in params.items() if not (teachers and key in ("of", "members", "again"))}
    return {TEACHER: {name: own}, **({"taught_by": [phase.key for phase in teachers]} if teachers else {})}


def _train(config: Config, registry: Registry, teacher: Mapping[str, Any]) -> _Work:
    training = config["training"]
    settings = {name: config[name] for name in ("regularizer", "noise", "reparam")} | dict(teacher)
    settings |= _rates(training) | _averaging(config)
    settings |= {"epochs": training["epochs"], "train": config["layers"]["train"]}
    return training["epochs"] * share_of(training) * passes(config, registry), settings


def _averaging(config: Config) -> dict[str, Any]:
    """The average of the weights; none is not named, as in recipes that have no such slot."""
    method = config.get("averaging", NO_METHOD)
    return {} if method == NO_METHOD else {"averaging": method}


def _trunk(name: str, settings: Mapping[str, Any], registry: Registry, before: str) -> dict[int, str]:
    """Keys by epoch of the beginning that a phase has in common with trainings of other lengths; empty for none.

    It has one where neither its rate, nor its data, nor a method depends on the length.
    """
    if name not in TRAINING_PHASES or settings.get("schedule") != CONSTANT or share_of(settings) != 1:
        return {}  # of a share of the data, easy subsets come for a part of the training
    kinds = [kind for kind in TRAINING_METHODS if kind in settings]
    if not all(spec.resumable for kind in kinds for spec in _declared(registry, kind, settings[kind])):
        return {}
    common = {setting: value for setting, value in settings.items() if setting != "epochs"}
    return content_hashes([before, name, common, "trunk"], grid_epochs(cooldown_start(settings["epochs"])))


def share_of(settings: Mapping[str, Any]) -> float:
    """Share of the training data that an epoch uses, of a recipe's section `training` or of a phase's settings."""
    share: float = settings.get("share", 1)
    return share


def _rates(training: Mapping[str, Any]) -> dict[str, Any]:
    """What the optimizer of a phase is made from, and on which share of the data it works.

    The default schedule and the whole of the data are not named, as in recipes that have no such setting.
    """
    found = {name: training[name] for name in OPTIMIZER_SETTINGS}
    schedule, share = training.get("schedule", "cosine"), share_of(training)
    found |= {} if schedule == "cosine" else {"schedule": schedule}
    return found if share == 1 else {**found, "share": share}


def total_epochs(phases: Sequence[Phase]) -> float:
    """Passes over the training data that the phases cost if nothing is shared."""
    return sum(phase.epochs for phase in phases)


def phase_costs(
    phases: Sequence[Phase], teacher_seeds: Sequence[int] = ()
) -> tuple[tuple[str, float] | tuple[str, float, int], ...]:
    """Key and epochs of each part of each phase, in order of work: what a recipe costs, and what of it may be shared.

    A phase with a trunk has a part for each stretch of it, and one for what remains. A teacher's training has its seed
    beside them: it is the same whatever seed a trial has.
    """
    seeds = iter(teacher_seeds)
    first = teacher_seeds[0] if teacher_seeds else 0
    found: list[tuple[str, float] | tuple[str, float, int]] = []
    for phase in phases:
        begun, total = 0, int(phase.settings.get("epochs", 0))
        for end, key in phase.trunk.items():
            found.append((key, phase.epochs * (end - begun) / total))
            begun = end
        rest = phase.epochs * (total - begun) / total if begun else phase.epochs
        found.append((phase.key, rest, next(seeds, first)) if phase.name == TEACHER else (phase.key, rest))
    return tuple(found)


def parts_done(phase: Phase, epochs: int, finished: bool) -> list[float]:
    """Of each part of a phase, as in `phase_costs`, whether it is done (1) or not (0).

    Args:
        phase: any.
        epochs: how many of it were trained.
        finished: whether all of it is done.
    """
    return [float(finished or epochs >= end) for end in phase.trunk] + [float(finished)]


def identity(config: Config, registry: Registry, network: Mapping[str, Any] | None = None) -> str:
    """A key that recipes share when they do the same thing: settings without effect are left out.

    Args:
        config: a complete recipe.
        registry: what the methods declare.
        network: what makes its network narrower from the start, None where nothing does.
    """
    phases = compile_plan(config, registry, dense=config, resolved={"network": network}, trunks=False)
    return content_hash([config["training"]["start"], [phase.key for phase in phases]])
