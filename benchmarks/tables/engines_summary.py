"""What matters of a comparison, in short: our engine against every arm at equal budgets, and how much faster it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.tables.measures import half_width, holm, paired

Runs = Mapping[tuple[str, str], Mapping[int, dict[str, Any]]]
"""(arm, table) -> seed -> figures."""
OPTUNA = ("tpe", "tpe_multivariate", "nsga2", "optuna_gp")
"""Optuna's samplers, the best of which is the bar."""
BUDGETS = (30, 50, 100)
IN_EPOCHS = (10, 15, 20)
"""Budgets of the summary: in trials, and in the epochs of so many trials that share nothing."""
FIFTH = 5.0
"""How many times as many trials the best of Optuna's samplers should take to 95 % of the naive hypervolume."""


@dataclass(frozen=True)
class Gain:
    """Paired differences of a measure, ours less the rival's: their mean, half the width of its 95 % interval."""

    pairs: int
    mean: float
    half: float
    p: float

    @classmethod
    def of(cls, differences: Sequence[float]) -> Gain:
        """From the differences of pairs."""
        x = np.asarray(differences, dtype=float)
        return cls(len(x), float(x.mean()), half_width(x), paired(x, np.zeros_like(x)))

    @property
    def behind(self) -> bool:
        """Whether ours is behind beyond the interval."""
        return bool(self.mean + self.half < 0)

    @property
    def ahead(self) -> bool:
        """Whether ours is ahead beyond the interval."""
        return bool(self.mean - self.half > 0)


def differences(runs: Runs, against: str, rival: str, table: str, measure: str) -> list[float]:
    """Ours less the rival's [pairs], over the seeds of a table that both have and where both have the measure."""
    mine, theirs = runs.get((against, table), {}), runs.get((rival, table), {})
    both = [(mine[s].get(measure, np.nan), theirs[s].get(measure, np.nan)) for s in sorted(set(mine) & set(theirs))]
    return [a - b for a, b in both if np.isfinite(a) and np.isfinite(b)]


def gains(runs: Runs, against: str, measure: str) -> dict[str, dict[str, Gain]]:
    """Gains by rival and table, and over all tables under "all"."""
    names = list(dict.fromkeys(t for _, t in runs))
    out: dict[str, dict[str, Gain]] = {}
    for rival in dict.fromkeys(a for a, _ in runs if a != against):
        found = {n: d for n in names if (d := differences(runs, against, rival, n, measure))}
        if found:
            whole = [v for d in found.values() for v in d]
            out[rival] = {"all": Gain.of(whole), **{n: Gain.of(d) for n, d in found.items()}}
    return out


def adjusted(found: Mapping[str, Mapping[str, Gain]]) -> dict[str, dict[str, float]]:
    """Holm's p by rival and table; one family is all rivals on one table."""
    out: dict[str, dict[str, float]] = {rival: {} for rival in found}
    for table in dict.fromkeys(t for per in found.values() for t in per):
        for rival, p in holm({r: per[table].p for r, per in found.items() if table in per}).items():
            out[rival][table] = p
    return out


def summary(runs: Runs, against: str, trials: int, units: bool) -> list[str]:
    """The bars first, then a table of gains for each budget.

    Args:
        runs: Figures.
        against: Our arm.
        trials: Trials of a run.
        units: Whether budgets in epochs are shown too.
    """
    if not any(a == against for a, _ in runs):
        return []
    marks = [k for k in BUDGETS if k <= trials]
    measures = [(f"tight {k}", f"after {k} trials") for k in marks]
    measures += [("mean of the curve", "on the mean of the first 50 trials")]
    if units:
        measures += [(f"tight at {k} epochs", f"after the epochs of {k} whole trials") for k in IN_EPOCHS]
    lines, tables = ["## Summary", ""], []
    for measure, budget in measures:
        found = gains(runs, against, measure)
        if found:
            lines += _verdicts(found, against, budget)
            tables += _gains(found, against, budget)
    return [*lines, "", *faster(runs, "to 95% naive", against, trials), *tables]


def _verdicts(found: Mapping[str, Mapping[str, Gain]], against: str, budget: str) -> list[str]:
    over = [f"{r} ({per['all'].mean:+.3f})" for r, per in found.items() if per["all"].mean < 0]
    behind = [f"{r} on {t}" for r, per in found.items() for t, g in per.items() if t != "all" and g.behind]
    return [
        f"- Tight measure {budget}: {against} is on the mean over tables "
        + (f"behind {', '.join(over)}" if over else "ahead of every arm")
        + "; behind beyond the interval: "
        + (", ".join(behind) or "nowhere")
        + "."
    ]


def _gains(found: Mapping[str, Mapping[str, Gain]], against: str, budget: str) -> list[str]:
    names = list(dict.fromkeys(t for per in found.values() for t in per))
    p = adjusted(found)
    lines = [f"### {against} less each arm, tight measure {budget}", ""]
    lines += [
        "Mean of paired differences ± half the 95 % interval (p by Wilcoxon, Holm over the arms of a column).",
        "",
    ]
    lines += ["| arm | pairs | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for rival, per in sorted(found.items(), key=lambda item: item[1]["all"].mean):
        cells = [_cell(per[n], p[rival][n]) if n in per else "" for n in names]
        lines.append(f"| {rival} | {per['all'].pairs} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _cell(gain: Gain, p: float) -> str:
    text = f"{gain.mean:+.3f} ± {gain.half:.3f} ({p:.2g})"
    return f"**{text} behind**" if gain.behind else f"{text} ahead" if gain.ahead else text


def faster(runs: Runs, measure: str, against: str, trials: int) -> list[str]:
    """Median trials of the best Optuna sampler as a multiple of ours, table by table."""
    lines = [f"### Median trials {measure}: {against} against the best of Optuna's samplers", ""]
    lines += [f"| table | {against} | best of Optuna | multiple | at least {FIFTH:g} |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(t for _, t in runs):
        middle = {}
        for arm in (against, *OPTUNA):
            values = sorted(f[measure] for f in runs.get((arm, name), {}).values() if measure in f)
            if values:
                middle[arm] = values[len(values) // 2]
        if against not in middle or len(middle) < 2:
            continue
        best = min((a for a in middle if a != against), key=lambda a: middle[a])
        reached = np.isfinite(middle[best])
        multiple = min(middle[best], trials) / middle[against] if np.isfinite(middle[against]) else float("nan")
        verdict = "yes" if multiple >= FIFTH else "no" if reached or not np.isfinite(multiple) else "not known"
        shown = f"{'' if reached or np.isnan(multiple) else '> '}{multiple:.2f}"
        lines.append(f"| {name} | {middle[against]:g} | {best}: {middle[best]:g} | {shown} | {verdict} |")
    return [*lines, ""]
