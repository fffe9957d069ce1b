"""Metrics with units and few digits."""

from __future__ import annotations

from autoreg.report.text.metrics import format_metric


def test_costs_are_written_with_units() -> None:
    """FLOPs in k, M, G; other numbers with three digits."""
    assert format_metric("flops", 1_234_567) == "1.23M"
    assert format_metric("error", 0.02346) == "0.0235"
    assert format_metric("error", None) == ""
