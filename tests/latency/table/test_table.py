"""A machine's table of layer times: keys, file, interpolation, and the layers' models."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autoreg.errors import InputError
from autoreg.latency.onnx_runtime import onnx_session, optimized_nodes
from autoreg.latency.table.bench import measure_layers
from autoreg.latency.table.grid import LayerTime, layers_to_measure
from autoreg.latency.table.layer_key import LayerKey
from autoreg.latency.table.layer_models import feed_of, identity_model, layer_model, transpose_model
from autoreg.latency.table.table import LatencyTable
from autoreg.latency.timing import device_fingerprint
from autoreg.locks import MeasureLock
from autoreg.network.geometry import Geometry

CONV = Geometry("conv", 2, (6, 5), (3, 3), (2, 1), (1, 0, 1, 2), (1, 1), bias=False)
DEPTH = Geometry("conv", 2, (6, 6), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), groups=8, depthwise=True)
GROUPED = dataclasses.replace(CONV, groups=2)
LINE = Geometry("conv", 3, (9,), (3,), (1,), (1, 1), (1,))
UP = Geometry("conv_transpose", 2, (4, 4), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), output_padding=(0, 0))
ROWS, DEEP = Geometry("linear", 6), Geometry("linear", 6, spatial=(1,))

HERE: dict[str, str | int] = {"cpu": "one", "cores": 2, "threads": 1}


def key(inputs: int, outputs: int, kind: Any = "fp32", geometry: Geometry = ROWS) -> LayerKey:
    return LayerKey(kind, geometry, inputs, outputs)


def entry(ms: float) -> LayerTime:
    return LayerTime(ms, 0.9 * ms, 1.2 * ms, 30)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_entries_come_back_from_the_file(tmp_path: Path) -> None:
    """All that was added, the last of what was added twice."""
    table = LatencyTable.open(tmp_path, HERE)
    assert len(table) == 0
    table.add(key(4, 8), entry(1.0))
    table.add(key(4, 8, geometry=CONV), entry(2.0))
    table.add(key(4, 8), entry(3.0))
    again = LatencyTable.open(tmp_path, HERE)
    assert again.entries == table.entries
    assert again.find(key(4, 8)) == entry(3.0)
    assert again.path == LatencyTable.file(tmp_path, HERE)


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_cut_file_loses_its_last_line_alone(tmp_path: Path, cut: int) -> None:
    """And goes on: what is appended afterwards is read."""
    table = LatencyTable.open(tmp_path, HERE)
    for outputs in (1, 2, 3):
        table.add(key(4, outputs), entry(outputs))
    assert table.path is not None
    content = table.path.read_bytes()
    table.path.write_bytes(content[:-cut])
    again = LatencyTable.open(tmp_path, HERE)
    left = {1, 2, 3} if cut == 1 else {1, 2}  # without its newline alone a line is whole
    assert {one.outputs for one in again.entries} == left
    again.add(key(4, 9), entry(9))
    assert {one.outputs for one in LatencyTable.open(tmp_path, HERE).entries} == left | {9}


def test_a_table_cut_in_its_first_line_begins_anew(tmp_path: Path) -> None:
    """Nothing was in it."""
    table = LatencyTable.open(tmp_path, HERE)
    table.add(key(4, 8), entry(1.0))
    assert table.path is not None
    table.path.write_bytes(table.path.read_bytes()[:20])
    again = LatencyTable.open(tmp_path, HERE)
    again.add(key(4, 9), entry(2.0))
    assert LatencyTable.open(tmp_path, HERE).entries == {key(4, 9): entry(2.0)}


def test_a_table_of_another_device_is_refused_by_name_and_never_picked_up(tmp_path: Path) -> None:
    """The message names what differs; a folder with it alone counts as empty."""
    table = LatencyTable.open(tmp_path, HERE)
    table.add(key(4, 8), entry(1.0))
    other = {**HERE, "cpu": "two", "runtime": "new"}
    assert len(LatencyTable.open(tmp_path, other)) == 0
    assert table.path is not None
    with pytest.raises(InputError, match=r"another device: cpu 'one' \(here 'two'\), runtime None \(here 'new'\)"):
        LatencyTable.load(table.path, other)
    with pytest.raises(InputError, match="was measured on another device"):
        LatencyTable.load(table.path, device_fingerprint())


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    """An empty file, other text, another format."""
    for content in ("", "hello\n", json.dumps({"format": 0, "fingerprint": HERE})):
        (tmp_path / "t.jsonl").write_text(content)
        with pytest.raises(InputError, match="is no latency table of format"):
            LatencyTable.load(tmp_path / "t.jsonl", HERE)


def line(ms: Any = 1.0, **changes: Any) -> str:
    return json.dumps({"key": key(4, 8).to_dict() | changes, "entry": {"ms": ms, "low": 1.0, "high": 1.0}})


DAMAGED = {
    "nested": "[" * 100_000 + "]" * 100_000,
    "text": json.dumps({"key": "text", "entry": {}}),
    "list": line(rows=[[6]]),
    "kind": line(kind="fp64"),
    "op": line(op="loop"),
    "nan": line(ms=float("nan")),
    "word": line(ms="1"),
    "negative": line(ms=-1),
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED.keys())
def test_lines_that_are_damaged_are_passed_over(tmp_path: Path, line: str) -> None:
    """Whatever stands in them, the others are read."""
    table = LatencyTable.open(tmp_path, HERE)
    table.add(key(4, 9), entry(1.0))
    assert table.path is not None
    with table.path.open("a") as file:
        file.write(line + "\n")
    assert LatencyTable.open(tmp_path, HERE).entries == {key(4, 9): entry(1.0)}


# -- between entries --------------------------------------------------------------------------------------------------


def power(inputs: int, outputs: int) -> float:
    return float(0.01 * inputs**0.7 * outputs**1.2)


def test_interpolation_is_exact_on_products_of_powers() -> None:
    """Within the grid, on its lines and on its points, whatever the spacing."""
    table = LatencyTable(HERE)
    for inputs, outputs in itertools.product((4, 6, 16, 60), (3, 20, 64)):
        table.add(key(inputs, outputs), entry(power(inputs, outputs)))
    for inputs, outputs in itertools.product((4, 5, 16, 33, 60), (3, 7, 20, 50, 64)):
        found = table.find(key(inputs, outputs))
        assert found.ms == pytest.approx(power(inputs, outputs))
        assert (found.low, found.high) == pytest.approx((0.9 * found.ms, 1.2 * found.ms))


def test_interpolation_goes_round_points_that_are_missing() -> None:
    """Irregular entries of other tasks do not hide the rectangle around them."""
    table = LatencyTable(HERE)
    for inputs, outputs in [*itertools.product((4, 64), (4, 64)), (16, 8), (8, 32)]:
        table.add(key(inputs, outputs), entry(power(inputs, outputs)))
    assert table.find(key(10, 10)).ms == pytest.approx(power(10, 10))


def test_depthwise_layers_lie_on_a_line() -> None:
    """Time is a power of the channels there."""
    table = LatencyTable(HERE)
    for channels in (4, 16, 64):
        table.add(key(channels, channels, geometry=DEPTH), entry(2 * channels**1.5))
    assert table.find(key(30, 30, geometry=DEPTH)).ms == pytest.approx(2 * 30**1.5)


def test_outside_of_the_grid_time_grows_with_the_work() -> None:
    """Of the nearest entry: here twice the outputs."""
    table = LatencyTable(HERE)
    table.add(key(8, 8), entry(1.0))
    assert table.find(key(8, 16)).ms == pytest.approx(2.0)


def test_unknown_geometries_and_kinds_are_refused() -> None:
    """With what to do about it."""
    table = LatencyTable(HERE)
    table.add(key(8, 8), entry(1.0))
    assert table.covers(key(9, 9))
    assert not table.covers(key(8, 8, "int8"))
    with pytest.raises(
        InputError, match=r"no layer like this one .*int8 linear with 8 inputs and 8 outputs.*autoreg lat"
    ):
        table.find(key(8, 8, "int8"))


def test_few_entries_are_all_measured_and_of_many_a_grid() -> None:
    """The grid keeps the ends of each axis, and all that is wanted can be told from it."""
    wanted = [key(i, o) for i in range(4, 129, 4) for o in range(4, 129, 4)] + [
        key(c, c, geometry=DEPTH) for c in range(1, 100)
    ]
    assert len(layers_to_measure(wanted, 5000)) == len(wanted)
    chosen = layers_to_measure(wanted, 100)
    assert 50 < len(chosen) <= 100
    assert {(4, 4), (4, 128), (128, 4), (128, 128)} <= {(k.inputs, k.outputs) for k in chosen if k.geometry == ROWS}
    table = LatencyTable(HERE)
    for one in chosen:
        table.add(one, entry(power(one.inputs, one.outputs)))
    for one in wanted:
        assert table.find(one).ms == pytest.approx(power(one.inputs, one.outputs))


# -- the models that are timed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize(
    ("geometry", "node"), [(CONV, "QLinearConv"), (DEPTH, "QLinearConv"), (GROUPED, "QLinearConv"), (ROWS, "QGemm")]
)
def test_integer_layers_are_fused_by_the_runtime(geometry: Geometry, node: str, unsigned: bool) -> None:
    """Every copy runs in integers, and no floating-point layer is left."""
    made = Counter(
        node.op_type for node in optimized_nodes(layer_model(key(8, 8, "int8", geometry), 3, unsigned=unsigned))
    )
    assert made[node] == 3
    assert not made.keys() & {"Conv", "Gemm", "MatMul", "FusedConv", "DequantizeLinear"}


def test_four_bit_layers_and_additions_within_convolutions() -> None:
    """MatMulNBits is there; outputs of floating-point convolutions are added up without an operation of its own."""
    assert Counter(node.op_type for node in optimized_nodes(layer_model(key(40, 8, "int4"), 2)))["MatMulNBits"] == 2
    made = Counter(node.op_type for node in optimized_nodes(layer_model(key(8, 16, geometry=CONV), 3)))
    assert made["Conv"] + made["FusedConv"] == 3
    assert made["Add"] == 0


@pytest.mark.parametrize(
    ("geometry", "kind"),
    [
        *itertools.product((CONV, DEPTH, GROUPED, LINE, ROWS, DEEP), ("fp32", "int8")),
        (UP, "fp32"),
        (dataclasses.replace(ROWS, bias=False), "fp32"),
        (ROWS, "int4"),
        (DEEP, "int4"),
    ],
)
def test_models_have_the_shapes_of_their_layers(geometry: Geometry, kind: Any) -> None:
    """Outputs of each, computed by the runtime, have the positions that the geometry tells."""
    one = key(8, 8, kind, geometry)
    session = onnx_session(layer_model(one, 2), 1)
    for value in session.run(None, feed_of(session)):
        assert value.size == one.outputs * one.geometry.out_positions


def test_what_is_subtracted_runs() -> None:
    """A call that does nothing; the moves of bytes around an integer convolution."""
    for content in (identity_model(), transpose_model(key(4, 8, "int8", CONV), 2)):
        session = onnx_session(content, 1)
        assert session.run(None, feed_of(session))


def test_entries_are_measured_under_the_lock(tmp_path: Path) -> None:
    """One per key, in order, intervals around the medians; larger layers take longer."""
    keys = [key(8, 8, "int8", CONV), key(8, 8), key(8, 8, "int4"), key(512, 2048), key(8, 8, geometry=CONV)]
    lock = MeasureLock(tmp_path / "lock")
    found = dict(measure_layers(keys, lock=lock, seconds=0.01))
    assert list(found) == keys
    for one in found.values():
        assert 0 < one.low <= one.ms <= one.high
        assert one.runs >= 9
    assert found[keys[3]].ms > found[keys[1]].ms
    assert (tmp_path / "lock").exists()
    table = LatencyTable.open(tmp_path, device_fingerprint())
    for one_key, one_entry in found.items():
        table.add(one_key, one_entry)
    assert table.path is not None
    assert LatencyTable.load(table.path, device_fingerprint()).entries == found
