"""Tables of figures from finished runs, as Markdown."""

from __future__ import annotations

import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import measures
from benchmarks.tables.measures import holm, judge_of, paired, trials_to

Runs = Mapping[tuple[str, str], Mapping[int, dict[str, Any]]]  # (arm, table) -> seed -> figures

OPTUNA = ("tpe", "tpe_multivariate", "nsga2")
CURVE = 50
"""The mean of the curve ends here: slow arms have no more trials."""
LABELS = {
    "tight": "tight measure at the last mark that both have",
    "mean of the curve": f"its mean up to {CURVE} trials",
}
MARKS = (20, 30, 50, 100, 200)


def figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """All measures of one run."""
    judge, rows, starts = judge_of(row["table"], row["seed"]), row["rows"], row["starts"]
    tight, naive = judge.found(rows, starts), judge.naive(rows)
    own = [s for s in row["seconds"] if s > 0]
    return {
        **{f"tight {k}": float(tight[k - 1]) for k in MARKS if k <= len(tight)},
        "mean of the curve": float(tight[starts:CURVE].mean()),
        "kept": judge.kept(rows, starts),
        **{f"naive {k}": float(naive[k - 1]) for k in MARKS if k <= len(naive)},
        **{f"to {t:.0%} tight": trials_to(tight, t) for t in (0.5, 0.75, 0.9)},
        **{f"to {t:.0%} naive": trials_to(naive, t) for t in (0.95, 0.99)},
        "cheapest": judge.cheapest(rows),
        "ms": 1000 * float(np.mean(own)) if own else 0.0,
        "drawn": float(row["drawn"]),
    }


def report(rows: Sequence[Mapping[str, Any]], source: str, out: Path, name: str, against: str) -> None:
    """Print every table and write them to `out`/`name`.md, attainment surfaces to `out`/`name`-attainment.json."""
    if not rows:
        print("no runs yet")
        return
    grouped: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in sorted(rows, key=lambda r: (r["table"], r["seed"])):
        arm = row["arm"] + (f"@{row['state']}" if row["state"] not in ("", source) else "")
        grouped[arm, row["table"]][row["seed"]] = figures(row)
    trials = max(row["trials"] for row in rows)
    text = [f"Trials {trials}, starts {rows[0]['starts']} of them; our engine as of `{source}`.", ""]
    text += [f"`python -m benchmarks.engines {shlex.join(sys.argv[1:])}`", ""]
    for measure in [f"tight {k}" for k in MARKS if k <= trials]:
        text += table(grouped, measure, f"Tight hypervolume after {measure[6:]} trials (start 0, whole table 1)")
    text += table(grouped, "kept", "The front that an arm would hand over (chosen on the seed it saw), tight measure")
    text += table(grouped, "naive 50", "Naive hypervolume after 50 trials, share of the whole table")
    for target in ("95% naive", "99% naive", "50% tight", "75% tight", "90% tight"):
        text += table(
            grouped, f"to {target}", f"Trials to {target}: median over seeds (share of runs that reached it)", _median
        )
    text += table(
        grouped, "cheapest", "Cost of the cheapest found near the best, times the least possible: median", _median
    )
    text += table(grouped, "ms", "Milliseconds an arm takes for one trial", _plain)
    text += reached(grouped, "to 95% naive", [k for k in MARKS if k <= trials])
    text += reached(grouped, "to 75% tight", [k for k in MARKS if k <= trials])
    text += faster(grouped, "to 95% naive", against, trials)
    text += tests(grouped, "tight", against)
    text += tests(grouped, "mean of the curve", against)
    page = "\n".join(text) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(page, encoding="utf-8")
    (out / f"{name}-attainment.json").write_text(json.dumps(attainment(rows, source)), encoding="utf-8")
    print(page)


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ± {measures.half_width(values):.3f}"


def _plain(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1f}"


def _median(values: Sequence[float]) -> str:
    x = np.asarray(values)
    # not np.median: between a finite number and infinity it would give a number that nobody reached
    middle = np.sort(x)[len(x) // 2]
    return f"{middle:.4g} ({np.isfinite(x).mean():.0%})" if np.isfinite(middle) else f"- ({np.isfinite(x).mean():.0%})"


def table(runs: Runs, measure: str, title: str, shown: Callable[[Sequence[float]], str] = _mean) -> list[str]:
    """One measure: a row for each arm, a column for each table, and all of them together."""
    arms, names = list(dict.fromkeys(a for a, _ in runs)), list(dict.fromkeys(t for _, t in runs))
    arms.sort(key=lambda a: -np.mean([f[_sorted_by(f)] for (b, _), s in runs.items() if b == a for f in s.values()]))
    lines = [f"### {title}", "", "| arm | seeds | all | " + " | ".join(names) + " |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for arm in arms:
        cells = [[f[measure] for f in runs.get((arm, n), {}).values() if measure in f] for n in names]
        pooled = [v for c in cells for v in c]
        seeds = "/".join(sorted({str(len(c)) for c in cells if c}))
        whole = "" if not pooled else f"{np.mean(pooled):.3f}" if shown is _mean else shown(pooled)
        whole += "" if len({len(c) for c in cells}) == 1 else " (not all)"
        lines.append(f"| {arm} | {seeds} | {whole} | " + " | ".join(shown(c) if c else "" for c in cells) + " |")
    return [*lines, ""]


def reached(runs: Runs, measure: str, marks: Sequence[int]) -> list[str]:
    """The distribution of trials to a target over tables and seeds: share of runs that are there by then."""
    lines = [f"### Share of runs (tables x seeds) that got {measure} within so many trials", ""]
    lines += ["| arm | runs | " + " | ".join(map(str, marks)) + " |", "|---" * (len(marks) + 2) + "|"]
    found: dict[str, list[float]] = defaultdict(list)
    for (arm, _), seeds in runs.items():
        found[arm] += [f[measure] for f in seeds.values()]
    for arm, values in sorted(found.items(), key=lambda item: -np.mean(np.array(item[1]) <= marks[-1])):
        shares = [f"{np.mean(np.array(values) <= k):.0%}" for k in marks]
        lines.append(f"| {arm} | {len(values)} | " + " | ".join(shares) + " |")
    return [*lines, ""]


def faster(runs: Runs, measure: str, against: str, trials: int) -> list[str]:
    """Median trials of the best Optuna sampler as a multiple of ours, table by table."""
    lines = [f"### Median trials {measure}: {against} against the best of Optuna's samplers", ""]
    lines += [f"| table | {against} | best of Optuna | multiple |", "|---|---|---|---|"]
    for name in dict.fromkeys(t for _, t in runs):
        middle = {}
        for arm in (against, *OPTUNA):
            values = sorted(f[measure] for f in runs.get((arm, name), {}).values())
            if values:
                middle[arm] = values[len(values) // 2]
        if against not in middle or len(middle) < 2:
            continue
        best = min((a for a in middle if a != against), key=lambda a: middle[a])
        sign = "" if np.isfinite(middle[best]) else "> "
        multiple = min(middle[best], trials) / middle[against] if np.isfinite(middle[against]) else float("nan")
        lines.append(f"| {name} | {middle[against]:g} | {best}: {middle[best]:g} | {sign}{multiple:.2f} |")
    return [*lines, ""]


def _sorted_by(figure: Mapping[str, Any]) -> str:
    return [k for k in figure if k.startswith("tight ")][-1]


def tests(runs: Runs, measure: str, against: str) -> list[str]:
    """Pairs over tables and seeds: mean gain, Wilcoxon with Holm, and tables on which `against` is behind.

    The measure "tight" stands for the last mark that both runs of a pair have: slow arms get fewer trials.
    """
    rivals = [a for a in dict.fromkeys(a for a, _ in runs) if a != against]
    gains: dict[str, dict[str, list[float]]] = {}
    for rival in rivals:
        for name in dict.fromkeys(t for _, t in runs):
            mine, theirs = runs.get((against, name), {}), runs.get((rival, name), {})
            pairs = [_gain(mine[s], theirs[s], measure) for s in sorted(set(mine) & set(theirs))]
            if pairs:
                gains.setdefault(rival, {})[name] = pairs
    if not gains:
        return []
    flat = {rival: np.concatenate(list(per.values())) for rival, per in gains.items()}
    adjusted = holm({rival: paired(g, np.zeros_like(g)) for rival, g in flat.items()})
    lines = [f"### {against} against each, {LABELS[measure]}, paired by table and seed", ""]
    lines += ["| rival | pairs | gain | ahead in | p (Wilcoxon, Holm) | ahead on | behind on (interval) |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for rival, g in sorted(flat.items(), key=lambda item: item[1].mean()):
        ahead = [n for n, p in gains[rival].items() if np.mean(p) - measures.half_width(p) > 0]
        behind = [n for n, p in gains[rival].items() if np.mean(p) + measures.half_width(p) < 0]
        lines.append(
            f"| {rival} | {len(g)} | {g.mean():+.3f} | {(g > 0).mean():.0%} | {adjusted[rival]:.2g} "
            f"| {len(ahead)} of {len(gains[rival])} | {', '.join(behind) or 'none'} |"
        )
    return [*lines, ""]


def _gain(mine: Mapping[str, Any], theirs: Mapping[str, Any], measure: str) -> float:
    both = [k for k in mine if k in theirs and k.startswith("tight ")]
    name = both[-1] if measure == "tight" else measure
    return float(mine[name] - theirs[name])


def attainment(rows: Sequence[Mapping[str, Any]], source: str) -> list[dict[str, Any]]:
    """Quartiles over seeds of the lowest true error at no more than each of 30 costs, after all trials."""
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["state"] in ("", source):
            grouped[row["table"], row["arm"]].append(row)
    out = []
    for (name, arm), runs in sorted(grouped.items()):
        costs = np.log(judge_of(name, 0).table.costs)
        grid = np.linspace(costs.min(), judge_of(name, 0).tight_corner[0], 30)
        got = np.array([judge_of(name, r["seed"]).attained(r["rows"], grid) for r in runs])
        quartiles = np.quantile(np.nan_to_num(got, posinf=1e9), [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
        levels = [[None if v >= 1e9 else round(float(v), 4) for v in level] for level in quartiles]
        out.append({"table": name, "arm": arm, "cost": [round(float(c), 6) for c in np.exp(grid)], "quartiles": levels})
    return out
