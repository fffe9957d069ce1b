"""The page and the figure of "joint against sequential"; what is measured says `premise_measures.py`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.files import write_whole
from autoreg.report.plots.style import (
    MUTED_COLOR,
    SERIES_COLORS,
    heading,
    legend_below,
    new_axes,
    new_figure,
    save,
    scale_axis,
)
from benchmarks.premise_measures import Point, Scale, compared, error_at, fronts_of, measures, scale_of
from benchmarks.premise_tasks import Case
from benchmarks.tables.measures import half_width

SHOWN = {
    "joint": "joint",
    "sequential": "sequential",
    "dense": "dense, tuned",
    "small": "small, 32 bits",
    "small_bits": "small, quantized",
    "distilled": "small, distilled, quantized",
    "tpe": "TPE, joint space",
}


def shown(arm: str) -> str:
    """An arm's name on the page."""
    return SHOWN.get(arm, arm.replace("_", " "))


def report(case: Case, rows: Sequence[dict[str, Any]], stem: Path, seconds: float) -> None:
    """Write `STEM.md`, `.json` and `.png`; a page without runs of the dense arm cannot be written."""
    if not any(row["arm"] == "dense" for row in rows):
        print("premise: no runs of the arm `dense` yet, which all is measured against", file=sys.stderr)
        return
    judged = {}
    for cost in ("bytes", "flops", "latency_ms"):
        scale, fronts = scale_of(rows, case, cost), fronts_of(rows, cost)
        found = {a: {s: measures(p, scale) for s, p in by_seed.items()} for a, by_seed in fronts.items()}
        first = "joint" if "joint" in found else next(a for a in found if a != "dense")
        tests = {name: compared(found, name, first) for name in ("hypervolume", "as chosen", "cheapest")}
        judged[cost] = {"scale": scale, "fronts": fronts, "found": found, "first": first, "tests": tests}
    write_whole(stem.with_suffix(".md"), page(case, rows, judged, seconds).encode())
    figures = {
        cost: {"scale": vars(j["scale"]), "measures": j["found"], "first": j["first"], "tests": j["tests"]}
        for cost, j in judged.items()
    }
    about = {"task": case.name, "case": case.digest, "seconds": seconds, "joint state": joint_state(rows)}
    write_whole(stem.with_suffix(".json"), json.dumps({**about, **figures}, indent=1).encode())
    picture(case, judged, stem.with_suffix(".png"), seconds)


def joint_state(rows: Sequence[Mapping[str, Any]]) -> str:
    """The state of the source of the joint arm's runs."""
    return next((str(row["state"]) for row in rows if row["arm"] == "joint"), "")


def page(case: Case, rows: Sequence[Mapping[str, Any]], judged: Mapping[str, Any], seconds: float) -> str:
    """The report as Markdown."""
    scale = judged["bytes"]["scale"]
    lines = [
        f"# Joint against sequential: {case.name}",
        "",
        f"`python -m benchmarks.premise {case.name} ... --seconds {seconds:g}`",
        f"Sizes and choices {case.digest}, engine {joint_state(rows) or 'not run'}.",
        f"{seconds:g} seconds of work per arm and seed (`benchmarks/premise_clock.py`), one thread.",
        f"The dense network: {scale.cost:,.0f} bytes, test error {scale.error:.4f}; "
        f"corner {scale.error + scale.tolerance:.4f}; chance {rows[0]['chance']:.3f}.",
        "Measures are explained in `benchmarks/premise_measures.py`. Mean over seeds ± half of its 95 % interval.",
    ]
    for cost, part in judged.items():
        lines += [
            "",
            f"## By {cost}" + (" (no arm sought it)" if cost == "latency_ms" else ""),
            "",
            *_table(part["found"]),
        ]
        lines += ["", f"{shown(part['first'])} less the other, paired by seed:", "", *_tests(part["tests"])]
    lines += ["", "## What was spent", "", *_spent(rows)]
    return "\n".join(lines) + "\n"


def _table(found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> list[str]:
    names = list(next(iter(next(iter(found.values())).values())))
    lines = [f"| arm | seeds | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for arm, by_seed in found.items():
        cells = [_cell(name, [m[name] for m in by_seed.values()]) for name in names]
        lines.append(f"| {shown(arm)} | {len(by_seed)} | {' | '.join(cells)} |")
    return lines


def _cell(name: str, values: Sequence[float]) -> str:
    there = [v for v in values if not math.isnan(v)]
    if not there:
        return "-"
    if name == "cheapest":
        return f"{math.exp(float(np.mean(np.log(there)))):.2%}"
    if name == "members":
        return f"{np.mean(there):.1f}"
    half, digits = half_width(there), 4 if name.startswith("error") else 3
    fewer = f" ({len(there)} seeds)" if len(there) < len(values) else ""
    return f"{np.mean(there):.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}") + fewer


def _tests(tests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["| measure | against | difference | better | Wilcoxon p | Holm p |", "|---|---|---|---|---|---|"]
    for name, by_arm in tests.items():
        for arm, row in by_arm.items():
            low, high = row["difference"] - row["half"], row["difference"] + row["half"]
            interval = f"{row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
            if name == "cheapest":
                interval = f"× {math.exp(row['difference']):.2f} [{math.exp(low):.2f}, {math.exp(high):.2f}]"
            lines.append(
                f"| {name} | {shown(arm)} | {interval} | {row['better']} of {row['pairs']} | {row['p']:.4f} "
                f"| {row['holm']:.4f} |"
            )
    return lines


def _spent(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| arm | seconds of work | speed | trials that ended | stopped | failed | by stage |", "|---" * 7 + "|"]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        states = [[trial[2] for trial in row["trials"]] for row in own]
        counts = [np.mean([s.count(n) if n else len(s) for s in states]) for n in ("", "PRUNED", "FAIL")]
        stages = {name: np.mean([row["stages"].get(name, 0.0) for row in own]) for name in own[0]["stages"]}
        by_stage = ", ".join(f"{name} {value:.1f}" for name, value in stages.items())
        seconds, speed = (np.mean([row[name] for row in own]) for name in ("spent", "speed"))
        numbers = " | ".join(f"{value:.1f}" for value in counts)
        lines.append(f"| {shown(arm)} | {seconds:.1f} | {speed:.2f} | {numbers} | {by_stage} |")
    return lines


def attained(by_seed: Mapping[int, Sequence[Point]], grid: Sequence[float]) -> np.ndarray:
    """Error as chosen [seeds, costs] at each cost of a grid; NaN where a seed has no member yet."""
    return np.array([[error_at(points, cost) for cost in grid] for points in by_seed.values()])


def picture(case: Case, judged: Mapping[str, Any], path: Path, seconds: float) -> None:
    """Test error reached at each cost: the median over seeds and the middle half, by each cost."""
    figure = new_figure(15.0, 4.6)
    colors = dict(zip(SHOWN, SERIES_COLORS, strict=False))
    for place, (cost, part) in enumerate(judged.items(), 1):
        ax = new_axes(figure, 1, 3, place)
        scale: Scale = part["scale"]
        lowest = min(p[0] for by_seed in part["fronts"].values() for points in by_seed.values() for p in points)
        grid = np.geomspace(lowest, scale.cost, 300)
        bottom = [scale.error]
        for arm, by_seed in part["fronts"].items():
            if arm == "dense" or arm not in colors:
                continue
            errors = attained(by_seed, grid.tolist())
            there = np.isfinite(errors).mean(axis=0) >= 0.5
            if not there.any():  # no cheaper than the dense network
                continue
            held = np.where(np.isfinite(errors), errors, np.inf)[:, there]
            low, middle, high = (np.quantile(held, q, axis=0, method="lower") for q in (0.25, 0.5, 0.75))
            x, color = grid[there], colors[arm]
            bottom.append(float(low.min()))
            ax.step(x, middle, where="post", color=color, linewidth=1.8, label=SHOWN[arm])
            ax.fill_between(x, low, np.minimum(high, 1.0), step="post", color=color, alpha=0.13, linewidth=0)
        ax.plot([scale.cost], [scale.error], "o", color=colors["dense"], label=SHOWN["dense"], zorder=5)
        ax.axhline(scale.error + scale.tolerance, color=MUTED_COLOR, linewidth=0.8, linestyle=":")
        ax.set_ylim(min(bottom) - 0.1 * scale.tolerance, scale.error + 1.6 * scale.tolerance)
        scale_axis(ax, "x", cost, list(grid), log=True)
        scale_axis(ax, "y", "error", [scale.error], log=False)
        ax.set_ylabel("test error")
        below = f"{seconds:g} seconds per arm and seed; median and middle half" if place == 1 else ""
        heading(ax, f"{case.name}: error at a cost" if place == 1 else f"by {cost}", below)
        if place == 1:
            legend_below(figure, ax, columns=7)
    save(figure, path)
