"""Adult on CSV files that the test writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoreg.errors import InputError
from autoreg.tasks import Task, check_task
from autoreg.tasks.testing import TaskContract
from benchmarks.adult import Adult, read_rows

WORK = ("Private", "?", "State-gov")


def write(folder: Path, seed: int = 0) -> Adult:
    """200 people in the one file and 60 in the other, where a fourth value of `work` stands too."""
    rng = np.random.default_rng(seed)
    files = {"train": (200, WORK, ""), "test": (60, (*WORK, "Never-worked"), ".")}
    for name, (count, work, stop) in files.items():
        lines = []
        for _ in range(count):
            age = int(rng.integers(17, 91))
            label = ">50K" if age > 60 else "<=50K"
            lines.append(f"{age}, {rng.choice(work)}, {rng.integers(1, 1000)}, {label}{stop}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return Adult(str(folder / "train.csv"), str(folder / "test.csv"), batch_size=16, width=8, blocks=1)


class TestAdult(TaskContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> Task:
        return write(self.folder)


def test_rows_of_the_files_stay_apart_and_columns_are_as_said(tmp_path: Path) -> None:
    task = write(tmp_path)
    sizes = {split: len(x) for split, (x, _) in task._splits.items()}
    assert sizes == {"train": 156, "calibration": 4, "validation": 40, "test": 60}
    x, y = task._splits["train"]
    assert x.shape[1] == 1 + len(WORK) + 1
    for column in (0, 4):
        assert x[:, column].mean() == pytest.approx(0, abs=1e-5)
        assert x[:, column].std(unbiased=False) == pytest.approx(1, abs=1e-5)
    assert torch.equal(x[:, 1:4].sum(dim=1), torch.ones(156))
    unknown = [row[1] == "Never-worked" for row in read_rows(tmp_path / "test.csv")]
    tested, labels = task._splits["test"]
    assert (tested[:, 1:4].sum(dim=1) == 0).tolist() == unknown
    ages = torch.tensor([float(row[0]) for row in read_rows(tmp_path / "test.csv")])
    assert torch.equal(labels, (ages > 60).long())
    assert tested[:, 0].argsort().tolist() == tested[:, 0].double().argsort().tolist()
    assert float(y.float().mean()) == pytest.approx(float(task._splits["validation"][1].float().mean()), abs=0.03)


def test_fewer_rows_leave_the_same_validation_and_test(tmp_path: Path) -> None:
    task = write(tmp_path)
    few = Adult(str(task.train), str(task.test), train_rows=50, eval_rows=20)
    assert {split: len(x) for split, (x, _) in few._splits.items()} == {
        "train": 50,
        "calibration": 4,
        "validation": 20,
        "test": 20,
    }
    assert torch.equal(few._splits["train"][1], task._splits["train"][1][:50])
    assert torch.equal(few._splits["validation"][1], task._splits["validation"][1][:20])
    check_task(few)


def test_where_the_files_lie_is_not_part_of_the_task(tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir()
    there.mkdir()
    assert write(here).fingerprint() == write(there).fingerprint()
    assert write(here, seed=1).fingerprint() != write(there).fingerprint()


def test_errors_name_the_file_or_the_value(tmp_path: Path) -> None:
    task = write(tmp_path)
    with pytest.raises(InputError, match="no file"):
        Adult(str(tmp_path / "none.csv"), str(task.test)).loaders()
    (tmp_path / "bad.csv").write_text("1, a, 3, maybe\n", encoding="utf-8")
    with pytest.raises(InputError, match="'maybe'"):
        Adult(str(task.train), str(tmp_path / "bad.csv")).loaders()
    (tmp_path / "torn.csv").write_text("1, a, 3, <=50K\n1, a\n", encoding="utf-8")
    with pytest.raises(InputError, match="rows of"):
        Adult(str(tmp_path / "torn.csv"), str(task.test)).loaders()
    with pytest.raises(InputError, match="batch_size 1"):
        Adult(str(task.train), str(task.test), batch_size=1)
