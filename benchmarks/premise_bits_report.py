"""The page and the figure of `premise_bits`: what was lost on held-out text, paired by network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.files import write_whole
from autoreg.report.plots.style import MUTED_COLOR, SERIES_COLORS, heading, new_axes, new_figure, save
from benchmarks.runs import read
from benchmarks.tables.measures import half_width, holm, paired

SHOWN = {
    "uniform": "uniform",
    "program": "sensitivity program",
    "evopress": "EvoPress' loop, same passes",
    "evopress_time": "EvoPress' loop, same CPU seconds",
    "evopress_program": "EvoPress' loop from the program",
    "ours": "ours",
}
Runs = dict[tuple[str, int], dict[int, dict[str, Any]]]
"""Rows by (arm, bits) and seed."""


def gathered(rows: Iterable[Mapping[str, Any]]) -> Runs:
    """Rows of the state of the engine that was run last."""
    every = [dict(row) for row in rows]
    runs: Runs = defaultdict(dict)
    for row in every:
        if row["state"] == every[-1]["state"]:
            runs[row["arm"], row["bits"]][row["seed"]] = row
    return dict(runs)


def losses(runs: Runs, arm: str, bits: int) -> dict[int, float]:
    """By seed, bits per character above the network in floating point."""
    dense = runs["dense", 32]
    return {seed: row["bpc"] - dense[seed]["bpc"] for seed, row in runs.get((arm, bits), {}).items() if seed in dense}


def report(path: Path, folder: Path) -> None:
    """Write `premise_bits.md` and `premise_bits.png` from the rows of a file."""
    runs = gathered(read(path))
    if ("dense", 32) not in runs:
        return
    sizes = sorted({bits for arm, bits in runs if arm == "uniform"})
    lines = [
        *head(runs),
        *[line for bits in sizes for line in table(runs, bits)],
        *tests(runs, sizes),
        *speed(runs, sizes),
    ]
    write_whole(folder / "premise_bits.md", ("\n".join(lines) + "\n").encode())
    if sizes:
        figure(runs, sizes, folder / "premise_bits.png")


def head(runs: Runs) -> list[str]:
    """What was measured, and how far distortions add up."""
    dense = runs["dense", 32]
    rows = list(dense.values())
    bpc = [row["bpc"] for row in rows]
    text = [
        "# Bits per layer after training, at a fixed size",
        "",
        "`python -m benchmarks.premise_bits --data tinyshakespeare.txt --seeds 20`; its head says what the arms are.",
        "",
        f"{len(rows)} networks of {rows[0]['weights']:,} weights in {len(rows[0]['layers'])} layers, trained for "
        f"{rows[0]['training']['epochs']:g} epochs; held-out bits per character in floating point {bpc_text(bpc)}.",
        "",
        "Do distortions of single layers add up? Summed against joint, 32 random assignments of equal size a network:",
        "",
        "| bits | distortion | Spearman, mean | lowest | joint / summed | trusted |",
        "|---|---|---|---|---|---|",
    ]
    for bits in rows[0]["additivity"]:
        for name in ("mse", "kl"):
            found = [row["additivity"][bits][name] for row in rows]
            ranks, ratio = [one["spearman"] for one in found], np.mean([one["ratio"] for one in found])
            text.append(
                f"| {bits} | {name} | {np.mean(ranks):.3f} | {min(ranks):.3f} | {ratio:.2f} "
                f"| {sum(o['trusted'] for o in found)} of {len(found)} |"
            )
    return [*text, ""]


def bpc_text(values: Sequence[float]) -> str:
    """Mean and half of its 95 % interval."""
    return f"{np.mean(values):.4f} ± {half_width(values):.4f}"


def table(runs: Runs, bits: int) -> list[str]:
    """One row an arm: what is lost, what the search saw, what it cost."""
    lines = [
        f"## {bits} bits on average",
        "",
        "| arm | held-out loss, bits per character | calibration divergence | bytes / budget | passes | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for arm, name in SHOWN.items():
        found = list(runs.get((arm, bits), {}).values())
        if found:
            mean = {key: np.mean([row[key] for row in found]) for key in ("kl", "passes", "cpu")}
            size = np.mean([row["bytes"] / row["budget"] for row in found])
            lines.append(
                f"| {name} | {bpc_text(list(losses(runs, arm, bits).values()))} | {mean['kl']:.4f} | {size:.4f} "
                f"| {mean['passes']:.0f} | {mean['cpu']:.1f} |"
            )
    return [*lines, ""]


def pairs(runs: Runs, bits: int, arm: str, rival: str) -> np.ndarray:
    """Held-out loss of `rival` less that of `arm`, seed by seed: above 0 where `arm` is better."""
    mine, theirs = losses(runs, arm, bits), losses(runs, rival, bits)
    return np.array([theirs[seed] - mine[seed] for seed in sorted(mine.keys() & theirs.keys())])


def tests(runs: Runs, sizes: Sequence[int]) -> list[str]:
    """Paired gains with 95 % intervals; Wilcoxon's test with Holm's correction over all rows."""
    asked = [("program", "uniform"), ("evopress", "uniform")]
    asked += [("ours", rival) for rival in SHOWN if rival != "ours"]
    gains = {
        (bits, arm, rival): found
        for bits in sizes
        for arm, rival in asked
        if len(found := pairs(runs, bits, arm, rival)) > 1
    }
    adjusted = holm({str(key): paired(found, np.zeros_like(found)) for key, found in gains.items()})
    lines = [
        "## Pairs",
        "",
        "| bits | arm | against | gain, bits per character | ahead in | p (Wilcoxon, Holm) |",
        "|---|---|---|---|---|---|",
    ]
    for (bits, arm, rival), found in gains.items():
        lines.append(
            f"| {bits} | {SHOWN[arm]} | {SHOWN[rival]} | {np.mean(found):+.4f} ± {half_width(found):.4f} "
            f"| {int((found > 0).sum())} of {len(found)} | {adjusted[str((bits, arm, rival))]:.2g} |"
        )
    return [*lines, ""]


def speed(runs: Runs, sizes: Sequence[int]) -> list[str]:
    """Passes until the divergence on the calibration text is what EvoPress' loop ends with."""
    lines = [
        "## Work",
        "",
        "Passes and CPU seconds, the curves included, after which an arm's divergence on the calibration text is no "
        "more than EvoPress' loop ends with on the same passes (median; who never gets there counts all it had).",
        "",
        "| bits | arm | passes | CPU s | got there |",
        "|---|---|---|---|---|",
    ]
    for bits in sizes:
        for arm in ("evopress", "evopress_program", "ours"):
            reached = [
                _reached(row, runs["evopress", bits][seed]["kl"], runs["dense", 32][seed]["curves"], arm)
                for seed, row in runs.get((arm, bits), {}).items()
                if seed in runs.get(("evopress", bits), {})
            ]
            if reached:
                passes, cpu = (float(np.median([r[k] for r in reached])) for k in (0, 1))
                got = sum(r[2] for r in reached)
                lines.append(f"| {bits} | {SHOWN[arm]} | {passes:.0f} | {cpu:.1f} | {got} of {len(reached)} |")
    return [*lines, ""]


def _reached(row: Mapping[str, Any], goal: float, curves: Mapping[str, Any], arm: str) -> tuple[float, float, bool]:
    more = (0.0, 0.0) if arm == "evopress" else (curves["passes"], curves["cpu"])
    for passes, cpu, kl in row["curve"]:
        if kl <= goal + 1e-6:
            return passes + more[0], cpu + more[1], True
    return row["passes"], row["cpu"], False


def figure(runs: Runs, sizes: Sequence[int], path: Path) -> None:
    """Held-out loss by arm, a panel a size: networks as dots, means with their intervals."""
    arms = [arm for arm in SHOWN if any((arm, bits) in runs for bits in sizes)]
    drawn = new_figure(5.2 * len(sizes), 3.6)
    for k, bits in enumerate(sizes):
        ax = new_axes(drawn, 1, len(sizes), k + 1)
        for place, arm in enumerate(arms):
            found = list(losses(runs, arm, bits).values())
            spread = np.linspace(-0.18, 0.18, len(found))
            ax.plot(found, place + spread, "o", color=MUTED_COLOR, markersize=2.5, alpha=0.6)
            colour = SERIES_COLORS[0] if arm == "ours" else SERIES_COLORS[1]
            ax.errorbar(np.mean(found), place, xerr=half_width(found), fmt="o", color=colour, capsize=4, markersize=6)
        ax.set_yticks(range(len(arms)), [SHOWN[arm] for arm in arms] if k == 0 else [""] * len(arms))
        ax.invert_yaxis()
        ax.set_xlabel("held-out loss, bits per character")
        heading(ax, f"{bits} bits on average", "above float; dots: networks; bars: 95 % of the mean")
    save(drawn, path)
