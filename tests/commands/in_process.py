"""The command line, run in the test's own process."""

from __future__ import annotations

import sys
from typing import Any

from autoreg.commands import main


def call(*arguments: Any) -> int:
    """Run the command line in this process and return its exit code."""
    before, sys.argv = sys.argv, ["autoreg", *map(str, arguments)]
    try:
        main.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0
