"""`autoreg report`: the page, the tables and the plots of a study."""

from __future__ import annotations

from autoreg.commands.options import StudyFolder


def report(folder: StudyFolder) -> None:
    """Write report.html, front.csv, trials.parquet and the plots."""
    from autoreg.report.write import write_report

    print(write_report(folder))
