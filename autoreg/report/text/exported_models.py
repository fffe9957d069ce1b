"""Exported models in words: how their layers are computed, and how their outputs agree with the trial's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from autoreg.report.data.exported_model import OutputAgreement
from autoreg.report.data.network_comparison import ComputedLayer
from autoreg.report.text.metrics import plural
from autoreg.report.text.phrase import number

PRECISIONS = ("int8", "int4", "fp32")


def precision_phrase(layers: Sequence[ComputedLayer], precision: Mapping[str, str]) -> str:
    """The precision of an exported model's layers, counted: `9 layers int8, 2 layers fp32`.

    Args:
        layers: those that multiply; empty where the record does not say.
        precision: by layer.
    """
    counted = Counter(layer.precision for layer in layers) if layers else Counter(precision.values())
    if not counted:
        return "fp32"
    kinds = [
        *(kind for kind in PRECISIONS if counted[kind]),
        *sorted(kind for kind in counted if kind not in PRECISIONS),
    ]
    return ", ".join(f"{plural(counted[kind], 'layer')} {kind}" for kind in kinds)


def agreement_phrase(agreement: OutputAgreement) -> str:
    """`same prediction for 99.8 % of 500 samples, largest difference 0.08 (outputs up to 14)`; unknowns left out."""
    parts = []
    top1, samples = agreement.top1, agreement.samples
    if top1 is not None and samples is not None:
        down = math.floor(round(1000 * top1, 6)) / 10  # never 100 % while one differs
        share = f"all {samples:,}" if top1 == 1 else f"{down:.1f}\u00a0% of {samples:,}"
        parts.append(f"same prediction for {share} samples")
    if agreement.max_difference is not None:
        scale = "" if agreement.scale is None else f" (outputs up to {agreement.scale:.2g})"
        parts.append(f"largest difference {number(float(f'{agreement.max_difference:.2g}'))}{scale}")
    return ", ".join(parts)
