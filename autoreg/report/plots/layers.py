"""What was done to each layer: one row a member of the front, one column a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autoreg.report.data.front import format_metric, front_rows
from autoreg.report.plots.style import INK, MUTED, heading, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from autoreg.engine.log.records import Record
    from autoreg.report.data.load import StudyData
    from autoreg.trial_info import LayerRecord

ROWS, TEXT_COLUMNS = 20, 26


@dataclass(frozen=True)
class Cell:
    """One layer of one member.

    Attributes:
        kept: share of the dense layer's weights that are left and not zero, in [0, 1]; 0 for a dropped layer.
        bits: `8/8` for weights and activations, empty at 32/32.
        channels: `10/16` outputs left or `rank 4`, empty when nothing was removed.
        dropped: the layer is gone.
        trained: the layer was trained.
    """

    kept: float
    bits: str
    channels: str
    dropped: bool
    trained: bool


def layer_names(data: StudyData) -> tuple[str, ...]:
    """Layers in the order of the network: those of the trial that names the most, then any others."""
    lists = [list(_whole_layers(record)) for record in data.state.records]
    longest = max(lists, key=len, default=[])
    return tuple(dict.fromkeys([*longest, *(name for names in lists for name in names)]))


def layer_cells(data: StudyData, trial: int) -> dict[str, Cell]:
    """What trial `trial` did to each layer, against the largest shape that the layer has in any trial."""
    full = _full_shapes(data)
    layers = _whole_layers(data.state.records[trial])
    return {name: _cell(layer, rank, full.get(name, ())) for name, (layer, rank) in layers.items()}


def _whole_layers(record: Record) -> dict[str, tuple[LayerRecord, int | None]]:
    """A trial's layers by name and the rank of those that were factorized, whose two factors are one again."""
    whole: dict[str, tuple[LayerRecord, int | None]] = {}
    first: LayerRecord | None = None
    for layer in record.info.layers:
        if layer.factor_of is None:
            whole[layer.name] = layer, None
        elif first is None:
            first = layer
        else:
            whole[layer.factor_of] = _rejoined(first, layer), first.shape[0]
            first = None
    return whole


def _rejoined(first: LayerRecord, second: LayerRecord) -> LayerRecord:
    """The layer in whose place two stand, with the share of its weights that they hold as density."""
    shape = (second.shape[0], *first.shape[1:])
    weights = sum(math.prod(layer.shape) * layer.density for layer in (first, second))
    return replace(second, name=str(first.factor_of), shape=shape, density=weights / math.prod(shape))


def _full_shapes(data: StudyData) -> dict[str, tuple[int, ...]]:
    full: dict[str, tuple[int, ...]] = {}
    for record in data.state.records:
        for name, (layer, _) in _whole_layers(record).items():
            if math.prod(layer.shape) > math.prod(full.get(name, (0,))):
                full[name] = layer.shape
    return full


def _cell(layer: LayerRecord, rank: int | None, full: tuple[int, ...]) -> Cell:
    if layer.dropped:
        return Cell(0.0, "", "", True, layer.trained)
    shape, weights, activations = layer.shape, layer.weight_bits, layer.activation_bits
    share = math.prod(shape) / math.prod(full) if shape and full else 1.0
    removed = bool(shape and full and shape[0] < full[0])
    return Cell(
        kept=min(1.0, share * layer.density),
        bits="" if weights == activations == 32 else f"{weights}/{activations}",
        channels=f"rank {rank}" if rank is not None else f"{shape[0]}/{full[0]}" if removed else "",
        dropped=False,
        trained=layer.trained,
    )


def plot_layers(data: StudyData) -> Figure | str:
    """Colour: share of weights kept. Text: channels left or rank, bits of weights and activations. Hatched: dropped."""
    names = layer_names(data)
    members = front_rows(data)
    if not names or not members:
        return "Layers: no member of the front says what was done to each layer."
    shown = members if len(members) <= ROWS else sorted(members, key=lambda r: -(r.hv_contribution or 0.0))[:ROWS]
    shown = [m for m in members if m in shown]
    write = len(names) <= TEXT_COLUMNS
    column = 0.62 if write else max(0.12, 12.0 / len(names))
    figure = new_figure(min(24.0, max(6.0, 2.4 + column * len(names))), 1.9 + 0.42 * len(shown))
    ax = new_axes(figure)
    ax.grid(False)
    for y, member in enumerate(shown):
        cells = layer_cells(data, member.trial)
        for x, name in enumerate(names):
            _draw(ax, x, y, cells.get(name), write)
    labels = [_row_label(data, m.trial, m.metrics) for m in shown]
    _frame(ax, names, labels)
    _colour_bar(figure, ax)
    rest = (
        ""
        if len(shown) == len(members)
        else f" ({len(shown)} of {len(members)} members, those that bring most hypervolume)"
    )
    below = (
        "text: output channels left or rank, bits of weights/activations; hatched: dropped; grey corner: not trained"
    )
    heading(ax, f"What was done to each layer{rest}", below)
    return figure


def _row_label(data: StudyData, trial: int, metrics: Mapping[str, float]) -> str:
    first = next(iter(data.quality or data.objectives))
    return f"{trial}  ({format_metric(first, metrics.get(first))})"


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
    ax.set_ylabel("trial (quality)", color=MUTED)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("kept", ["#fef3c7", "#93c5fd", "#1e3a8a"])


def _colour_bar(figure: Figure, ax: Axes) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), _colours()), ax=ax, fraction=0.025, pad=0.01, aspect=18)
    bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    bar.ax.tick_params(labelsize=8, length=0)
    bar.set_label("weights kept", fontsize=8.5, color=MUTED)
    bar.outline.set_visible(False)


def _draw(ax: Axes, x: int, y: int, cell: Cell | None, write: bool) -> None:
    from matplotlib.patches import Polygon, Rectangle

    corner, size = (x - 0.47, y - 0.45), (0.94, 0.9)
    if cell is None or cell.dropped:
        ax.add_patch(Rectangle(corner, *size, facecolor="#f3f4f6", edgecolor="#c4c8cf", hatch="////", lw=0))
        return
    ax.add_patch(Rectangle(corner, *size, facecolor=_colours()(cell.kept), lw=0))
    if not cell.trained:
        ax.add_patch(Polygon([(x + 0.47, y - 0.45), (x + 0.47, y - 0.1), (x + 0.25, y - 0.45)], color="#9ca3af", lw=0))
    text = "\n".join(t for t in (cell.channels, cell.bits) if t)
    if write and text:
        ink = "white" if cell.kept > 0.55 else INK
        ax.text(x, y, text, ha="center", va="center", fontsize=7, color=ink, linespacing=1.15)
