"""Names of the baselines that a study of a task begins with: sources of their trials in the log, rows of final.json."""

from __future__ import annotations

DENSE = "dense"
INT8 = "int8"
UNIFORM_CHANNELS = "uniform channels 50 %"
UNIFORM_WEIGHTS = "uniform weights 80 %"
HALF_CHANNELS = "half width"
HALF_CHANNELS_INT8 = "half width, int8"
HALF_CHANNELS_TAUGHT = "half width, distilled"
HALF_CHANNELS_TAUGHT_INT8 = "half width, distilled, int8"
QUARTER_CHANNELS = "quarter width"
QUARTER_CHANNELS_INT8 = "quarter width, int8"
QUARTER_CHANNELS_TAUGHT = "quarter width, distilled"
QUARTER_CHANNELS_TAUGHT_INT8 = "quarter width, distilled, int8"

BASELINE_NAMES = (
    DENSE,
    INT8,
    UNIFORM_CHANNELS,
    UNIFORM_WEIGHTS,
    HALF_CHANNELS,
    HALF_CHANNELS_INT8,
    HALF_CHANNELS_TAUGHT,
    HALF_CHANNELS_TAUGHT_INT8,
    QUARTER_CHANNELS,
    QUARTER_CHANNELS_INT8,
    QUARTER_CHANNELS_TAUGHT,
    QUARTER_CHANNELS_TAUGHT_INT8,
)
