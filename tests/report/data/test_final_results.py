"""final.json as dataclasses, both ways."""

from __future__ import annotations

from typing import Any

from autoreg.report.data.final_results import FinalResults, Member

SPREAD = {"mean": {"error": 0.3}, "std": {"error": 0.1}, "values": [{"error": 0.2}, {"error": 0.4}]}
ONE_SEED = {"mean": {"error": 0.3}, "std": {"error": None}, "values": [{"error": 0.3}]}
LAYER: dict[str, Any] = {"name": "fc", "type": "Linear", "shape": [2, 3], "macs": 6, "density": 0.5, "weight_bits": 8}
LAYER |= {"activation_bits": 8, "dropped": False, "trained": True}
FILE = {
    "name": "trial 3",
    "trial": 3,
    "file": "trial-3.onnx",
    "format": "onnx",
    "file_bytes": 9,
    "runs": {"fc": "int8"},
}
FILE |= {"agreement": {"samples": 4, "top1": 1.0, "max_difference": 0.1, "relative_rms": 0.01, "scale": 2.0}}
FILE |= {"metrics": {"error": 0.2}, "recorded": {"error": 0.2}, "latency": None, "notes": ["a note"]}


def content() -> dict[str, Any]:
    """A file as an earlier version wrote it: nothing says which baselines are on the front."""
    member: dict[str, Any] = {
        "trial": 3,
        "config": {"x": 1},
        "search": {"error": 0.1},
        "validation": SPREAD,
        "layers": [LAYER],
    }
    member |= {"hv_contribution": 0.2, "replicated": True, "front_probability": 0.9, "on_final_front": True}
    gone = {**member, "trial": 4, "on_final_front": False, "validation": None, "front_probability": None}
    tested = {**member, "test": ONE_SEED, "test_sets": {"a": ONE_SEED}}
    done = {"name": "int8", "config": {"x": 2}, "metrics": {"error": 0.3}, "validation": SPREAD, "layers": []}
    failed: dict[str, Any] = {"name": "lost", "config": {}, "metrics": {}, "test": None, "reason": "out of memory"}
    return {
        "members": [tested, gone],
        "baselines": [{**done, "test": ONE_SEED, "test_sets": {}}, failed],
        "files": [FILE, {"name": "trial 4", "trial": 4, "fault": "ExportError: svd"}],
        "random": {
            "trials": 2,
            "epochs_run": 8.0,
            "hypervolume": 0.5,
            "history": [0.4, 0.5],
            "front": [{"config": {}}],
        },
        "test_uses": [{"trials": 6, "baselines": "full", "final_seeds": 2, "time": "2026-01-01T00:00:00"}],
        "seeds": [5, 6],
        "front_size": 3,
        "complete": True,
        "seconds": 12.5,
    }


def test_what_is_read_is_written_as_it_was() -> None:
    """Field by field; what a row did not have is not there afterwards."""
    assert FinalResults.from_json(content()).to_json() == content()


def test_what_is_written_is_read_as_it_was() -> None:
    """With what later versions added."""
    read = FinalResults.from_json(content())
    row = {**content()["members"][0], "posterior": 0.15, "dominated_by": "int8", "on_final_front": False}
    member = Member.from_json(row)
    assert member is not None
    assert (member.posterior, member.dominated_by) == (0.15, "int8")
    more = FinalResults((*read.members, member), read.baselines, read.exported, None, read.test_uses)
    again = FinalResults.from_json(more.to_json())
    assert again.members[:2] == more.members[:2]
    assert again.members[2].to_json() == more.members[2].to_json()
    assert (again.random, again.seeds, again.complete) == (None, (), False)


def test_nonsense_is_nothing() -> None:
    """Rows that are no objects or name no trial."""
    wrong: dict[str, Any] = {"members": [1, {"trial": True}, {}], "files": "none", "seeds": 3, "random": []}
    assert FinalResults.from_json(wrong) == FinalResults()
