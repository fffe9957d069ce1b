"""What changes the identity of a task, and what does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autoreg.tasks import BatchLoader, Task
from autoreg.tasks.fingerprint import tensor_digest


class SmallTask(Task):
    def __init__(self, path: str = "here", shift: float = 0.0, hidden: int = 4, note: str = "") -> None:
        self.shift, self.hidden = shift, hidden

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 2))

    def loaders(self, fold: str) -> dict[str, Any]:
        x = torch.arange(16.0).reshape(8, 2) + self.shift
        splits = ("train", "calibration", "validation", "test")
        return {s: [(x[2 * i : 2 * i + 2], torch.tensor([0, 1]))] for i, s in enumerate(splits)}


class OtherModel(SmallTask):
    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, self.hidden), nn.GELU(), nn.Linear(self.hidden, 2))


class SameUnderAnotherName(SmallTask):
    pass


def test_equal_tasks_are_equal_and_a_path_alone_changes_nothing() -> None:
    assert SmallTask().fingerprint() == SmallTask(path="there").fingerprint()
    assert SmallTask(shift=0.0).fingerprint() == SmallTask().fingerprint()


@pytest.mark.parametrize(
    "other",
    [SmallTask(shift=1e-3), SmallTask(hidden=5), SmallTask(note="x"), OtherModel(), SameUnderAnotherName()],
    ids=["data", "weights", "parameter", "stateless module", "class"],
)
def test_data_model_parameters_and_class_each_change_it(other: Task) -> None:
    assert other.fingerprint() != SmallTask().fingerprint()


def test_data_digest_sees_every_split_and_the_batch_size() -> None:
    def task(batch_size: int, test_rows: list[int]) -> Task:
        class Loaded(SmallTask):
            def loaders(self, fold: str) -> dict[str, Any]:
                x = torch.arange(20.0)
                rows = {"train": [0, 1, 2, 3], "calibration": [4, 5], "validation": [6, 7], "test": test_rows}
                return {
                    s: BatchLoader(x, x, batch_size=batch_size, indices=torch.tensor(r), shuffle=s == "train")
                    for s, r in rows.items()
                }

        return Loaded()

    digests = {task(2, [8, 9]).data_digest(), task(3, [8, 9]).data_digest(), task(2, [8, 10]).data_digest()}
    assert len(digests) == 3
    assert task(2, [8, 9]).data_digest() in digests


def test_tensor_digest_tells_values_shapes_and_types_apart() -> None:
    x = torch.arange(6)
    different = [x, x.reshape(2, 3), x.int(), x + 1, x.float(), x.bfloat16(), x.bool(), torch.tensor(0)]
    assert len({tensor_digest(value) for value in different}) == len(different)
    assert tensor_digest(x.reshape(2, 3).T) == tensor_digest(x.reshape(2, 3).T.contiguous())


def test_tensor_digest_of_overlapping_windows_reads_the_text_once_and_tells_windows_apart() -> None:
    text = torch.arange(100)
    assert tensor_digest(text.unfold(0, 10, 1)) == tensor_digest(text.clone().unfold(0, 10, 1))
    changed = text.clone()
    changed[50] = 0
    others = [text.unfold(0, 9, 1), changed.unfold(0, 10, 1), text[1:].unfold(0, 10, 1)]
    assert tensor_digest(text.unfold(0, 10, 1)) not in [tensor_digest(other) for other in others]


SCRIPT = """
from typing import Any
import torch
from torch import nn
from autoreg.tasks import Task
class ScriptTask(Task):
    def build_model(self) -> nn.Module:
        return nn.Linear(1, 2)
    def loaders(self, fold: str) -> dict[str, Any]:
        {comment}
        return {{s: [(torch.full((2, 1), {value}), torch.tensor([0, 1]))] for s in {{"train", "test"}}}}
print(ScriptTask().fingerprint())
"""


def test_a_class_in_a_script_is_told_by_its_code_in_every_process(tmp_path: Path) -> None:
    """Comments do not count, values do, and the random order of sets in a process does not."""

    def run(hash_seed: str, **parts: str) -> str:
        path = tmp_path / f"script{hash_seed}.py"
        path.write_text(SCRIPT.format(**parts), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(path)], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed}
        )
        return done.stdout.strip()

    one = run("1", value="1.0", comment="# one")
    assert len(one) == 64
    assert run("2", value="1.0", comment="# two") == one
    assert run("3", value="2.0", comment="# one") != one
