"""What dropping a block does to the channel groups around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from autoreg.network.inputs import tensors
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.blocks import first_output
from autoreg.network.surgery.cut import role
from autoreg.network.trace import WEIGHTED


@dataclass(frozen=True)
class Joined:
    """What dropping a block does to channel groups: see `autoreg.network.shapes.Block`."""

    groups: tuple[str, ...] = ()
    fixed: bool = False


@dataclass
class BlockBoundary:
    """Where a block begins and ends in the graph of autograd; `others` are the origins of its further arguments."""

    before: Any = None
    after: Any = None
    others: list[Any] = field(default_factory=list)


def boundary_hooks(model: nn.Module, blocks: Sequence[str], seen: dict[str, BlockBoundary]) -> list[Any]:
    """Hooks that write into `seen` where each block begins and ends when the model runs."""
    handles = []
    for name in blocks:

        def before(module: nn.Module, inputs: tuple[Any, ...], named: Any, name: str = name) -> None:
            others = [tensor.grad_fn for tensor in tensors((inputs[1:], named)) if tensor.grad_fn is not None]
            seen[name] = BlockBoundary(before=inputs[0].grad_fn, others=others)

        def after(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            end = first_output(output)
            assert isinstance(end, Tensor)
            seen[name].after = end.grad_fn

        block = model.get_submodule(name)
        handles += [
            block.register_forward_pre_hook(before, with_kwargs=True),
            block.register_forward_hook(after),
        ]
    return handles


def groups_joined(
    model: nn.Module, graph: Any, groups: Sequence[ChannelGroup], watched: Mapping[str, BlockBoundary]
) -> dict[str, Joined]:
    """Compare the channel groups before and after each block.

    Where a block is called with further values that the model computed, these lose a reader: what they are made of
    is joined as something that cannot be cut.
    """
    nodes = {node.grad_fn: node for node in graph.module2node.values()}
    produced = {
        name: group.id
        for group in groups
        for name, axis in group.members
        if role(model.get_submodule(name), axis) != "in"
    }
    names = {module: name for name, module in model.named_modules()}
    joined: dict[str, Joined] = {}
    for block, ends in watched.items():
        found: list[str] = []
        certain = not ends.others
        for grad_fn in (ends.before, ends.after, *ends.others):
            ids, sure = _producers(nodes.get(grad_fn), produced, names)
            found += [name for name in ids if name not in found]
            certain = certain and sure and len(ids) == 1
        joined[block] = Joined() if certain and len(found) == 1 else Joined(tuple(found), fixed=not certain)
    return joined


def _producers(node: Any, produced: Mapping[str, str], names: Mapping[nn.Module, str]) -> tuple[list[str], bool]:
    """Groups of the layers whose output arrives at a node of the graph, and whether it arrives unchanged."""
    from torch_pruning.ops import OPTYPE

    plain = {OPTYPE.ELEMENTWISE, OPTYPE.BN, OPTYPE.LN, OPTYPE.GN, OPTYPE.IN, OPTYPE.PRELU, OPTYPE.OUTPUT}
    stack, seen, found, sure = [node], set(), list[str](), node is not None
    while stack:
        current = stack.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        name = names.get(current.module)
        if name is not None and name in produced and isinstance(current.module, (*WEIGHTED, nn.Embedding)):
            found.append(produced[name])
            continue
        sure = sure and current.type in plain
        stack += current.inputs
    return list(dict.fromkeys(found)), sure
