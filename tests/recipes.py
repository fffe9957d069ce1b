"""What tests ask of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreg.plan import is_quantized


def is_compressed(config: Mapping[str, Any]) -> bool:
    """Whether the recipe sparsifies, drops or quantizes anything."""
    return config["sparsity"] != "none" or config["layers"]["drop"] != "none" or is_quantized(config)
