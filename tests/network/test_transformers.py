"""Models of the transformers library: attention, embeddings and tied weights by hand, `Conv1D` as linear layers.

All are tiny, random and made from configurations: nothing is downloaded.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.engine.log.trial import Trial
from autoreg.network.conv1d import conv1d_as_linear, conv1d_names, conv1d_state
from autoreg.network.profile import profile, shared_weights
from autoreg.tasks import Task
from autoreg.trial.attach import attach
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.summary import cost_metrics
from autoreg.trial.task_ref import TaskRef

VOCABULARY, WIDTH, HEADS, DEPTH, HIDDEN, PLACES, LENGTH = 50, 12, 3, 2, 20, 16, 7
TOKENS = torch.randint(0, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(0))
ATTENTION = LENGTH * 4 * WIDTH * WIDTH + 2 * LENGTH * LENGTH * WIDTH
FEED = LENGTH * 2 * WIDTH * HIDDEN
HEAD = LENGTH * WIDTH * VOCABULARY


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def made(auto: str, config: str, **settings: Any) -> nn.Module:
    """A model from a configuration, with seeded weights, in evaluation mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        import transformers

        torch.manual_seed(0)
        found = getattr(transformers, auto).from_config(getattr(transformers, config)(**settings))
    model: nn.Module = found.eval()
    return model


def gpt2(**settings: Any) -> nn.Module:
    small = {"n_embd": WIDTH, "n_head": HEADS, "n_layer": DEPTH, "n_inner": HIDDEN, "n_positions": PLACES}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return made("AutoModelForCausalLM", "GPT2Config", vocab_size=VOCABULARY, **small, **ends, **settings)


BERT = {
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_hidden_layers": DEPTH,
    "intermediate_size": HIDDEN,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": PLACES,
}
PATCHES = (8 // 4) ** 2 + 1  # and the class token


def vit() -> nn.Module:
    small = {key: value for key, value in BERT.items() if "vocab" not in key and "position" not in key}
    return made("AutoModelForImageClassification", "ViTConfig", image_size=8, patch_size=4, num_labels=5, **small)


def distilbert() -> nn.Module:
    small = {"dim": WIDTH, "n_heads": HEADS, "n_layers": DEPTH, "hidden_dim": HIDDEN, "num_labels": 4}
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": PLACES}
    return made("AutoModelForSequenceClassification", "DistilBertConfig", **small, **sizes)


def llama(**settings: Any) -> nn.Module:
    return made("AutoModelForCausalLM", "LlamaConfig", num_key_value_heads=1, **BERT, **settings)


def t5() -> nn.Module:
    small = {"d_model": WIDTH, "num_heads": HEADS, "d_kv": WIDTH // HEADS, "num_layers": DEPTH, "d_ff": HIDDEN}
    return made("AutoModelForSeq2SeqLM", "T5Config", vocab_size=VOCABULARY, decoder_start_token_id=0, **small)


TARGET = 4  # tokens of the decoder
T5_ATTENTION = (  # in the encoder, in the decoder, and from the one to the other
    ATTENTION,
    TARGET * 4 * WIDTH * WIDTH + 2 * TARGET * TARGET * WIDTH,
    2 * (TARGET + LENGTH) * WIDTH * WIDTH + 2 * TARGET * LENGTH * WIDTH,
)

MODELS: dict[str, tuple[Callable[[], nn.Module], Mapping[str, Tensor], int]] = {
    "gpt2": (gpt2, {"input_ids": TOKENS}, DEPTH * (ATTENTION + FEED) + HEAD),
    "bert": (
        lambda: made("AutoModelForMaskedLM", "BertConfig", **BERT),
        {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)},
        DEPTH * (ATTENTION + FEED) + LENGTH * WIDTH * WIDTH + HEAD,
    ),
    "vit": (
        vit,
        {"pixel_values": torch.randn(2, 3, 8, 8)},
        (PATCHES - 1) * 3 * 4 * 4 * WIDTH
        + DEPTH * (PATCHES * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN) + 2 * PATCHES * PATCHES * WIDTH)
        + WIDTH * 5,
    ),
    "distilbert": (
        distilbert,
        {"input_ids": TOKENS},
        DEPTH * (ATTENTION + FEED) + WIDTH * WIDTH + WIDTH * 4,
    ),
    "llama": (  # keys and values of one head serve the queries of all; gate, up and down
        llama,
        {"input_ids": TOKENS},
        DEPTH * (ATTENTION - LENGTH * 2 * WIDTH * (WIDTH - WIDTH // HEADS) + LENGTH * 3 * WIDTH * HIDDEN) + HEAD,
    ),
    "t5": (
        t5,
        {"input_ids": TOKENS, "decoder_input_ids": TOKENS[:, :TARGET]},
        DEPTH * (sum(T5_ATTENTION) + FEED + TARGET * 2 * WIDTH * HIDDEN) + TARGET * WIDTH * VOCABULARY,
    ),
}


ANGLES = {"llama": LENGTH * (WIDTH // HEADS // 2) // 2}
"""MACs per sample, of a batch of two, with which earlier versions computed rotary angles; later ones count none."""


@functools.cache
def model_of(name: str) -> nn.Module:
    """A model of the table, converted; made once."""
    return conv1d_as_linear(MODELS[name][0]())


@pytest.mark.parametrize("name", MODELS)
def test_costs_are_those_of_the_formula(name: str) -> None:
    """MACs by hand, every parameter once, four bytes each; predicted and counted, without a warning."""
    model, (_, example, macs) = model_of(name), MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predicted, counted = predict(profile(model, example)), count(model, example)
    assert predicted == counted
    assert counted.flops in {2 * macs, 2 * (macs + ANGLES.get(name, 0))}
    assert counted.params == sum(parameter.numel() for parameter in model.parameters())
    assert counted.bytes == 4 * counted.params


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_every_implementation_of_attention_costs_the_same(implementation: str) -> None:
    example = MODELS["gpt2"][1]
    model = conv1d_as_linear(gpt2(attn_implementation=implementation))
    assert count(model, example).flops == 2 * MODELS["gpt2"][2]


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_tied_weights_are_stored_once(name: str) -> None:
    """The head's tensor is the embedding's: it is a weight of the head and no parameter of the embedding."""
    model, example = model_of(name), MODELS[name][1]
    found = profile(model, example)
    heads = [layer for layer in found.layers if layer.shared]
    assert [(layer.weight_shape, layer.block) for layer in heads] == [((VOCABULARY, WIDTH), None)]
    assert shared_weights(model) == {heads[0].name}
    embedding = model.get_input_embeddings()  # type: ignore[operator]
    assert embedding.weight is model.get_submodule(heads[0].name).weight
    names = {module: part for part, module in model.named_modules()}
    assert names[embedding] not in {part.name for part in found.others}


def test_an_untied_head_adds_its_own_weights() -> None:
    tied, free = (
        count(conv1d_as_linear(gpt2(tie_word_embeddings=tie)), {"input_ids": TOKENS}) for tie in (True, False)
    )
    assert free.params - tied.params == VOCABULARY * WIDTH
    assert free.bytes - tied.bytes == 4 * VOCABULARY * WIDTH
    assert free.flops == tied.flops


def test_caches_change_no_costs() -> None:
    model, tokens = model_of("llama"), TOKENS
    with_cache = count(model, {"input_ids": tokens, "use_cache": True})
    assert with_cache == count(model, {"input_ids": tokens, "use_cache": False})


def test_masks_and_bits_of_converted_layers_are_counted() -> None:
    model, example = model_of("gpt2"), MODELS["gpt2"][1]
    layers = [layer for layer in profile(model, example).layers if not layer.shared]
    generator = torch.Generator().manual_seed(0)
    masks = {layer.name: torch.rand(layer.weight_shape, generator=generator) < 0.4 for layer in layers}
    levels = Levels(
        retained={name: int(mask.sum()) for name, mask in masks.items()},
        weight_bits={layer.name: 4 for layer in layers},
        activation_bits={layer.name: 8 for layer in layers},
    )
    predicted = predict(profile(model, example), levels)
    assert predicted == count(model, example, masks, levels)
    assert predicted.effective_flops < predicted.flops
    attention = next(layer for layer in predicted.per_layer if layer.name.endswith("attn.c_attn"))
    assert (attention.type, attention.shape) == ("Linear", (3 * WIDTH, WIDTH))


# -- Conv1D ---------------------------------------------------------------------------------------------------------


def test_converted_models_compute_the_same() -> None:
    model = gpt2()
    before = copy.deepcopy(model)
    names = conv1d_names(model)
    assert len(names) == 4 * DEPTH
    expected = model(input_ids=TOKENS).logits
    frozen = model.get_submodule(names[0])
    frozen.weight.requires_grad_(False)
    assert conv1d_as_linear(model) is model
    assert conv1d_names(model) == ()
    assert torch.allclose(model(input_ids=TOKENS).logits, expected, atol=1e-6)
    layer = model.get_submodule(names[0])
    assert isinstance(layer, nn.Linear)
    assert not layer.weight.requires_grad
    assert not layer.training
    assert list(model.state_dict()) == list(before.state_dict())
    model.load_state_dict(conv1d_state(before.state_dict(), names))
    assert torch.allclose(model(input_ids=TOKENS).logits, expected, atol=1e-6)


def test_converting_draws_no_random_numbers_and_keeps_what_is_shared() -> None:
    from transformers import pytorch_utils

    layer: Any = pytorch_utils.Conv1D
    one, other = layer(3, 4), layer(3, 4)
    other.weight = one.weight
    model = nn.ModuleDict({"one": one, "again": one, "other": other})
    state = torch.get_rng_state()
    conv1d_as_linear(model)
    assert torch.equal(state, torch.get_rng_state())
    assert model["one"] is model["again"]
    assert model["one"].weight is model["other"].weight
    assert isinstance(conv1d_as_linear(layer(3, 4)), nn.Linear)


def test_other_classes_of_that_name_are_left_alone() -> None:
    class Conv1D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nf, self.weight = 3, nn.Parameter(torch.ones(3, 4))

    assert conv1d_names(nn.Sequential(Conv1D(), nn.Conv1d(3, 3, 1))) == ()


# -- a task of it ---------------------------------------------------------------------------------------------------


class Text(Task):
    """GPT-2 with given weights, on random tokens."""

    name = "text"
    training: ClassVar[dict[str, Any]] = {"epochs": 0, "finetune_epochs": 0, "qat_epochs": 0}

    def build_model(self) -> nn.Module:
        return gpt2()

    def pretrained(self) -> Mapping[str, Any]:
        torch.manual_seed(7)
        model = gpt2()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return model.state_dict()

    def loaders(self, fold: str) -> dict[str, Any]:
        batches = [(TOKENS, TOKENS)]
        return {"train": batches, "calibration": batches, "validation": batches, "test": batches}

    def loss(self, output: Any, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(output.logits.flatten(0, 1), batch[1].flatten())

    def metrics(self, outputs: Any, batches: Any) -> dict[str, float]:
        losses = [self.loss(output, batch) for output, batch in zip(outputs, batches, strict=True)]
        return {"error": float(torch.stack(losses).mean())}

    def example_input(self) -> Any:
        return TOKENS[:1]


@pytest.fixture
def objective(tmp_path: Path) -> TaskObjective:
    return TaskObjective(TaskRef(Text(), {}), TrialOptions(str(tmp_path / "store")), latency=False, rungs=False)


def test_given_weights_of_a_conv1d_model_are_those_of_the_task(objective: TaskObjective) -> None:
    setup, task = objective.setup, Text()
    model = setup.fresh_model(0).eval()
    given = setup.given_weights
    assert given is not None
    model.load_state_dict(dict(given))
    plain = task.build_model()
    plain.load_state_dict(dict(task.pretrained()))
    assert torch.allclose(model(TOKENS).logits, plain(TOKENS).logits, atol=1e-5)
    assert sum(layer.type == "Linear" for layer in setup.layers) == 4 * DEPTH + 1


RECIPES: dict[str, dict[str, Any]] = {
    "weights": {"sparsity": {"weight": {"amount": 0.6}}},
    "2:4": {"sparsity": {"2:4": {}}},
    "bits behind a mask": {
        "sparsity": {"weight": {"amount": 0.6}},
        "quantization": {"weights": {"bits": 4}, "activations": {"bits": 8}},
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_on_gpt2_cost_what_was_predicted(name: str, objective: TaskObjective) -> None:
    """The head keeps the embedding's tensor as it is: it is stored once, so it cannot be both."""
    setup = objective.setup
    config = setup.complete({"training": {"start": "pretrained"}, **RECIPES[name]})
    chain = objective.chain(config, seed=0, fold=setup.task.folds[0])
    outcome = chain.run()
    assert cost_metrics(objective.count(outcome)) == objective.costs(config)
    model: Any = outcome.state.model
    assert model.lm_head.weight is model.transformer.wte.weight
    assert "lm_head" not in {*outcome.levels.retained, *outcome.levels.weight_bits, *outcome.levels.activation_bits}
    dense = objective.costs(setup.dense)
    assert objective.costs(config)["bytes"] < dense["bytes"]
    assert len({*outcome.levels.retained, *outcome.levels.weight_bits}) == 4 * DEPTH


def test_a_trial_on_gpt2_notes_no_difference(objective: TaskObjective) -> None:
    trial = Trial(seed=0)
    objective(objective.setup.complete({"training": {"start": "pretrained"}, **RECIPES["bits behind a mask"]}), trial)
    assert trial.info.notes == []


def test_a_loop_of_ones_own_leaves_tied_weights_alone() -> None:
    model: Any = conv1d_as_linear(gpt2())
    embedding = model.transformer.wte.weight.detach().clone()
    recipe = {"sparsity": {"weight": {"amount": 0.5}}, "quantization": {"weights": {"bits": 4}}}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    run = attach(model, optimizer, recipe, epochs=1, steps_per_epoch=1)
    run.finish()
    assert model.lm_head.weight is model.transformer.wte.weight
    assert torch.equal(model.transformer.wte.weight, embedding)
    weight = model.transformer.h[0].attn.c_attn.weight
    assert int((weight == 0).sum()) >= weight.numel() // 2
