"""One thread for linear algebra while surrogates are fitted and evaluated."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 - the controller knows the libraries that are loaded when it is made
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def one_thread() -> Any:
    """A context in which linear algebra keeps to one thread: faster for its sizes, and the same bits each time."""
    return _controller().limit(limits=1, user_api="blas")
