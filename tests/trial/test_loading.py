"""The objective of a study on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from autoreg.errors import InputError
from autoreg.space import StudySpec
from autoreg.study.folder import open_folder
from autoreg.study.options import RunOptions
from autoreg.study.shipped import find_shipped
from autoreg.study.task_study import TaskStudy
from autoreg.trial.loading import objective_of
from autoreg.trial.setup import Setup, TrialOptions
from tests.trial.conftest import TinyTask


def written(folder: Path, **changes: Any) -> Path:
    """A folder with the part of study.json that says how trials were carried out."""
    study = {"task": {"name": "digits", "params": {}}, "imports": [], "store": str(folder / "store"), "seed": 3}
    folder.mkdir(exist_ok=True)
    (folder / "study.json").write_text(json.dumps({**study, **changes}))
    return folder


def test_options_are_those_of_the_study(tmp_path: Path) -> None:
    """Use of the store, device and threads; studies that do not say get what they always got."""
    store = str(tmp_path / "store")
    expected = TrialOptions(store, cache=False, device="cpu", threads=2, reference_seed=3)
    own = {"cache": expected.cache, "device": expected.device, "threads": expected.threads}
    assert objective_of(written(tmp_path, options=own))[1] == 3
    assert objective_of(written(tmp_path, options=own))[0].options == expected
    assert objective_of(written(tmp_path))[0].options == TrialOptions(store, reference_seed=3)


def test_a_study_says_how_its_trials_are_carried_out(tmp_path: Path) -> None:
    """What a study writes of itself gives the same options back."""
    spec = StudySpec.load(find_shipped("study", "digits"), resolve_shipped=lambda name: find_shipped("space", name))
    options = RunOptions(tmp_path / "study", store=tmp_path, cache=False, params={"train_images": 40, "width": 8})
    study = TaskStudy(spec, options)
    open_folder(options.folder, study.study_config(), resume=False)
    assert objective_of(options.folder)[0].options == study.objective.options


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_here_is_said(tmp_path: Path) -> None:
    """Instead of training again on another one."""
    folder = written(tmp_path, options={"cache": True, "device": "cuda", "threads": 1})
    with pytest.raises(InputError, match=r"trials ran on cuda, but PyTorch finds no GPU here"):
        objective_of(folder)
    with pytest.raises(InputError, match="device: cuda is asked for"):
        Setup(TinyTask(), TrialOptions(str(tmp_path), device="cuda"))
