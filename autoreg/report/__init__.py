"""The report of a study: the front, plots, the page, and the progress of a running search.

`data` reads the files of a study's folder, `text` words them, `plots` and `page` show them, `write` writes them; each
imports only those before it. No model is read, and torch is not imported.
"""

from __future__ import annotations

from autoreg.report.data.front import front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.text.front import format_front
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.progress import SearchProgress
from autoreg.report.write import write_report

__all__ = ["SearchProgress", "StudyData", "format_front", "front_rows", "recipe_phrase", "write_report"]
