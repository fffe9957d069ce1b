"""How many weights and channels stay: the one rounding rule, for costs and for masks. Loads without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoreg.errors import InputError


def check_amount(amount: float) -> float:
    """Return a share to remove if it lies in [0, 1).

    Raises:
        InputError: otherwise.
    """
    if not (isinstance(amount, int | float) and math.isfinite(amount) and 0.0 <= amount < 1.0):
        raise InputError(f"amount = {amount!r}; allowed: from 0 to below 1")
    return float(amount)


def retained_count(numel: int, amount: float) -> int:
    """How many of `numel` things stay when the share `amount` goes: rounded half up in what goes, at least one stays.

    Args:
        numel: at least 1.
        amount: in [0, 1).

    Example:
        >>> retained_count(10, 0.25), retained_count(10, 0.8), retained_count(3, 0.99)
        (7, 2, 1)
    """
    removed = math.floor(numel * check_amount(amount) + 0.5)
    return numel - min(removed, numel - 1)


def retained_nm(shape: Sequence[int], n: int, m: int) -> int | None:
    """How many weights of a layer stay when n of every m along the flattened trailing dimensions do.

    Args:
        shape: shape of the weight as it is stored; groups run along the product of all dimensions but the first.
        n: stay, 1 to m − 1.
        m: length of a group.

    Returns:
        The number, or None where the dimension is not divisible by m: such a layer stays dense.

    Example:
        >>> retained_nm((16, 8, 3, 3), 2, 4), retained_nm((16, 1, 3, 3), 2, 4)
        (576, None)
    """
    columns = math.prod(shape[1:])
    if len(shape) < 2 or columns % m:
        return None
    count: int = math.prod(shape)
    return count // m * n


def retained_channels(channels: int, amount: float, round_to: int = 4, minimum: int | None = None) -> int:
    """How many channels stay when the share `amount` goes: the nearest multiple of `round_to`, or all of them.

    Of two that are equally near, the larger stays.

    Args:
        channels: at least 1.
        amount: in [0, 1).
        round_to: multiples that run fast on the target, at least 1.
        minimum: at least so many stay; `round_to` by default.

    Example:
        >>> [retained_channels(32, amount) for amount in (0.0, 0.1, 0.5, 0.99)]
        [32, 28, 16, 4]
        >>> retained_channels(10, 0.04), retained_channels(2, 0.9)
        (10, 2)
    """
    wanted = channels * (1.0 - check_amount(amount))
    least = min(channels, round_to if minimum is None else minimum)
    options: set[int] = {*range(round_to, channels + 1, round_to), channels, least}
    return min((o for o in options if o >= least), key=lambda o: (round(abs(o - wanted), 9), -o))
