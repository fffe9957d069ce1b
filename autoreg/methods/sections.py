"""What a recipe of a task study always has: the top-level slots and sections, their ranges and bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from autoreg.space.nodes import Choice, Constant, Option, Range
from autoreg.space.spec import Param, Section, choice, label_of, log, slot, uniform

ALLOWED_BITS = (2, 3, 4, 5, 6, 7, 8, 32)
"""Bits that weights and activations may have; 32 is floating point, not quantized."""


def _bits(*searched: int, doc: str) -> Param:
    node = Choice(tuple(Option(label_of(b), Constant(b)) for b in searched))
    return Param(node, 32, "int", min(ALLOWED_BITS), max(ALLOWED_BITS), options=ALLOWED_BITS, per_layer=True, doc=doc)


def _epochs(low: int, high: int, default: int, doc: str) -> Param:
    return Param(Range("int", low, high), default, "int", 0, math.inf, doc=doc)


QUANTIZATION_SECTION = Section(
    {
        "quantizer": slot("quantizer", default="rtn", doc="how values are brought to few bits"),
        "weights": Section(
            {
                "bits": _bits(2, 4, 8, 32, doc="bits of a weight; 32 leaves it as it is"),
                "granularity": choice("tensor", "channel", default="channel", doc="one scale per tensor or per output"),
                "symmetric": choice(True, False, doc="zero point 0, or an integer zero point"),
                "allocation": slot(
                    "allocation",
                    default="uniform",
                    doc="how the bits are divided among layers: `bits` is what a weight has on average",
                ),
            },
            doc="how weights are quantized",
        ),
        "activations": Section(
            {
                "bits": _bits(8, 32, doc="bits of the inputs of weighted layers; 32 leaves them as they are"),
                "symmetric": choice(True, False, default=False, doc="zero point 0, or an integer zero point"),
            },
            doc="how the inputs of weighted layers are quantized, per tensor",
        ),
    },
    doc="bits of weights and activations",
)

LAYERS_SECTION = Section(
    {
        "train": slot("train", default="all", doc="which parameters are trained"),
        "drop": slot("drop", doc="which residual blocks are dropped"),
    },
    doc="which layers are trained, kept and dropped",
)

NETWORK_SECTION = Section(
    {
        "width": uniform(
            0.25,
            1.0,
            default=1.0,
            min=0.001,
            max=1.0,
            per_layer=True,
            doc="part of the channels and heads that the network has from the start; by layer, that of the layer "
            "which produces them",
        ),
        "blocks": slot("blocks", default="all", doc="which droppable blocks the network has from the start"),
        "inherit": slot(
            "inherit", default="weight_selection", doc="which channels of a trained network a narrow one starts from"
        ),
    },
    doc="channels and heads removed and blocks dropped before training",
    optional=True,
)

TRAINING_SECTION = Section(
    {
        "start": choice("scratch", "pretrained", doc="initial weights, or the task's trained dense network"),
        "lr": log(1e-4, 1e-1, default=1e-2, min=1e-8, max=10.0, doc="peak learning rate"),
        "weight_decay": log(1e-6, 1.0, default=1e-4, min=0.0, max=10.0, doc="weight decay of the optimizer"),
        "epochs": _epochs(5, 30, 10, "epochs of the training phase"),
        "finetune_epochs": _epochs(0, 10, 4, "epochs of the sparsify phase"),
        "qat_epochs": _epochs(0, 5, 2, "epochs of the quantize phase, where the quantizer learns"),
        "optimizer": choice("sgd", "adam", "adamw", doc="optimizer of every phase"),
        "momentum": uniform(0.8, 0.99, default=0.9, min=0.0, max=0.999, doc="momentum of sgd, first beta of adam"),
        "schedule": choice(
            "cosine",
            "constant_cooldown",
            doc="learning rate of every phase: half a cosine, or constant with a last fifth that cools down",
        ),
        "share": replace(
            uniform(0.1, 1.0, default=1.0, min=0.01, max=1.0, doc="share of the training data that an epoch uses"),
            optional=True,
        ),
    },
    doc="how the network is trained",
)

SECTIONS: Mapping[str, Param | Section] = {
    "regularizer": slot("regularizer", several=True, doc="terms of the loss, or another gradient"),
    "noise": slot("noise", several=True, doc="noise on inputs or features during training"),
    "reparam": slot("reparam", doc="how weights are computed from what is trained"),
    "teacher": replace(slot("teacher", doc="whose outputs the network learns beside the targets"), optional=True),
    "averaging": replace(
        slot("averaging", doc="average of the weights that a phase passes through, which is scored and kept"),
        optional=True,
    ),
    "sparsity": slot("structure", doc="the structure in which weights or channels are removed"),
    "quantization": QUANTIZATION_SECTION,
    "layers": LAYERS_SECTION,
    "network": NETWORK_SECTION,
    "training": TRAINING_SECTION,
}
