"""Names of the baselines that a study of a task begins with: sources of their trials in the log, rows of final.json."""

from __future__ import annotations

DENSE = "dense"
INT8 = "int8"
UNIFORM_CHANNELS = "uniform channels 50 %"
UNIFORM_WEIGHTS = "uniform weights 80 %"

BASELINE_NAMES = (DENSE, INT8, UNIFORM_CHANNELS, UNIFORM_WEIGHTS)
