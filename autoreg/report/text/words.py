"""What the numbers say, in sentences: gains against dense, failures, uses of test data, how latency was taken."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoreg.report.data.front import FrontRow, format_metric

if TYPE_CHECKING:
    from autoreg.report.data.load import StudyData
    from autoreg.trial_info import Latency

SLACK = 0.02  # of the way from the dense quality to chance level


@dataclass(frozen=True)
class Gain:
    """The cheapest member that is as good as asked.

    Attributes:
        cost: which cost.
        dense: its value for the dense recipe.
        bound: the quality that was asked.
        trial: the member, None when none is good enough.
        value: its cost.
        ratio: dense over value: 2.0 is half the cost.
        fresh: whether its quality is a mean over new seeds, rather than that of the seed that selected it.
    """

    cost: str
    dense: float
    bound: float
    trial: int | None = None
    value: float | None = None
    ratio: float | None = None
    fresh: bool = False


def dense_quality(data: StudyData) -> float | None:
    """The first quality objective of the dense recipe, from the baselines of final.json if they are there."""
    for baseline in data.baselines:
        value = (baseline.get("metrics") or {}).get(data.main)
        if baseline.get("name") == "dense" and isinstance(value, int | float):
            return float(value)
    return data.dense.get(data.main)


def slack(data: StudyData) -> float:
    """How much worse than dense still counts as nearly as good: 2 % of the way to chance, or of the value itself."""
    dense, chance = dense_quality(data) or 0.0, data.study.get("chance")
    return SLACK * abs(float(chance) - dense if isinstance(chance, int | float) else dense)


def gains(data: StudyData, rows: Sequence[FrontRow], bound: float) -> list[Gain]:
    """For every recorded cost the cheapest member whose quality meets `bound`.

    Once members were re-measured with new seeds, those that were not do not count: the search selected their luck.
    """
    found = []
    quality = data.main
    sign = 1.0 if data.objectives.get(quality, "min") == "min" else -1.0
    counted = [r for r in rows if quality in (r.validation.get("mean") or {})] or rows
    good = [r for r in counted if (value := member_quality(r, quality)) is not None and sign * value <= sign * bound]
    for cost in data.cost_metrics:
        dense = data.dense.get(cost)
        if cost in ("weights", "params") or not dense:
            continue
        best = min((r for r in good if r.metrics.get(cost)), key=lambda r: r.metrics[cost], default=None)
        if best is None:
            found.append(Gain(cost, dense, bound))
            continue
        value = best.metrics[cost]
        fresh = quality in (best.validation.get("mean") or {})
        found.append(Gain(cost, dense, bound, best.trial, value, dense / value, fresh))
    return found


def member_quality(row: FrontRow, quality: str) -> float | None:
    """Mean over new seeds where a member was re-measured, else what the search saw."""
    mean = (row.validation.get("mean") or {}).get(quality)
    return float(mean) if isinstance(mean, int | float) else row.metrics.get(quality)


def failures(data: StudyData) -> list[tuple[str, list[int]]]:
    """Reasons and the trials that failed for them, the most frequent first; numbers in a reason are not told apart."""
    groups: dict[str, list[int]] = defaultdict(list)
    texts: dict[str, str] = {}
    for record in data.state.records:
        if record.state == "FAIL":
            text = (record.reason or "no reason was recorded").strip()
            key = re.sub(r"\d+", "#", text)
            texts.setdefault(key, text)
            groups[key].append(record.number)
    return sorted(((texts[k], numbers) for k, numbers in groups.items()), key=lambda item: -len(item[1]))


def test_use_sentences(data: StudyData) -> tuple[list[str], str]:
    """What is recorded of each use of test data, and a warning when the search went on after one (else empty)."""
    uses, latest = [], None
    for use in data.final.get("test_uses") or []:
        if not isinstance(use, Mapping):
            uses.append(str(use))
            continue
        trials = use.get("trials")
        words = [str(use[k]) for k in ("time", "when", "purpose") if use.get(k)]
        if isinstance(trials, int) and not isinstance(trials, bool):
            words.append(f"after {trials} trials")
            latest = trials if latest is None else min(latest, trials)
        uses.append(", ".join(words) or "one use")
    later = len(data.trials) - latest if latest is not None else 0
    if later <= 0:
        return uses, ""
    return uses, (
        f"The search went on for {later} trials after test data had been looked at. "
        "Whoever chose anything in between saw the test results: they are no longer an unbiased estimate."
    )


def audit_sentence(data: StudyData) -> str:
    """How the stops that were not carried out ended; empty when there were none."""
    audited = [r for r in data.state.records if r.audited and r.state == "COMPLETE"]
    stopped = int((data.trials["state"] == "PRUNED").sum())
    if not audited:
        return (
            f"{stopped} trials were stopped early; none of them was finished to check the decision." if stopped else ""
        )
    numbers = set(data.front["number"])
    wrong = sum(r.number in numbers for r in audited)
    return (
        f"{stopped} trials were stopped early. {len(audited)} that were to be stopped were finished all the same, as a "
        f"check: {wrong} of them ended on the front, so stopping them would have been wrong."
    )


def latency_words(latency: Latency, *, runs: bool = True) -> str:
    """How one latency was taken: runs (unless told otherwise), batch, threads, runtime and device, where known."""
    threads = latency.threads
    parts = [
        f"median of {latency.runs} runs" if runs and latency.runs else "",
        f"{latency.batch} sample{'s' if latency.batch != 1 else ''} a call" if latency.batch else "",
        f"{threads} thread{'s' if threads != 1 else ''}" if threads else "",
        f"{latency.runtime} on {latency.device or 'this device'}" if latency.runtime else "",
    ]
    return ", ".join(p for p in parts if p)


def latency_sentence(data: StudyData) -> str:
    """How latency was taken in the search, from the first trial that says so; empty when none does."""
    found = [r.info.latency for r in data.state.records if r.info.latency is not None]
    if not found:
        return ""
    noisy = sum(latency.noisy for latency in found)
    disturbed = f" {noisy} of {len(found)} timings were disturbed." if noisy else ""
    return (
        "Latency is that of an untrained network of the recipe's structure and bits, exported: "
        f"{latency_words(found[0])}.{disturbed}"
    )


def dense_trainings(data: StudyData) -> float | None:
    """The epochs the search paid, as a multiple of one dense training; None when not known."""
    paid = data.epochs_run
    for record in data.state.records:
        requested = record.info.epochs_requested or 0.0
        if record.source == "dense" and requested > 0:
            return paid / requested
    return None


def gain_text(gain: Gain) -> str:
    """`2.1× (trial 7: 0.8M)`, or a dash."""
    if gain.ratio is None or gain.trial is None:
        return "none"
    seeds = "" if gain.fresh else ", one seed"
    return f"{gain.ratio:.2g}× (trial {gain.trial}: {format_metric(gain.cost, gain.value)}{seeds})"
