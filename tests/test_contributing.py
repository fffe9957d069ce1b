"""The walks of CONTRIBUTING.md, carried out word for word in a copy of the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from autoreg.engine.log.baseline_names import BASELINE_NAMES
from tests.package_copy import ROOT, PackageCopy

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
WALKS: dict[str, tuple[str, str, dict[str, object]]] = {
    "A regularizer in ten minutes": ("regularizer", "max_norm", {"regularizer": "max_norm"}),
    "A quantizer": (
        "quantizer",
        "clipped",
        {"quantization": {"quantizer": "clipped", "weights": {"bits": [4, 8]}, "activations": {"bits": 8}}},
    ),
    "A structure": ("structure", "block", {"sparsity": "block"}),
}


def files_of(title: str) -> dict[str, str]:
    """By path, the files that a walk tells to make."""
    section = re.split(r"^#+ ", TEXT.split(f"### {title}\n")[1], maxsplit=1, flags=re.M)[0]
    found = re.findall(r"`((?:autoreg|tests)/[^`]+\.py)`:\n\n```python\n(.*?)```", section, flags=re.S)
    return dict(found)


def study(space: dict[str, object]) -> str:
    """A study of four trials: two that it is compared with, and two recipes that have the method."""
    training = {"epochs": 2, "finetune_epochs": 1, "qat_epochs": 1}
    content = {
        "name": "walk",
        "task": {"digits": {"train_images": 100}},
        "space": {**space, "training": training},
        "objectives": {"error": "min", "bytes": "min"},
        "budget": {"trials": 4},
        "baselines": "none",
        "final_seeds": 1,
    }
    return json.dumps(content)


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_does_what_it_says(title: str, tmp_path: Path) -> None:
    """Listed, tested by its own test, searched, trained, costed as predicted, exported, and worded in the report."""
    kind, name, space = WALKS[title]
    package = PackageCopy(tmp_path)
    files = files_of(title)
    assert [Path(path).parts[0] for path in files] == ["autoreg", "tests"]
    for path, content in files.items():
        package.write(path, content)
    command = ("-m", "autoreg.commands.main")
    listed = json.loads(package.python(*command, "methods", "--json"))
    assert [m["kind"] for m in listed if m["name"] == name] == [kind]
    package.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *[path for path in files if path.startswith("tests")]
    )
    package.write("walk.yaml", study(space))
    package.python(*command, "run", "walk.yaml", "--out", "out", "--store", "store")
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    tells = [event for event in events if event["event"] == "tell"]
    assert [event["state"] for event in tells] == ["COMPLETE"] * len(tells)
    own = [event["trial"] for event in events if event["event"] == "ask" and event["source"] not in BASELINE_NAMES]
    assert len(own) >= 2
    notes = [note for event in tells for note in event["info"].get("notes", [])]
    assert not [note for note in notes if "predicted" in note]  # costs are as counted on the finished model
    package.python(*command, "front", "out", "--format", "json")
    package.python(*command, "export", "out", "--trial", str(own[0]))  # verified against its outputs
