"""report.html: one file that opens without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoreg.report.data.front import front_rows
from autoreg.report.data.hypervolume import normalizer_of, search_curve
from autoreg.report.data.load import StudyData
from autoreg.report.page.environment import page_assets, page_environment
from autoreg.report.page.exported_models import exported_section, time_section
from autoreg.report.page.front_section import front_section
from autoreg.report.page.sections import (
    failure_table,
    gain_section,
    search_section,
    setup_section,
    summary_cards,
    uses_section,
)
from autoreg.report.page.tables import picture
from autoreg.report.plots.interactive import interactive_data
from autoreg.report.plots.write import Plots
from autoreg.report.text.latency import predicted_latency_sentences
from autoreg.report.text.metrics import metric_title

# nothing is loaded from anywhere, whatever stands on the page
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


@dataclass(frozen=True)
class PageSection:
    """One section: its anchor, which is the name of its template too, its title, and what the template shows."""

    anchor: str
    title: str
    content: Any

    @property
    def template(self) -> str:
        """The file that shows it."""
        return f"{self.anchor}.html"


def render_html(data: StudyData, plots: Plots) -> str:
    """The whole page.

    Args:
        data: a loaded study.
        plots: what `write_plots` returned.

    Returns:
        HTML with everything inside; the page's own policy forbids loading anything from elsewhere.
    """
    rows = front_rows(data)
    normalizer = normalizer_of(data) if not data.complete.empty else None
    hypervolume = float(search_curve(data, normalizer).hypervolume[-1]) if normalizer else None
    chart = len(data.metrics) >= 2 and not data.complete.empty
    test_data = uses_section(data)
    pairs = [picture(plots, name) for name in plots.files if name.startswith("front_")]
    predicted = (predicted_latency_sentences(data), picture(plots, "latency"))
    sections = [
        PageSection("setup", "Setup", setup_section(data)),
        PageSection("front", "Front", front_section(data, rows, chart=chart)),
        PageSection("gains", "Gains over the dense recipe", gain_section(data, rows)),
        PageSection("exported", "Exported models", exported_section(data)),
        PageSection("time", "Latency against other costs", time_section(data, rows)),
        PageSection("predicted", "Predicted latency", predicted if any(predicted) else None),
        PageSection("layers", "Layers", picture(plots, "layers", "wide") if rows else None),
        PageSection("pairs", "Fronts of pairs of metrics", pairs or None),
        PageSection("search", "Search", search_section(data, plots)),
        PageSection("failures", "Failed trials", (failure_table(data),)),
        PageSection("test", "Use of test data", test_data),
    ]
    template = page_environment().get_template("page.html")
    return template.render(
        name=data.name,
        subtitle=_subtitle(data),
        warning=test_data.warning,
        policy=CONTENT_SECURITY_POLICY,
        cards=summary_cards(data, rows, hypervolume),
        sections=[section for section in sections if section.content is not None],
        chart_data=interactive_data(data, rows) if chart else None,
        **page_assets(),
    )


def _subtitle(data: StudyData) -> str:
    sides = [[metric_title(o) for o in data.objectives if (o in data.quality) is inside] for inside in (True, False)]
    return " against ".join(", ".join(side) for side in sides if side)
