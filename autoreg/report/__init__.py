"""What a study found: the front, the plots, the page, and the progress of a running search.

Everything here reads the files of a study's folder, never a model; torch is not imported.
"""

from __future__ import annotations

from autoreg.report.data.front import format_front, front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.progress import SearchProgress
from autoreg.report.write import write_report

__all__ = ["SearchProgress", "StudyData", "format_front", "front_rows", "recipe_phrase", "write_report"]
