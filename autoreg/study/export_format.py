"""In which format the models of a study are exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autoreg.artifacts.export import EXPORT_FORMATS, FileFormat
from autoreg.errors import InputError
from autoreg.report.data.study_config import read_json_object


def export_format(folder: Path, format: str | None, compress: bool) -> FileFormat:
    """The format that is asked for; by default that whose size the study searches, and `onnx` where it searches none.

    Args:
        folder: the study's folder.
        format: a key of `EXPORT_FORMATS`, or None for the default.
        compress: whether integer weights are to be entropy-coded.

    Raises:
        InputError: there is no such format, it has no entropy coding, or there is no study.
    """
    if format is None:
        own = read_json_object(folder / "study.json", required=True).get("file_format")
        known = own if isinstance(own, Mapping) else {"format": "onnx"}
        format, compress = str(known.get("format")), compress or known.get("compress") is True
    if format not in EXPORT_FORMATS:
        raise InputError(f"--format {format}: allowed are {', '.join(EXPORT_FORMATS)}")
    if compress and format != "safetensors":
        raise InputError(f"--compress: entropy coding is for --format safetensors, not {format}")
    return FileFormat(format, compress)
