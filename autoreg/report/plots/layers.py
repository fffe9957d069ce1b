"""Compression layer by layer: one row a member of the front, one column a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autoreg.report.data.front import FrontRow, front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.data.network_comparison import FULL_PRECISION_BITS
from autoreg.report.plots.style import MUTED_COLOR, TEXT_COLOR, heading, new_axes, new_figure
from autoreg.report.text.metrics import format_metric
from autoreg.trial_info import LayerRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LAYER_ROWS, MAX_TEXT_COLUMNS = 20, 26


@dataclass(frozen=True)
class LayerCell:
    """One layer of one member.

    Attributes:
        retained: share of the dense layer's weights that remain and are not zero, in [0, 1]; 0 for a dropped layer.
        bits: `8/8` for weights and activations, empty at 32/32.
        channels: `10/16` outputs that remain or `rank 4`, empty when nothing was removed.
        dropped: whether the layer was dropped.
        trained: whether the layer was trained.
    """

    retained: float
    bits: str
    channels: str
    dropped: bool
    trained: bool


def layer_names(data: StudyData) -> tuple[str, ...]:
    """Layers in the order of the network: those of the trial that names the most, then any others."""
    lists = [[layer.name for layer, _ in _whole_layers(record.info.layers)] for record in data.state.records]
    longest = max(lists, key=len, default=[])
    return tuple(dict.fromkeys([*longest, *(name for names in lists for name in names)]))


def layer_cells(data: StudyData, layers: Sequence[LayerRecord]) -> dict[str, LayerCell]:
    """What was done to each layer of a network, against the largest shape that the layer has in any trial."""
    full = _full_shapes(data)
    return {layer.name: _cell(layer, rank, full.get(layer.name, ())) for layer, rank in _whole_layers(layers)}


def _whole_layers(layers: Sequence[LayerRecord]) -> list[tuple[LayerRecord, int | None]]:
    """The layers of a network and their ranks (None: full); two low-rank factors stand as the layer they replace."""
    whole: list[tuple[LayerRecord, int | None]] = []
    first: LayerRecord | None = None
    for layer in layers:
        if layer.factor_of is None:
            whole.append((layer, None))
        elif first is None:
            first = layer
        else:
            whole.append((_replaced_layer(first, layer), first.shape[0]))
            first = None
    return whole


def _replaced_layer(first: LayerRecord, second: LayerRecord) -> LayerRecord:
    """The layer that two factors replace, with the share of its weights that they hold as its density."""
    shape = (second.shape[0], *first.shape[1:])
    weights = sum(math.prod(layer.shape) * layer.density for layer in (first, second))
    return replace(second, name=first.factor_of or "", shape=shape, density=weights / math.prod(shape), factor_of=None)


def _full_shapes(data: StudyData) -> dict[str, tuple[int, ...]]:
    full: dict[str, tuple[int, ...]] = {}
    for record in data.state.records:
        for layer, _ in _whole_layers(record.info.layers):
            if math.prod(layer.shape) > math.prod(full.get(layer.name, (0,))):
                full[layer.name] = layer.shape
    return full


def _cell(layer: LayerRecord, rank: int | None, full: tuple[int, ...]) -> LayerCell:
    if layer.dropped:
        return LayerCell(0.0, "", "", True, layer.trained)
    shape = layer.shape
    share = math.prod(shape) / math.prod(full) if shape and full else 1.0
    removed = bool(shape and full and shape[0] < full[0])
    full_precision = layer.weight_bits == layer.activation_bits == FULL_PRECISION_BITS
    return LayerCell(
        retained=min(1.0, share * layer.density),
        bits="" if full_precision else f"{layer.weight_bits}/{layer.activation_bits}",
        channels=f"rank {rank}" if rank is not None else f"{shape[0]}/{full[0]}" if removed else "",
        dropped=False,
        trained=layer.trained,
    )


def plot_layers(data: StudyData) -> Figure | str:
    """Colour: share of weights retained. Text: channels or rank, bits of weights and activations. Hatched: dropped."""
    names = layer_names(data)
    members = front_rows(data)
    if not names or not members:
        return "Layers: no member of the front recorded its layers."
    ranked = sorted(members, key=lambda r: -(r.hv_contribution or 0.0))[:MAX_LAYER_ROWS]
    rows = [m for m in members if m in ranked]
    write = len(names) <= MAX_TEXT_COLUMNS
    column = 0.62 if write else max(0.12, 12.0 / len(names))
    figure = new_figure(min(24.0, max(6.0, 2.4 + column * len(names))), 1.9 + 0.42 * len(rows))
    ax = new_axes(figure)
    ax.grid(False)
    for y, member in enumerate(rows):
        cells = layer_cells(data, member.layers)
        for x, name in enumerate(names):
            _draw(ax, x, y, cells.get(name), write)
    labels = [_row_label(data, m) for m in rows]
    _frame(ax, names, labels)
    _color_bar(figure, ax)
    rest = (
        ""
        if len(rows) == len(members)
        else f" ({len(rows)} of {len(members)} members, those with the largest hypervolume contribution)"
    )
    below = "text: output channels or rank, bits of weights/activations; hatched: dropped; grey corner: not trained"
    heading(ax, f"Compression layer by layer{rest}", below)
    return figure


def _row_label(data: StudyData, row: FrontRow) -> str:
    main = data.main_objective
    name = row.name if row.baseline else str(row.trial)
    return f"{name}  ({format_metric(main, row.metrics.get(main))})"


def _frame(ax: Axes, names: Sequence[str], labels: Sequence[str]) -> None:
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    step = max(1, math.ceil(len(names) / 60))
    ax.set_xticks(
        range(0, len(names), step),
        [names[i] for i in range(0, len(names), step)],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    ax.set_yticks(range(len(labels)), labels)
    ax.tick_params(length=0, labelsize=8.5)
    ax.set_ylabel("trial (quality)", color=MUTED_COLOR)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _color_map() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("retained", ["#fef3c7", "#93c5fd", "#1e3a8a"])


def _color_bar(figure: Figure, ax: Axes) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), _color_map()), ax=ax, fraction=0.025, pad=0.01, aspect=18)
    bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    bar.ax.tick_params(labelsize=8, length=0)
    bar.set_label("weights retained", fontsize=8.5, color=MUTED_COLOR)
    bar.outline.set_visible(False)


def _draw(ax: Axes, x: int, y: int, cell: LayerCell | None, write: bool) -> None:
    from matplotlib.patches import Polygon, Rectangle

    corner, size = (x - 0.47, y - 0.45), (0.94, 0.9)
    if cell is None or cell.dropped:
        ax.add_patch(Rectangle(corner, *size, facecolor="#f3f4f6", edgecolor="#c4c8cf", hatch="////", lw=0))
        return
    ax.add_patch(Rectangle(corner, *size, facecolor=_color_map()(cell.retained), lw=0))
    if not cell.trained:
        ax.add_patch(Polygon([(x + 0.47, y - 0.45), (x + 0.47, y - 0.1), (x + 0.25, y - 0.45)], color="#9ca3af", lw=0))
    text = "\n".join(t for t in (cell.channels, cell.bits) if t)
    if write and text:
        ink = "white" if cell.retained > 0.55 else TEXT_COLOR
        ax.text(x, y, text, ha="center", va="center", fontsize=7, color=ink, linespacing=1.15)
