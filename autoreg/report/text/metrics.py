"""Metrics for people: their names, and their values with units and few digits."""

from __future__ import annotations

import math

from autoreg.report.data.seed_spread import SeedSpread

METRIC_TITLES = {
    "error": "error",
    "bpc": "bits/char",
    "flops": "FLOPs",
    "effective_flops": "effective FLOPs",
    "bops": "bit-operations",
    "weights": "weights",
    "params": "parameters",
    "bytes": "bytes",
    "file_bytes": "file bytes",
    "latency_ms": "latency (ms)",
}
SHORT_METRIC_TITLES = {"effective_flops": "eff. FLOPs", "bops": "bit-ops", "latency_ms": "ms"}
COUNTED_METRICS = ("flops", "effective_flops", "bops", "weights", "params", "bytes", "file_bytes")


def metric_title(name: str) -> str:
    """The name of a metric for people."""
    return METRIC_TITLES.get(name, name)


def format_metric(name: str, value: float | None) -> str:
    """One value for people: FLOPs and bytes with k, M, G, the rest with three digits; empty where there is none."""
    if value is None or not math.isfinite(value):
        return ""
    if name in COUNTED_METRICS:
        return short_number(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def short_number(value: float) -> str:
    """`1.23M` for 1 234 567."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def format_spread(name: str, spread: SeedSpread | None) -> str:
    """`0.031 ± 0.004`; empty when the metric is not there."""
    if spread is None or name not in spread.mean:
        return ""
    text = format_metric(name, spread.mean[name])
    return f"{text} ± {spread.std[name]:.2g}" if name in spread.std else text


def format_milliseconds(value: float) -> str:
    """Three digits, zeros at the end among them: `0.440`, `12.3`, `1,234`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def percent(share: float) -> str:
    """`63 %`, with a space that does not break; below 1 % one more digit."""
    digits = 1 if 0 < abs(share) < 0.01 else 0
    return f"{100 * share:.{digits}f}\u00a0%"


def percent_saved(ratio: float) -> str:
    """What a ratio to the dense value means: `63 % saved`, `7 % more`, `as dense`."""
    if abs(1 - ratio) < 0.005:
        return "as dense"
    return f"{percent(1 - ratio)} saved" if ratio < 1 else f"{percent(ratio - 1)} more"


def plural(count: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
