"""A synthetic table with learning curves and shared phases, whose figures can be worked out by hand."""

from __future__ import annotations

import numpy as np

from autoreg.space import Space
from benchmarks.tables.table import Table, factorial

STEPS = 12
TRAIN, TUNE = 8.0, 4.0
"""Weighted epochs of the phase that variants share, and of the one of their own."""


def curved(seeds: int = 3) -> Table:
    """960 recipes: 48 trainings, each with 20 variants that share its first phase. Curves fall towards the error.

    Training takes 8 epochs (16 with SAM) and 2 seconds an epoch; tuning 4 epochs and 1 second an epoch.
    """
    space = Space.from_dict(
        {
            "width": {"int": [1, 8]},
            "rate": {"int": [0, 2]},
            "sam": ["off", "on"],
            "bits": [2, 4, 8, 32],
            "level": {"int": [0, 4]},
        }
    )
    configs = factorial(space, 960)
    column = {name: np.array([c[name] for c in configs]) for name in ("width", "rate", "sam", "bits", "level")}
    width, level = column["width"].astype(float), column["level"].astype(float)
    bits = column["bits"].astype(float)
    costs = width**2 * bits * (1 - level / 6)
    final = 0.5 / width + 0.15 * (column["rate"].astype(float) - 1) ** 2 - 0.05 * (column["sam"] == "on")
    final = final + 0.4 * (level / 6) ** 3 + 0.3 / bits
    noise = np.random.default_rng(0).normal(0, 0.01, (len(configs), seeds))
    errors = final[:, None] + noise
    left = np.exp(-3 * np.arange(1, STEPS + 1) / STEPS) - np.exp(-3.0)
    curves = errors[:, :, None] + left[None, None, :] * (1 + column["rate"].astype(float))[:, None, None]
    phases = []
    for c in configs:
        train = TRAIN * (2 if c["sam"] == "on" else 1)
        phases.append(
            [
                (f"train {c['width']} {c['rate']} {c['sam']}", train, 2 * train),
                (f"tune {c!r}", TUNE, TUNE),
            ]
        )
    dense = configs.index({"width": 8, "rate": 1, "sam": "off", "bits": 32, "level": 0})
    return Table(
        "curved",
        space,
        configs,
        costs,
        errors,
        dense,
        tolerance=0.3,
        near=0.02,
        ideal=-0.5,
        curves=curves,
        phases=phases,
    )
