"""The page of a comparison: a summary, then a table for each measure, as Markdown; attainment surfaces as JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import engines_figures, measures
from benchmarks.tables.engines_summary import IN_EPOCHS, Runs, summary
from benchmarks.tables.measures import Judge, at_spent, spent_to, trials_to
from benchmarks.tables.paying import whole
from benchmarks.tables.table import Floats

JudgeOf = Callable[[str, int], Judge]
"""The judge of a table's name and a seed."""
Row = Mapping[str, Any]
CURVE = 50
"""The mean of the curve ends here: slow arms have no more trials."""
MARKS = (20, 30, 50, 100, 200)
TARGETS = ("to 95% naive", "to 25% tight", "to 50% tight", "to 75% tight")


def arm_of(row: Row, source: str) -> str:
    """How an arm is called on the page: with the state of our engine if it is another, and without cache if so."""
    state = f"@{row['state']}" if row["state"] not in ("", source) else ""
    return str(row["arm"]) + state + (" (cache off)" if row.get("cache") == "off" else "")


def spent(row: Row, judge: Judge) -> dict[str, Floats]:
    """What had been spent after each trial [n]: epochs of whole trials, and seconds of table and arm."""
    count = len(row["rows"])
    epochs, trained = row.get("epochs_paid") or [1.0] * count, row.get("trained") or [0.0] * count
    unit = whole(judge.table).epochs if row.get("epochs_paid") else 1.0
    return {
        "epochs": np.asarray(np.cumsum(epochs) / unit),
        "seconds": np.asarray(np.cumsum(np.add(trained, row["seconds"]))),
    }


def figures(row: Row, judge: Judge) -> dict[str, Any]:
    """All measures of one run."""
    rows, starts, steps = row["rows"], row["starts"], row.get("steps")
    tight, naive = judge.found(rows, starts, steps), judge.naive(rows, steps)
    paid = spent(row, judge)
    own = [s for s in row["seconds"] if s > 0]
    out: dict[str, Any] = {
        **{f"tight {k}": float(tight[k - 1]) for k in MARKS if k <= len(tight)},
        "mean of the curve": float(tight[starts:CURVE].mean()) if len(tight) > starts else 0.0,
        "handed_over": judge.handed_over(rows, starts, steps, row.get("chosen")),
        **{f"naive {k}": float(naive[k - 1]) for k in MARKS if k <= len(naive)},
        **{f"to {t:.0%} tight": trials_to(tight, t) for t in (0.25, 0.5, 0.75, 0.9)},
        **{f"to {t:.0%} naive": trials_to(naive, t) for t in (0.95, 0.99)},
        "cheapest": judge.cheapest(rows, steps),
        "ms": 1000 * float(np.mean(own)) if own else 0.0,
        "drawn": float(row["drawn"]),
    }
    if row.get("epochs_paid"):
        out |= {f"tight at {k} epochs": v for k in IN_EPOCHS if np.isfinite(v := at_spent(tight, paid["epochs"], k))}
        for unit, amounts in paid.items():
            out |= {f"{unit} to {t:.0%} tight": spent_to(tight, amounts, t) for t in (0.25, 0.5, 0.75)}
            out |= {f"{unit} to 95% naive": spent_to(naive, amounts, 0.95)}
            out |= {unit: float(amounts[-1])}
        out["stopped"] = float(np.mean(np.asarray(steps) > 0))
    return out


def report(rows: Sequence[Row], source: str, out: Path, name: str, against: str, judge_of: JudgeOf) -> None:
    """Write `out`/`name`.md with its figures beside it, and attainment surfaces to `out`/`name`-attainment.json."""
    if not rows:
        print("no runs yet")
        return
    rows = sorted(rows, key=lambda r: (r["table"], r["seed"]))
    grouped: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        grouped[arm_of(row, source), row["table"]][row["seed"]] = figures(row, judge_of(row["table"], row["seed"]))
    out.mkdir(parents=True, exist_ok=True)
    pictures = engines_figures.draw([(arm_of(r, source), r, judge_of(r["table"], r["seed"])) for r in rows], out, name)
    text = page(grouped, rows, source, against)
    links = ["## Figures", "", *(f"![{p.stem}]({p.name})" for p in pictures), ""]
    (out / f"{name}.md").write_text("\n".join([*text, *links]) + "\n", encoding="utf-8")
    surfaces = json.dumps(attainment(rows, source, judge_of))
    (out / f"{name}-attainment.json").write_text(surfaces, encoding="utf-8")
    print("\n".join(text))


def page(runs: Runs, rows: Sequence[Row], source: str, against: str) -> list[str]:
    """The lines of the page, without its figures."""
    trials = max(row["trials"] for row in rows)
    units = any(row.get("epochs_paid") for row in rows)
    text = [f"Trials {trials}, starts {rows[0]['starts']} of them; our engine as of `{source}`.", ""]
    text += [f"`python -m benchmarks.engines {shlex.join(sys.argv[1:])}`", "", *seeds(runs, rows)]
    text += summary(runs, against, trials, units)
    text += ["## Measures", ""]
    marks = [k for k in MARKS if k <= trials]
    for k in marks:
        text += table(runs, f"tight {k}", f"Tight hypervolume after {k} trials (start 0, whole table 1)")
    for k in IN_EPOCHS if units else ():
        text += table(runs, f"tight at {k} epochs", f"Tight hypervolume after the epochs of {k} whole trials")
    text += table(runs, "handed_over", "The front that an arm hands over (chosen on the seed it saw), tight measure")
    text += table(runs, "naive 50", "Naive hypervolume after 50 trials, share of the whole table")
    for target in (*TARGETS, "to 99% naive", "to 90% tight"):
        text += table(runs, target, f"Trials {target}: median over seeds (share of runs that reached it)", _median)
    for target in TARGETS if units else ():
        text += table(runs, f"epochs {target}", f"Epochs {target}, in those of whole trials: median (share)", _median)
        text += table(runs, f"seconds {target}", f"Seconds of table and arm {target}: median (share)", _median)
    text += table(
        runs, "cheapest", "Cost of the cheapest found near the best, times the least possible: median", _median
    )
    text += table(runs, "ms", "Milliseconds an arm takes for one trial", _plain)
    if units:
        text += table(runs, "stopped", "Share of trials that were stopped early")
        text += table(runs, "epochs", "Epochs paid by the end, in those of whole trials", _plain)
    for target in TARGETS:
        text += reached(runs, target, marks)
        text += reached(runs, f"epochs {target}", marks) if units else []
    return text


def seeds(runs: Runs, rows: Sequence[Row]) -> list[str]:
    """How many seeds and trials an arm has where it has fewer than the others."""
    had: dict[str, int] = defaultdict(int)
    for (arm, _), per in runs.items():
        had[arm] = max(had[arm], len(per))
    most = max(had.values())
    longest = max(row["trials"] for row in rows)
    cut = {row["arm"]: row["trials"] for row in rows if row["trials"] < longest}
    few = [f"{arm} {n} seeds" for arm, n in had.items() if n < most]
    few += [f"{arm} {n} trials" for arm, n in cut.items()]
    return [f"{most} seeds" + (f"; fewer for: {', '.join(few)}" if few else "") + ".", ""]


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
    """One measure: a row for each arm, a column for each table, and all of them together; nothing if nobody has it."""
    if not any(measure in f for per in runs.values() for f in per.values()):
        return []
    arms, names = list(dict.fromkeys(a for a, _ in runs)), list(dict.fromkeys(t for _, t in runs))
    arms.sort(key=lambda a: -np.mean([f[_sorted_by(f)] for (b, _), s in runs.items() if b == a for f in s.values()]))
    lines = [f"### {title}", "", "| arm | seeds | all | " + " | ".join(names) + " |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for arm in arms:
        cells = [[f[measure] for f in runs.get((arm, n), {}).values() if measure in f] for n in names]
        pooled = [v for c in cells for v in c]
        seeds = "/".join(sorted({str(len(c)) for c in cells if c}))
        over_all = "" if not pooled else f"{np.mean(pooled):.3f}" if shown is _mean else shown(pooled)
        over_all += "" if len({len(c) for c in cells}) == 1 else " (not all)"
        lines.append(f"| {arm} | {seeds} | {over_all} | " + " | ".join(shown(c) if c else "" for c in cells) + " |")
    return [*lines, ""]


def reached(runs: Runs, measure: str, marks: Sequence[int]) -> list[str]:
    """The distribution (ECDF) of work to a target over tables and seeds: share of runs that are there by then."""
    unit = "epochs, in those of whole trials" if measure.startswith("epochs ") else "trials"
    got = measure.removeprefix("epochs ")
    lines = [f"### Share of runs (tables x seeds) that got {got} within so many {unit}", ""]
    lines += ["| arm | runs | " + " | ".join(map(str, marks)) + " |", "|---" * (len(marks) + 2) + "|"]
    found: dict[str, list[float]] = defaultdict(list)
    for (arm, _), per in runs.items():
        found[arm] += [f.get(measure, np.inf) for f in per.values()]
    for arm, values in sorted(found.items(), key=lambda item: -measures.ecdf(item[1], [marks[-1]])[0]):
        shares = [f"{share:.0%}" for share in measures.ecdf(values, marks)]
        lines.append(f"| {arm} | {len(values)} | " + " | ".join(shares) + " |")
    return [*lines, ""]


def _sorted_by(figure: Mapping[str, Any]) -> str:
    """The measure after most trials; below the first mark the mean of the curve."""
    marks = [k for k in figure if k.startswith("tight ") and not k.startswith("tight at")]
    return marks[-1] if marks else "mean of the curve"


def attainment(rows: Sequence[Row], source: str, judge_of: JudgeOf) -> list[dict[str, Any]]:
    """Quartiles over seeds of the lowest true error at no more than each of 30 costs, after all trials."""
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["table"], arm_of(row, source)].append(row)
    out = []
    for (name, arm), runs in sorted(grouped.items()):
        costs = np.log(judge_of(name, 0).table.costs)
        grid = np.linspace(costs.min(), judge_of(name, 0).tight_corner[0], 30)
        got = np.array([judge_of(name, r["seed"]).attained(r["rows"], grid, r.get("steps")) for r in runs])
        quartiles = np.quantile(np.nan_to_num(got, posinf=1e9), [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
        levels = [[None if v >= 1e9 else round(float(v), 4) for v in level] for level in quartiles]
        out.append({"table": name, "arm": arm, "cost": [round(float(c), 6) for c in np.exp(grid)], "quartiles": levels})
    return out
