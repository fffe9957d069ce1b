"""Exported models with their sizes and times, and beside each why its time is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoreg.engine.log.baseline_names import DENSE
from autoreg.report.data.dense_reference import DenseComparison
from autoreg.report.data.exported_model import ExportedModel
from autoreg.report.data.front import FrontRow
from autoreg.report.data.load import StudyData
from autoreg.report.data.network_comparison import NetworkComparison
from autoreg.report.data.trial_values import costs_of
from autoreg.report.page.tables import Column, PageTable, Row, text_cells
from autoreg.report.text.exported_models import agreement_phrase, precision_phrase
from autoreg.report.text.latency import latency_sentence, measurement_phrase
from autoreg.report.text.metrics import format_metric, format_milliseconds, metric_title
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.time_reasons import comparison_sentence, reasons, time_notes

MAX_TIME_NOTES = 20


@dataclass(frozen=True)
class ExportedSection:
    """Exported models: how they were measured, a table of them, and remarks of the export."""

    sentences: Sequence[str]
    table: PageTable
    remarks: Sequence[str]


def exported_section(data: StudyData) -> ExportedSection | None:
    """The exported models of the final front as a table; None before they are written."""
    models = data.final.exported
    if not models:
        return None
    reference = DenseComparison.of(data)
    dense = next((model for model in models if model.is_dense and not model.error), None)
    columns = [
        Column("model", "name"),
        Column("recipe"),
        Column(f"{metric_title(data.main_objective)} when exported", "num"),
        Column("file bytes", "num"),
        Column("FLOPs", "num"),
        Column("effective FLOPs", "num"),
        Column("ms (95\u00a0% interval)", "num"),
        Column("speed-up over dense", "num"),
        Column("precision of layers"),
        Column("agreement with the trial"),
    ]
    rows = [_row(reference, model, dense) for model in models]
    return ExportedSection(_sentences(models), PageTable(columns, rows), _remarks(models))


def _row(reference: DenseComparison, model: ExportedModel, dense: ExportedModel | None) -> Row:
    """The numbers of one model, and under them what they mean."""
    record = reference.record_of(model)
    costs = reference.data.dense if model.is_dense else costs_of(record) if record else {}
    phrase = DENSE if model.is_dense else recipe_phrase(record.config) if record else ""
    layers = reference.layers(record, model.precision) if record else ()
    net = None if model.is_dense else reference.compare_exported(model, dense)
    texts = (
        model.name,
        phrase if phrase != model.name else "",
        _quality_text(model, reference.data.main_objective),
        "" if model.file_bytes is None else f"{model.file_bytes:,}",
        format_metric("flops", costs.get("flops")),
        format_metric("effective_flops", costs.get("effective_flops")),
        _latency_text(model),
        "" if net is None else f"{1 / net.time:.2f}×",
        "" if model.error else precision_phrase(layers, model.precision),
        agreement_phrase(model.agreement),
    )
    why = f"The export failed: {model.error}" if model.error else "" if net is None else _explanation(net)
    return Row(text_cells(*texts), "baseline" if model.trial is None else "", why)


def _explanation(net: NetworkComparison) -> str:
    return " ".join([comparison_sentence(net), *reasons(net)])


def _quality_text(model: ExportedModel, quality: str) -> str:
    mine, recorded = (format_metric(quality, found.get(quality)) for found in (model.metrics, model.recorded))
    return mine if not recorded or mine == recorded else f"{mine} (trial: {recorded})"


def _latency_text(model: ExportedModel) -> str:
    latency = model.latency
    if latency is None:
        return ""
    ms, low, high = (format_milliseconds(value) for value in (latency.ms, latency.low, latency.high))
    return f"{ms} ({low} to {high})" + (", noisy" if latency.noisy else "")


def _sentences(models: Sequence[ExportedModel]) -> list[str]:
    """How the models were exported, run and timed."""
    timed = [model.latency for model in models if model.latency is not None]
    found = [
        "The dense network and what is on the final front, exported in the same way, run on validation data, and "
        "compared with what the trial recorded."
    ]
    if timed:
        how = measurement_phrase(timed[0], runs=False)
        found.append("They were timed interleaved, a few calls of each in turn" + (f": {how}." if how else "."))
        found.append("The latency of the search is that of an untrained network of the same architecture and bits.")
    if any(latency.noisy for latency in timed):
        found.append("Other processes disturbed the measurement: do not trust these times.")
    if not any(model.is_dense and model.latency is not None for model in models):
        found.append("The dense network was not timed, so there is no speed-up to show.")
    return found


def _remarks(models: Sequence[ExportedModel]) -> list[str]:
    """Notes of the export, each once with the models that it is about."""
    found: dict[str, list[str]] = {}
    for model in models:
        for note in model.notes:
            found.setdefault(note, []).append(model.name)
    return [f"{_joined(names)}: {note}" for note, names in found.items()]


def _joined(names: Sequence[str]) -> str:
    numbers = [name.removeprefix("trial ") for name in names if name.startswith("trial ")]
    rest = [name for name in names if not name.startswith("trial ")]
    trials = [f"trial{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"] if numbers else []
    return ", ".join([*rest, *trials])


@dataclass(frozen=True)
class TimeSection:
    """Members whose time differs from their other costs: how it was measured, notes, and how many are left out."""

    sentence: str
    notes: Sequence[str]
    left_out: int = 0


def time_section(data: StudyData, rows: Sequence[FrontRow]) -> TimeSection | None:
    """How time followed the other costs, by the times of the trials; None once exported models show it."""
    if not rows or "latency_ms" not in data.metrics or data.final.exported:
        return None
    notes = time_notes(data, rows)
    return TimeSection(latency_sentence(data), notes[:MAX_TIME_NOTES], max(0, len(notes) - MAX_TIME_NOTES))
