"""What the choices of blocks share: how many can stay, and which have the highest scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoreg.errors import InputError


def check_keep(keep: int, blocks: Sequence[str]) -> None:
    """Refuse to keep more blocks than there are.

    Raises:
        InputError: then.
    """
    if keep > len(blocks):
        raise InputError(
            f"network.blocks: keep = {keep}, but the network has {len(blocks)} blocks that can be dropped "
            f"({', '.join(blocks) or 'none'}); allowed: 0 to {len(blocks)}"
        )


def highest(blocks: Sequence[str], scores: Mapping[str, float] | None, keep: int) -> tuple[str, ...]:
    """The `keep` blocks of the highest score, in the order of the network; of equal ones the earlier.

    Raises:
        InputError: there are fewer, or one has no score.

    Example:
        >>> highest(["a", "b", "c"], {"a": 1.0, "b": 3.0, "c": 1.0}, 2)
        ('a', 'b')
    """
    check_keep(keep, blocks)
    missing = [name for name in blocks if name not in (scores or {})]
    if scores is None or missing:
        raise InputError(f"network.blocks: every block needs a score; missing: {', '.join(missing)}")
    ranked = sorted(range(len(blocks)), key=lambda i: (-scores[blocks[i]], i))
    return tuple(blocks[i] for i in sorted(ranked[:keep]))
