"""How latency was measured, and how well it was predicted, in sentences."""

from __future__ import annotations

from autoreg.report.data.load import StudyData
from autoreg.report.data.predicted_latency import latency_predictions, prediction_error_quantiles
from autoreg.report.text.metrics import percent, plural
from autoreg.trial_info import Latency


def measurement_phrase(latency: Latency, *, runs: bool = True) -> str:
    """How one latency was measured: runs (unless not wanted), batch, threads, runtime and device, where known."""
    parts = [
        f"median of {latency.runs} runs" if runs and latency.runs else "",
        f"batch size {latency.batch}" if latency.batch else "",
        plural(latency.threads, "thread") if latency.threads else "",
        f"{latency.runtime} on {latency.device or 'this device'}" if latency.runtime else "",
    ]
    return ", ".join(part for part in parts if part)


def latency_sentence(data: StudyData) -> str:
    """How latency was measured in the search, from the first trial that says so; empty when none does."""
    found = [record.info.latency for record in data.state.records if record.info.latency is not None]
    if not found:
        return ""
    noisy = sum(latency.noisy for latency in found)
    disturbed = f" Other processes disturbed {noisy} of {len(found)} measurements." if noisy else ""
    return (
        "Latency is that of an untrained network with the recipe's architecture and bits, exported: "
        f"{measurement_phrase(found[0])}.{disturbed}"
    )


def predicted_latency_sentences(data: StudyData) -> list[str]:
    """Errors of predicted latency, in this study and where the table was built; empty without predictions."""
    pairs, sentences = latency_predictions(data), []
    if pairs:
        median, p90 = prediction_error_quantiles(pairs)
        inside = sum(pair.low <= pair.measured <= pair.high for pair in pairs)
        noisy = sum(pair.noisy for pair in pairs)
        sentences.append(
            "Latency was predicted from this machine's table before a network was timed. Over "
            f"{plural(len(pairs), 'network')} of this study the error |predicted - measured| / measured is "
            f"{percent(median)} at the median and {percent(p90)} at the 90th percentile; {inside} of {len(pairs)} "
            "measurements are within the predicted interval (nominal coverage 90\u00a0%)."
        )
        if noisy:
            sentences.append(f"Other processes disturbed {noisy} of these measurements.")
    table = data.config.table_errors
    if table is not None:
        recipes = "held-out recipes" if table.recipes is None else f"{table.recipes} held-out recipes"
        size = "" if table.entries is None else f" of {table.entries:,} layer times"
        sentences.append(
            f"When the table{size} was built, the error on {recipes} was {percent(table.median)} at the median and "
            f"{percent(table.p90)} at the 90th percentile."
        )
    return sentences
