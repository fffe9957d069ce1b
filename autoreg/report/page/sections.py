"""The sections of the page, each a function from what was read to HTML. Everything from a file is escaped."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.report.data.front import FrontRow, format_metric, no_front_sentence, spread_text, title
from autoreg.report.plots.search import predictor_scores, score_sentence
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.progress import duration
from autoreg.report.text.warm_start import warm_sentences
from autoreg.report.text.words import (
    audit_sentence,
    dense_quality,
    dense_trainings,
    failures,
    gain_text,
    gains,
    slack,
    test_use_sentences,
)

if TYPE_CHECKING:
    from autoreg.report.data.load import StudyData

SHOWN_MEMBERS = 100


def esc(value: Any) -> str:
    """Text of anything, safe inside an element or a quoted attribute."""
    return html.escape(str(value), quote=True)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] = (), kinds: Sequence[str] = ()
) -> str:
    """A table in a box that scrolls sideways on narrow screens; cells are HTML already.

    Args:
        head: column headings.
        rows: cells.
        classes: a CSS class for each column, `num` for numbers.
        kinds: a CSS class for each row.
    """
    classes = classes or [""] * len(head)
    kinds = kinds or [""] * len(rows)
    top = "".join(f'<th scope="col" class="{c}">{h}</th>' for h, c in zip(head, classes, strict=True))
    body = "".join(
        f'<tr class="{kind}">'
        + "".join(f'<td class="{c}">{cell}</td>' for cell, c in zip(row, classes, strict=True))
        + "</tr>\n"
        for row, kind in zip(rows, kinds, strict=True)
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table></div>\n'


def plain(value: Any) -> str:
    """A value of study.json in words: mappings as `a: 1, b: 2`, lists joined."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {plain(v)}" if v != {} else str(k) for k, v in value.items() if v is not None)
    if isinstance(value, list | tuple):
        return ", ".join(plain(v) for v in value)
    return "" if value is None else str(value)


def cards(data: StudyData, rows: Sequence[FrontRow], hypervolume: float | None) -> str:
    """The figures to see first."""
    states = data.trials["state"].value_counts()
    count = {s: int(states.get(s, 0)) for s in ("COMPLETE", "PRUNED", "FAIL", "RUNNING")}
    rest = [
        f"{count[s]} {word}"
        for s, word in (("PRUNED", "stopped"), ("FAIL", "failed"), ("RUNNING", "running"))
        if count[s]
    ]
    found = [
        ("complete trials", str(count["COMPLETE"]), ", ".join(rest) or f"of {len(data.trials)}"),
        ("on the front", str(len(rows)), ""),
    ]
    if hypervolume is not None:
        found.append(("hypervolume", f"{hypervolume:.3f}", "share of the scale fixed at the start"))
    paid, asked = data.epochs_run, float(data.spent("epochs_requested").sum())
    times = dense_trainings(data)
    if asked:
        found.append(
            (
                "epochs paid",
                f"{paid:,.0f}",
                f"{times:,.3g} dense trainings; {asked:,.0f} asked for" if times else f"{asked:,.0f} asked for",
            )
        )
    seconds = float(data.spent("seconds").sum())
    if seconds:
        found.append(("trial time", duration(seconds), "summed over trials"))
    items = (
        f'<div class="card"><b>{esc(v)}</b><span>{esc(k)}</span><small>{esc(more)}</small></div>'
        for k, v, more in found
    )
    return f'<div class="cards">{"".join(items)}</div>\n'


def asked(data: StudyData) -> str:
    """What was asked: task, space, objectives, constraints, budget, seed, versions, machine."""
    study = data.study
    goals = ", ".join(f"{title(o)} ({d})" for o, d in data.objectives.items())
    space = study.get("space")
    facts = [
        ("task", _task(study.get("task"))),
        ("space", (space.get("name") if isinstance(space, Mapping) else space) or "without a name"),
        ("space digest", study.get("space_digest") or study.get("digest")),
        ("parameters that varied", len([p for p in data.parameters if data.trials[p].nunique(dropna=False) > 1])),
        ("objectives", goals),
        ("constraints", plain(study.get("constraints") or [])),
        ("budget", plain(study.get("budget"))),
        ("seed", study.get("seed")),
        ("sampler", study.get("sampler")),
        ("versions", plain(study.get("versions"))),
        ("machine", plain(study.get("machine"))),
    ]
    shown = [(k, v) for k, v in facts if v not in (None, "")]
    body = "".join(f"<dt>{esc(k)}</dt><dd>{esc(v)}</dd>" for k, v in shown)
    note = f'<p class="note">{esc(study["task_note"])}</p>' if study.get("task_note") else ""
    whole = details("the space, whole", json.dumps(space, indent=2)) if isinstance(space, Mapping) else ""
    return f"{note}<dl>{body}</dl>{whole}\n"


def _task(task: Any) -> str:
    if not task:
        return "an objective of the user's own"
    if isinstance(task, Mapping) and "name" in task:
        params = plain(task.get("params") or {})
        return f"{task['name']} ({params})" if params else str(task["name"])
    return plain(task)


def details(summary: str, text: str) -> str:
    """Text behind a line to click on."""
    return f"<details><summary>{esc(summary)}</summary><pre>{esc(text)}</pre></details>"


def front_table(data: StudyData, rows: Sequence[FrontRow]) -> str:
    """Members of the front with their recipes, and the baselines under them."""
    if not rows:
        return f"<p>There is no front: {esc(no_front_sentence(data))}</p>\n"
    costs = [c for c in data.cost_metrics if c not in ("params", "weights") or c in data.objectives]
    shown = [*data.quality, *(o for o in data.objectives if o not in data.quality and o not in costs), *costs]
    again = [q for q in data.quality if any(spread_text(q, r.validation) for r in rows)]
    tested = [q for q in data.quality if any(spread_text(q, r.test) for r in rows)]
    sets = sorted({str(s) for r in rows for s in r.test_sets})
    chance = any(r.front_probability is not None for r in rows)
    head = ["trial", "recipe", *(esc(title(m)) for m in shown)]
    head += [f"{esc(title(q))}, new seeds" for q in again] + [f"{esc(title(q))}, test" for q in tested]
    head += [f"test: {esc(s)}" for s in sets] if len(sets) > 1 else []
    head += ["on the front with"] if chance else []
    body, kinds = [], []
    for r in rows[:SHOWN_MEMBERS]:
        gone = " <small>left the front with new seeds</small>" if r.on_final_front is False else ""
        cells = [str(r.trial), _recipe(r.phrase, r.recipe), *(esc(format_metric(m, r.metrics.get(m))) for m in shown)]
        cells += [esc(spread_text(q, r.validation)) for q in again] + [esc(spread_text(q, r.test)) for q in tested]
        cells += [_test_set(data, r.test_sets.get(s)) for s in sets] if len(sets) > 1 else []
        cells += ["" if r.front_probability is None else f"{r.front_probability:.0%}"] if chance else []
        cells[1] += gone
        body.append(cells)
        kinds.append("gone" if gone else "")
    for baseline in data.baselines:
        metrics, test = baseline.get("metrics") or {}, baseline.get("test") or {}
        config = baseline.get("config")
        phrase = f"baseline: {baseline.get('name')}"
        phrase += f" (failed: {baseline['reason']})" if baseline.get("reason") else ""
        cells = [
            "",
            _recipe(phrase, config) if config else esc(phrase),
            *(esc(format_metric(m, _number(metrics.get(m)))) for m in shown),
        ]
        cells += [esc(spread_text(q, baseline.get("validation") or {})) for q in again] + [
            esc(spread_text(q, test)) for q in tested
        ]
        cells += [_test_set(data, (baseline.get("test_sets") or {}).get(s)) for s in sets] if len(sets) > 1 else []
        cells += [""] if chance else []
        body.append(cells)
        kinds.append("baseline")
    more = (
        f"<p>The {len(rows) - SHOWN_MEMBERS} further members are in front.csv.</p>" if len(rows) > SHOWN_MEMBERS else ""
    )
    return (
        table(head, body, ["num", "recipe", *["num"] * (len(head) - 2)], kinds)
        + more
        + _front_words(rows, again, tested, len(data.final.get("test_uses") or ()))
    )


def _recipe(phrase: str, config: Mapping[str, Any]) -> str:
    short = recipe_phrase(config) if phrase.startswith("baseline: ") else ""
    extra = f" <small>{esc(short)}</small>" if short and short != phrase.removeprefix("baseline: ") else ""
    whole = esc(json.dumps(config, indent=1))
    return f"<details><summary>{_unbroken(esc(phrase))}{extra}</summary><pre>{whole}</pre></details>"


def _unbroken(text: str) -> str:
    """Text in which no line breaks within `1e-4`."""
    return re.sub(r"(\de)-(?=\d)", "\\1\u2011", text)


def _test_set(data: StudyData, value: Any) -> str:
    if not isinstance(value, Mapping):
        return esc(format_metric(data.quality[0], _number(value)) if data.quality else "")
    block = value if "mean" in value else {"mean": value}
    return esc(", ".join(t for t in (spread_text(q, block) for q in data.quality) if t))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _front_words(rows: Sequence[FrontRow], again: Sequence[str], tested: Sequence[str], uses: int) -> str:
    words = ["The numbers of the search carry the seed that selected them and are optimistic."]
    replicated = [r for r in rows if r.validation]
    if again:
        names = ", ".join(str(r.trial) for r in replicated)
        seeds = max(len(r.validation.get("values") or ()) for r in replicated)
        every = len(replicated) == len(rows)
        which = "All members" if every else f"Members {names} (those that bring most hypervolume)"
        words.append(
            f"{which} were trained again with {seeds} new seeds: mean ± standard deviation on validation data."
        )
        if any(r.on_final_front is False for r in rows):
            words.append("Those that the new seeds push off the front were not scored on test data.")
    else:
        words.append("No member has been measured again with new seeds yet.")
    if tested:
        often = "once" if uses <= 1 else f"{uses} times, after each end of the search"
        words.append(f"Test data was looked at {often}, when the front was fixed, and nothing was chosen on it.")
    return f"<p>{esc(' '.join(words))}</p>\n"


def gain_section(data: StudyData, rows: Sequence[FrontRow]) -> str:
    """What was gained over the dense recipe, beside what the search cost."""
    quality = dense_quality(data)
    if not rows:
        return "<p>There is no front to compare with the dense recipe.</p>\n"
    if quality is None or not data.quality:
        return "<p>There is no dense recipe on record to compare with.</p>\n"
    name, near = data.quality[0], slack(data)
    sign = 1.0 if data.objectives[name] == "min" else -1.0
    word = "≤" if sign > 0 else "≥"
    strict, loose = gains(data, rows, quality), gains(data, rows, quality + sign * near)
    if not strict:
        return "<p>The study recorded no cost of the dense recipe.</p>\n"
    head = [
        "cost",
        "dense",
        f"{esc(title(name))} {word} {quality:.4g} (as dense)",
        f"{esc(title(name))} {word} {quality + sign * near:.4g} (nearly)",
    ]
    body = [
        [esc(title(a.cost)), esc(format_metric(a.cost, a.dense)), esc(gain_text(a)), esc(gain_text(b))]
        for a, b in zip(strict, loose, strict=True)
    ]
    times = dense_trainings(data)
    cost = f" The search paid {times:,.3g} times the epochs of one dense training for it." if times else ""
    words = "How many times cheaper than dense the cheapest member of the front is that is as good, or nearly as good."
    return f"<p>{esc(words + cost)}</p>{table(head, body, ['', 'num', 'num', 'num'])}"


def failure_section(data: StudyData) -> str:
    """Failed trials, grouped by reason."""
    found = failures(data)
    if not found:
        return "<p>No trial failed.</p>\n"
    body = [
        [str(len(n)), esc(reason), esc(", ".join(map(str, n[:12])) + (" …" if len(n) > 12 else ""))]
        for reason, n in found
    ]
    return table(["trials", "reason", "which"], body, ["num", "", ""])


def predictor_section(data: StudyData) -> str:
    """How good the predictor was and what a warm start brought it, in words."""
    scores = predictor_scores(data)
    audit = audit_sentence(data)
    checked = f"<p>{esc(audit)}</p>\n" if audit else ""
    warm = "".join(f"<li>{esc(sentence)}</li>" for sentence in warm_sentences(data))
    checked += f"<ul>{warm}</ul>\n" if warm else ""
    if not scores:
        return checked + "<p>No prediction was recorded that met an observed value.</p>\n"
    lines = "".join(f"<li>{esc(title(s['metric']))}: {esc(score_sentence(s))}</li>" for s in scores)
    return f"{checked}<ul>{lines}</ul>\n"


def test_section(data: StudyData) -> str:
    """Uses of test data, and a warning when the search went on after one."""
    uses, warning = test_use_sentences(data)
    if not uses:
        own = "An objective of the user's own has no test data here."
        return f"<p>{'Test data has not been used.' if data.study.get('task') else own}</p>\n"
    listed = "<ul>" + "".join(f"<li>{esc(u)}</li>" for u in uses) + "</ul>\n"
    return (f'<p class="warning"><b>Warning.</b> {esc(warning)}</p>' if warning else "") + listed
