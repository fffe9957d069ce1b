"""Attention heads as channel groups: which groups are heads, how they lie in their layers, what counts them.

A projection of width heads * d holds head h at h * d ... (h + 1) * d - 1; a fused one holds queries, keys and values
one after the other, or head by head. How many heads there are, attention modules say in integers (`num_heads`), which
go down with the heads, as do those that hold the width of all heads together (`all_head_size`). Several layouts
may be possible: they are given in order, and `removal_check` finds which is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product

from torch import nn

from autoreg.network.shapes import ONE_HEAD, ChannelGroup
from autoreg.network.surgery.cut import Role, axis_of
from autoreg.network.surgery.partial_group import PartialGroup, ordered_members, produces, width

MIXED_REASON = "these channels pass through a matrix product or softmax (attention heads)"

_COUNT = re.compile(r"^(?!dim_|d_|size_)\w*?(heads|n_?head|num_head|head_count|kv_head)$")
_HEAD_WIDTH = {"head_dim", "attention_head_size", "head_size", "dim_head", "d_head", "head_width", "d_k", "d_kv"}
_WIDTH = {"all_head_size", "split_size", "inner_dim", "inner_size", "attention_dim", "attn_dim"}
_MAYBE_WIDTH = {"embed_dim", "hidden_size", "hidden_dim", "dim", "width", "d_model", "n_embd", "embed_size", "n_state",
                "model_dim", "embedding_dim", "emb_dim", "features", "channels"}  # fmt: skip

Attribute = tuple[str, str, int]  # module, name, how much it falls with each head
Span = tuple[int, int]


def head_groups(partial: PartialGroup, model: nn.Module) -> tuple[list[ChannelGroup], str]:
    """Read a group of channels that attention mixes as heads.

    Returns:
        The candidate layouts, the likeliest first, and why there is none.
    """
    members = ordered_members(partial, model)
    widths = {member: width(model.get_submodule(member[0]), member[1]) for member in members}
    values = {widths[member] for member in members if member[1] == "in"}
    if partial.reasons or len(values) != 1:
        return [], ""  # the reasons of the group say why
    value = values.pop()
    integers = _integers(members, model)
    found: list[ChannelGroup] = []
    for heads in _numbers(integers, value, set(widths.values())):
        if any(key not in _MAYBE_WIDTH | _WIDTH and n % heads for (_, key), n in integers.items() if _COUNT.match(key)):
            continue
        norm = _norm_obstacle(partial, {span[1] for spans in _first(widths, heads, value) for span in spans})
        if norm is not None:
            return [], norm
        for wide, spans in product((_WIDTH, _WIDTH | _MAYBE_WIDTH), _layouts(widths, heads, value)):
            group = _group(partial, model, heads, value // heads, spans, _attributes(integers, heads, value, wide))
            if group not in found:
                found.append(group)
    if found:
        return found, ""
    where = _common(members) or type(model).__name__
    return [], f"no attribute of {where!r} says how many heads there are, or its layers do not divide into so many"


def unite_cyclic(partials: Sequence[PartialGroup], model: nn.Module) -> list[PartialGroup]:
    """Unite groups that go in circles (rotary embeddings) with the output projection of the attention they are in.

    Where all layers of one module but one have no known reader and the inputs of that one no known source, it reads
    them: `removal_check` finds out whether that is so.
    """
    known = {member for partial in partials for member in partial.positions}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    lost: dict[str, list[PartialGroup]] = {}
    for partial in partials:
        if partial.cyclic:
            lost.setdefault(partial.id.rpartition(".")[0], []).append(partial)
    left = list(partials)
    for parent, parts in lost.items():
        orphans = [
            name for name in layers if name.startswith(f"{parent}." if parent else "") and (name, "in") not in known
        ]
        if len(orphans) != 1:
            continue
        first, reader = parts[0], orphans[0]
        for part in parts[1:]:
            first.positions |= part.positions
            left.remove(part)
        first.positions[reader, "in"] = [[place] for place in range(width(layers[reader], "in"))]
        first.mixed = True
        first.channel_reasons += [reason for reason in first.reasons if reason not in first.channel_reasons]
        first.reasons.clear()
    return left


def _integers(members: Sequence[tuple[str, Role]], model: nn.Module) -> dict[tuple[str, str], int]:
    """Integers of the modules from the one that holds all members down to those that hold each, by (module, name)."""
    top = _common(members)
    paths = {top}
    for name, _ in members:
        parent = name.rpartition(".")[0]
        while len(parent) > len(top):
            paths.add(parent)
            parent = parent.rpartition(".")[0]
    return {
        (path, key): value
        for path in sorted(paths)
        for key, value in sorted(vars(model.get_submodule(path)).items())
        if isinstance(value, int) and not isinstance(value, bool) and value > 0
    }


def _common(members: Sequence[tuple[str, Role]]) -> str:
    """Name of the innermost module that holds all members."""
    parents = [name.split(".")[:-1] for name, _ in members]
    shared = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def _numbers(integers: Mapping[tuple[str, str], int], value: int, widths: set[int]) -> list[int]:
    """Numbers of heads that may be meant, the largest first; heads that share keys and values go together."""
    counts = {number for (_, key), number in integers.items() if _COUNT.match(key)}
    each = {number for (_, key), number in integers.items() if key in _HEAD_WIDTH}
    counts |= {wide // number for wide, number in product(widths, each) if wide % number == 0}
    return sorted((number for number in counts if value % number == 0), reverse=True)


def _first(widths: Mapping[tuple[str, Role], int], heads: int, value: int) -> list[list[Span]]:
    return next(iter(_layouts(widths, heads, value)), [])


def _layouts(widths: Mapping[tuple[str, Role], int], heads: int, value: int) -> list[list[list[Span]]]:
    """For each way the heads may lie: the spans of each member; none where the members do not divide."""
    if any(number % heads for number in widths.values()):
        return []
    plain = [[(0, number // heads)] for number in widths.values()]
    fused = [number // value if dim != "in" and number in (2 * value, 3 * value) else 1
             for (_, dim), number in widths.items()]  # fmt: skip
    if max(fused) == 1:
        return [plain]
    each = value // heads
    blocks = [
        [(part * value, each) for part in range(parts)] if parts > 1 else spans
        for parts, spans in zip(fused, plain, strict=True)
    ]
    return [blocks, plain]


def _norm_obstacle(partial: PartialGroup, repeats: set[int]) -> str | None:
    """Why a norm among the heads forbids their removal: one within each head does not."""
    for name, norm in partial.norms.items():
        shape: tuple[int, ...] = tuple(getattr(norm, "normalized_shape", ()))
        if len(shape) != 1 or shape[0] not in repeats:
            return f"{name!r} ({type(norm).__name__}) normalizes over all heads"
    return None


def _attributes(
    integers: Mapping[tuple[str, str], int], heads: int, value: int, wide: set[str]
) -> tuple[Attribute, ...]:
    found = []
    for (path, key), number in integers.items():
        if (_COUNT.match(key) and number % heads == 0) or (key in wide and number in (value, 2 * value, 3 * value)):
            found.append((path, key, number // heads))
    return tuple(found)


def _group(
    partial: PartialGroup,
    model: nn.Module,
    heads: int,
    each: int,
    spans: Sequence[Sequence[Span]],
    attributes: tuple[Attribute, ...],
) -> ChannelGroup:
    modules = dict(model.named_modules())
    members = ordered_members(partial, model)
    spread = [(member, one) for member, its in zip(members, spans, strict=True) for one in its]
    return ChannelGroup(
        id=partial.id,
        size=heads,
        members=tuple((name, axis_of(modules[name], dim)) for (name, dim), _ in spread),
        produced=tuple(name for name, dim in members if produces(modules[name], dim)),
        consumed=tuple(name for name, dim in members if dim == "in"),
        spans=tuple(one for _, one in spread),
        removable=heads > 1,
        reason="" if heads > 1 else ONE_HEAD,
        width=each,
        attributes=attributes,
    )
