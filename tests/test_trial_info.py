"""The record of a trial: what is written is read back, and logs from before it had a version are read too."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from autoreg.engine.log.events import decode
from autoreg.engine.log.records import Record, StudyState
from autoreg.errors import StudyError
from autoreg.trial_info import VERSION_KEY, CacheSeconds, Latency, LayerRecord, PredictedLatency, TrialInfo

UNVERSIONED = Path(__file__).parent / "data" / "unversioned"  # logs that the first release without a version wrote

FULL = TrialInfo(
    layers=[
        LayerRecord("stem", "Conv2d", (16, 1, 3, 3), 9216, 0.25, 8, 8, trained=False),
        LayerRecord("fc.0", "Linear", (4, 32), 128, factor_of="fc"),
        LayerRecord("gone", dropped=True),
    ],
    latency=Latency(0.4, 0.3, 0.5, 100, 1, 64, "cpu", "onnxruntime", True, 0.02),
    latency_predicted=PredictedLatency(0.5, 0.25, 0.75),
    notes=["a remark"],
    train_losses=[2.0, 0.5],
    epochs_requested=14.0,
    epochs_run=3.5,
    seconds=1.25,
    phase_seconds={"train": 1.0},
    phase_fractions=[1.0, 0.5],
    uncompressed_quality=0.125,
    fold_quality={"a": 0.25},
    test_metrics={"test": {"error": 0.5}},
    cache_seconds=CacheSeconds(1.0, 2.0),
    traceback="ValueError: no",
    user={"layers": "mine", "nested": {"x": [1, None]}},
)


def records(name: str) -> list[Record]:
    """The trials of a log without a version."""
    events, _ = decode((UNVERSIONED / name).read_bytes())
    return StudyState(events).records


def test_every_field_survives_json() -> None:
    """The example fills every field, so that a new one must join it."""
    empty = TrialInfo()
    assert not [one.name for one in fields(FULL) if getattr(FULL, one.name) == getattr(empty, one.name)]
    assert TrialInfo.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_a_record_that_nobody_filled_is_its_version_alone() -> None:
    """Most trials of an own objective fill little: nothing else is written."""
    assert TrialInfo().to_dict() == {VERSION_KEY: 1}
    assert TrialInfo.from_dict({VERSION_KEY: 1}) == TrialInfo.from_dict(None) == TrialInfo()


def test_what_a_user_leaves_cannot_take_the_place_of_a_field() -> None:
    """A user's names are a mapping of their own, whatever they are."""
    info = TrialInfo(epochs_run=2.0, user={"epochs_run": 99, VERSION_KEY: 7})
    found = TrialInfo.from_dict(info.to_dict())
    assert found.epochs_run == 2.0
    assert found.user == {"epochs_run": 99, VERSION_KEY: 7}


@pytest.mark.parametrize("version", [2, 0, "1", True])
def test_a_version_that_is_not_known_is_refused(version: Any) -> None:
    """Whatever is read of a later form would be read wrongly."""
    with pytest.raises(StudyError, match=rf"info_version: found {version!r}; this version of autoreg reads 1"):
        TrialInfo.from_dict({VERSION_KEY: version})


def test_values_that_do_not_fit_are_left_out() -> None:
    """A field holds what it is for or nothing; a number that was not finite is null in JSON."""
    wrong = {
        "layers": [{"name": "a", "macs": None, "shape": [4, "x"]}, {"type": "Linear"}, 3],
        "latency": {"ms": 0},
        "latency_predicted": "soon",
        "notes": "one",
        "train_losses": [1, None],
        "epochs_run": True,
        "seconds": math.inf,
        "phase_fractions": [1, "?", 0.5],
        "phase_seconds": {"train": 1, "measure": None},
        "test_metrics": {"test": 3},
    }
    found = TrialInfo.from_dict({VERSION_KEY: 1, **wrong})
    assert found.layers == [LayerRecord("a", shape=(4,))]
    assert (found.latency, found.latency_predicted, found.notes) == (None, None, [])
    assert found.train_losses[0] == 1
    assert math.isnan(found.train_losses[1])
    assert (found.epochs_run, found.seconds, found.phase_fractions) == (None, None, [1.0, 0.5])
    assert (found.phase_seconds, found.test_metrics) == ({"train": 1.0}, {"test": {}})


def test_the_interval_of_a_latency_holds_its_median() -> None:
    """Ends that are missing are the median itself."""
    assert Latency.from_dict({"ms": 2}) == Latency(2.0, 2.0, 2.0)
    assert PredictedLatency.from_dict({"ms": 2, "low": 3, "high": 1}) == PredictedLatency(2.0, 2.0, 2.0)
    nonsense: list[Any] = [None, [], {}, {"ms": "fast"}, {"ms": 0.0}, {"ms": math.nan}, {"ms": 1, "low": -1}]
    assert [Latency.from_dict(x) for x in nonsense] == [None] * 7


def test_the_log_of_a_task_without_a_version_is_read() -> None:
    """Each name of then has its field of now, and nothing of it is taken for the user's."""
    raw = [e for e in decode((UNVERSIONED / "task.jsonl").read_bytes())[0] if e["event"] == "tell"]
    found = records("task.jsonl")
    assert len(found) == len(raw) == 4
    for record, event in zip(found, raw, strict=True):
        info, old = record.info, event["info"]
        assert info.user == {}
        assert [layer.to_dict() for layer in info.layers] == old["layers"]
        assert info.latency is not None
        assert info.latency.to_dict() == old["latency"]
        assert (info.epochs_requested, info.epochs_run) == (old["epochs_asked"], old["epochs_paid"])
        assert (info.seconds, info.phase_seconds) == (old["seconds"], old["phase_seconds"])
        assert (info.notes, info.train_losses, info.phase_fractions) == (old["notes"], old["curve"], old["finished"])
        assert info.uncompressed_quality == old.get("uncompressed")
    assert {layer.factor_of for record in found for layer in record.info.layers} > {None}
    assert any(layer.dropped for record in found for layer in record.info.layers)
    assert any(record.info.uncompressed_quality is not None for record in found)


def test_the_log_of_an_own_objective_without_a_version_is_read() -> None:
    """What the objective left for itself is the user's; the rest has its field."""
    found = records("own.jsonl")
    assert [record.state for record in found] == ["COMPLETE"] * 3 + ["FAIL"] + ["COMPLETE"] * 2
    assert all(record.info.user == {"remark": {"width": [1, 2]}} for record in found)
    assert [record.epochs_run for record in found] == [2.0] * 6
    assert found[2].info.cache_seconds == CacheSeconds(computed=0.0, saved=1e-06)
    assert "too deep" in (found[3].info.traceback or "")
