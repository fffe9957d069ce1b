"""Phases and their keys: what recipes share, and what a setting without effect must not change."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from autoreg.methods import registry
from autoreg.plan import compile_plan, identity, passes, total_epochs
from autoreg.space import MethodSpec, complete_recipe
from autoreg.training_length import trained_after

REGISTRY = registry()
DENSE = complete_recipe({}, REGISTRY)


def recipe(**changes: Any) -> dict[str, Any]:
    return complete_recipe(changes, REGISTRY)


def keys(config: dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    arguments: dict[str, Any] = {"base": "b", "seed": 0, "fold": "f", "dense": DENSE, **changes}
    return [(phase.name, phase.key) for phase in compile_plan(config, REGISTRY, **arguments)]


def test_recipes_that_differ_late_share_their_beginning() -> None:
    four, eight = (recipe(quantization={"weights": {"bits": bits}}) for bits in (4, 8))
    assert keys(four)[:2] == keys(eight)[:2]
    assert keys(four)[2] != keys(eight)[2]
    assert [name for name, _ in keys(four)] == ["train", "sparsify", "quantize", "measure"]


@pytest.mark.parametrize("change", [{"base": "c"}, {"seed": 1}, {"fold": "g"}])
def test_task_seed_and_fold_are_in_every_key(change: dict[str, Any]) -> None:
    assert not set(keys(DENSE)) & set(keys(DENSE, **change))


def test_a_dense_start_begins_with_the_dense_recipes_training() -> None:
    pretrained = recipe(training={"start": "pretrained", "epochs": 3}, regularizer={"l1": {"strength": 1.0}})
    assert keys(pretrained)[0] == keys(DENSE)[0]
    assert [name for name, _ in keys(pretrained)][:2] == ["train", "tune"]
    given = keys(pretrained, pretrained_digest="d")
    assert [name for name, _ in given][:1] == ["tune"]
    assert given[0][1] != keys(pretrained)[1][1]


def test_settings_without_effect_make_no_new_recipe() -> None:
    floating = recipe(quantization={"weights": {"bits": 32, "granularity": "tensor"}})
    rounded = recipe(quantization={"weights": {"bits": 4}}, training={"qat_epochs": 7})
    assert identity(floating, REGISTRY) == identity(DENSE, REGISTRY)
    assert identity(rounded, REGISTRY) == identity(recipe(quantization={"weights": {"bits": 4}}), REGISTRY)
    assert identity(rounded, REGISTRY) != identity(DENSE, REGISTRY)
    assert identity(recipe(training={"lr": 0.03}), REGISTRY) != identity(DENSE, REGISTRY)


def test_the_schedule_is_in_the_keys_of_what_trains_and_its_default_is_not_named() -> None:
    """So recipes that were written before there was a choice keep their keys."""
    cosine, cooled = (recipe(training={"schedule": name}) for name in ("cosine", "constant_cooldown"))
    assert not {key for _, key in keys(cosine)} & {key for _, key in keys(cooled)}
    older = copy.deepcopy(cosine)
    del older["training"]["schedule"]
    assert keys(older) == keys(cosine)
    phases = compile_plan(cooled, REGISTRY, base="b", seed=0, fold="f", dense=DENSE)
    assert [p.settings.get("schedule") for p in phases] == ["constant_cooldown"] * (len(phases) - 1) + [None]


def test_a_share_of_the_data_costs_its_share_and_the_whole_is_not_named() -> None:
    lsq = {"quantizer": "lsq", "weights": {"bits": 4}}
    tenth, whole = (recipe(training={"share": share}, quantization=lsq) for share in (0.1, 1.0))
    silent = recipe(quantization=lsq)
    assert "share" not in silent["training"]
    assert keys(silent) == keys(whole)
    assert not {key for _, key in keys(silent)} & {key for _, key in keys(tenth)}
    few, all_ = (compile_plan(c, REGISTRY, base="b", seed=0, fold="f", dense=DENSE) for c in (tenth, silent))
    assert [p.epochs for p in few] == pytest.approx([0.1 * p.epochs for p in all_])
    assert [p.settings.get("share") for p in few] == [0.1] * (len(few) - 1) + [None]
    pretrained = compile_plan(
        recipe(training={"share": 0.5, "start": "pretrained"}), REGISTRY, base="b", seed=0, fold="f", dense=DENSE
    )
    assert pretrained[0].key == keys(DENSE)[0][1]  # the dense network is trained on all data, whoever starts from it
    assert pretrained[1].epochs == 0.5 * DENSE["training"]["epochs"]


def test_a_teacher_is_in_the_keys_of_what_trains_and_none_is_in_none() -> None:
    """Recipes that were written before there were teachers keep their keys."""
    none, plain = recipe(teacher="none"), recipe()
    assert "teacher" not in plain
    assert keys(none) == keys(plain)
    ensemble = recipe(teacher={"kd": {"of": "ensemble", "members": 3}}, quantization={"weights": {"bits": 8}})
    found = keys(ensemble, teacher_seeds=(5, 6, 7))
    assert [name for name, _ in found] == ["teacher"] * 3 + ["train", "sparsify", "quantize", "measure"]
    assert [key for _, key in found[:3]] == [keys(DENSE, seed=seed)[0][1] for seed in (5, 6, 7)]
    assert not {key for _, key in found[3:]} & {key for _, key in keys(recipe(quantization={"weights": {"bits": 8}}))}
    assert keys(ensemble, teacher_seeds=(5, 6, 8))[3:] != found[3:]
    assert keys(ensemble, teacher_seeds=(5, 6, 7), seed=1)[:3] == found[:3]  # whatever the seed of the trial


def test_a_mean_of_one_is_the_dense_network() -> None:
    one, dense, two = (
        recipe(teacher={"kd": {"of": of, "members": members}})
        for of, members in (("ensemble", 1), ("dense", 4), ("ensemble", 2))
    )
    assert identity(one, REGISTRY) == identity(dense, REGISTRY) != identity(two, REGISTRY)
    assert identity(dense, REGISTRY) != identity(DENSE, REGISTRY)


def test_a_teacher_has_nobody_to_teach_where_nothing_is_trained() -> None:
    untrained = {"start": "pretrained", "epochs": 0, "finetune_epochs": 0}
    assert keys(recipe(teacher="kd", training=untrained)) == keys(recipe(training=untrained))
    tuned = [name for name, _ in keys(recipe(teacher="kd", training={**untrained, "finetune_epochs": 2}))]
    assert tuned == ["teacher", "train", "sparsify", "measure"]
    own = keys(recipe(teacher="ps_kd"))
    assert [name for name, _ in own] == [name for name, _ in keys(DENSE)]  # its own teacher: no other training
    assert own[0] != keys(DENSE)[0]


def test_levels_of_a_reference_are_in_the_key() -> None:
    sparse = recipe(sparsity={"weight": {"allocation": "lamp"}})
    one, other = (keys(sparse, resolved={"retained": {"a": count}}) for count in (3, 4))
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_epochs_count_passes_that_the_methods_declare() -> None:
    config = recipe(
        regularizer={"sam": {"rho": 0.1}},
        quantization={"quantizer": "lsq", "weights": {"bits": 4}},
        training={"epochs": 10, "finetune_epochs": 4, "qat_epochs": 2},
    )
    phases = compile_plan(config, REGISTRY, base="", seed=0, fold="", dense=DENSE)
    assert total_epochs(phases) == 2 * 10 + 2 * 4 + 2  # sharpness-aware steps take two gradients


def test_per_layer_bits_are_quantized_when_any_layer_is() -> None:
    mixed = recipe(quantization={"weights": {"bits": {"per_layer": {"head": 32, "*": 8}}}})
    none = recipe(quantization={"weights": {"bits": {"per_layer": {"head": 32, "*": 32}}}})
    assert "quantize" in [name for name, _ in keys(mixed)]
    assert "quantize" not in [name for name, _ in keys(none)]


def test_what_is_trained_after_the_rungs_is_the_fine_tuning_and_the_quantizer() -> None:
    def label(epochs: int, quantizer: Any, **more: Any) -> str:
        return trained_after(
            recipe(training={"finetune_epochs": epochs}, quantization={"quantizer": quantizer}, **more)
        )

    assert label(0, "rtn") == label(0, {"rtn": {}}, sparsity="2:4")
    assert label(4, "lsq") == label(1, {"lsq": {}})
    assert len({label(epochs, quantizer) for epochs in (0, 4) for quantizer in ("rtn", "lsq")}) == 4


def test_compiling_leaves_the_recipe_alone() -> None:
    before = copy.deepcopy(DENSE)
    keys(DENSE)
    assert before == DENSE


def test_the_order_of_layer_patterns_is_in_the_key() -> None:
    one = recipe(quantization={"weights": {"bits": {"per_layer": {"a*": 4, "*": 8}}}})
    other = recipe(quantization={"weights": {"bits": {"per_layer": {"*": 8, "a*": 4}}}})
    assert keys(one) != keys(other)


def test_several_methods_are_one_recipe_in_any_order() -> None:
    one, other = (
        recipe(regularizer={name: {} for name in names}, noise={"cutout": {}, "dropout": {}})
        for names in (("l1", "sam"), ("sam", "l1"))
    )
    assert keys(one) == keys(other)
    assert identity(one, REGISTRY) != identity(recipe(regularizer={"l1": {}}), REGISTRY)
    assert passes(one, REGISTRY) == 2
    assert total_epochs(compile_plan(one, REGISTRY, base="b", seed=0, fold="f", dense=DENSE)) == 2 * (10 + 4)


def test_further_gradients_add_up_and_sam_repeats_them() -> None:
    """Two methods that each look at the batch once more make three gradients; SAM computes all of that twice."""
    twice = {name: MethodSpec(name, "noise", passes=2) for name in ("one", "other")}
    both = replace(REGISTRY, methods={**REGISTRY.methods, "noise": twice})
    noise: dict[str, Any] = {"one": {}, "other": {}}
    assert passes({**DENSE, "noise": noise}, both) == 3
    assert passes({**DENSE, "noise": noise, "regularizer": {"sam": {"rho": 0.1}, "l1": {}}}, both) == 6
