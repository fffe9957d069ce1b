"""Trials in sentences: why there is no front, why trials failed, how pruning was audited."""

from __future__ import annotations

import re
from collections import defaultdict

from autoreg.report.data.load import StudyData

STATE_WORDS = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def state_counts(data: StudyData) -> dict[str, int]:
    """How many trials are in each state that any trial is in, by the state's word."""
    counts = data.trials["state"].value_counts()
    return {word: int(counts[state]) for state, word in STATE_WORDS.items() if counts.get(state, 0)}


def no_front_sentence(data: StudyData) -> str:
    """Why there is no front, in a sentence."""
    counts = state_counts(data)
    if not counts:
        return "no trial has started yet."
    if data.is_final:
        return "with fresh seeds none of its members meets the constraints."
    parts = ", ".join(f"{count} {word}" for word, count in counts.items())
    if "complete" in counts:
        return f"no trial meets the constraints so far ({parts})."
    return f"no trial is complete so far ({parts})."


def failures(data: StudyData) -> list[tuple[str, list[int]]]:
    """Reasons and the trials that failed for them, most frequent first; reasons that differ in a number are one."""
    groups: dict[str, list[int]] = defaultdict(list)
    texts: dict[str, str] = {}
    for record in data.state.records:
        if record.state == "FAIL":
            text = (record.reason or "no reason was recorded").strip()
            key = re.sub(r"\d+", "#", text)
            texts.setdefault(key, text)
            groups[key].append(record.number)
    return sorted(((texts[k], numbers) for k, numbers in groups.items()), key=lambda item: -len(item[1]))


def pruning_sentence(data: StudyData) -> str:
    """How many trials were pruned, and what the audit of such decisions found; empty when there were none."""
    audited = [r for r in data.state.records if r.audited and r.state == "COMPLETE"]
    pruned = int((data.trials["state"] == "PRUNED").sum())
    if not audited:
        return f"{pruned} trials were pruned; no such decision was audited." if pruned else ""
    on_front = set(data.front["number"])
    wrong = sum(record.number in on_front for record in audited)
    return (
        f"{pruned} trials were pruned. As an audit, {len(audited)} that the rule would have pruned were run to the "
        f"end: {wrong} of them ended on the front, so pruning them would have been wrong."
    )


def uses_of_test_data(data: StudyData) -> tuple[list[str], str]:
    """What is recorded of each use of test data, and a warning when the search went on after one (else empty)."""
    uses = []
    for use in data.final.test_uses:
        after = "" if use.trials is None else f"after {use.trials} trials"
        uses.append(", ".join(part for part in (use.time, use.purpose, after) if part) or "one use")
    trials = [use.trials for use in data.final.test_uses if use.trials is not None]
    later = len(data.trials) - min(trials) if trials else 0
    if later <= 0:
        return uses, ""
    return uses, (
        f"The search went on for {later} trials after test data had been used. Whoever chose anything in between had "
        "seen the test results: they are no longer an unbiased estimate."
    )
