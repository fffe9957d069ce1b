"""The built-in tasks keep the contract, and their own properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoreg.errors import InputError
from autoreg.tasks import Task, call_model
from autoreg.tasks.char_lm import CharLMTask, entropy_bits, stretches, windows
from autoreg.tasks.digits import DigitsTask
from autoreg.tasks.fingerprint import initial_model
from autoreg.tasks.speech import SpeechTask
from autoreg.tasks.tabular import TabularTask
from autoreg.tasks.testing import TaskContract


class TestDigits(TaskContract):
    def make(self) -> Task:
        return DigitsTask(train_images=60, width=8)

    def test_other_splits_do_not_depend_on_the_number_of_training_images(self) -> None:
        small, large = DigitsTask(50).loaders(), DigitsTask(697).loaders()
        for split, size in (("calibration", 100), ("validation", 500), ("test", 500)):
            assert torch.equal(small[split].rows.indices, large[split].rows.indices)
            assert len(small[split].rows) == size
        assert set(small["train"].rows.indices.tolist()) < set(large["train"].rows.indices.tolist())

    def test_every_split_is_stratified(self) -> None:
        for loader in DigitsTask(400).loaders().values():
            labels = torch.cat([y for _, y in loader])
            assert torch.bincount(labels, minlength=10).min() >= 0.08 * len(labels)

    def test_split_seed_changes_the_division(self) -> None:
        one, two = (DigitsTask(split_seed=seed).loaders()["test"].rows.indices for seed in (0, 1))
        assert not torch.equal(one, two)


class TestSpeech(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, speech_file: Path) -> None:
        self.path = speech_file

    def make(self) -> Task:
        return SpeechTask(str(self.path), width=4)

    def test_test_speakers_are_never_seen_in_any_fold(self) -> None:
        task = SpeechTask(str(self.path))
        assert task.test_speakers == ("cleo", "finn")
        assert task.folds == ("ada", "bob", "dan", "eve")
        names = np.load(self.path)["speaker"]
        for fold in task.folds:
            loaders = task.loaders(fold)
            seen = {s: set(names[loaders[s].rows.indices.numpy()]) for s in ("train", "calibration", "validation")}
            assert seen["validation"] == {fold}
            assert seen["train"] == seen["calibration"] == set(task.folds) - {fold}
            assert {n: set(names[v.rows.indices.numpy()]) for n, v in loaders["test"].items()} == {
                "cleo": {"cleo"},
                "finn": {"finn"},
            }
            assert len(loaders["train"].rows) + len(loaders["calibration"].rows) == 120

    def test_the_choice_of_recordings_does_not_read_the_files_own_flag(self) -> None:
        arrays = dict(np.load(self.path))
        arrays["test"] = ~arrays["test"]
        other = self.path.with_name("other.npz")
        np.savez(other, **arrays)
        assert SpeechTask(str(other)).fingerprint() == SpeechTask(str(self.path)).fingerprint()

    def test_sizes_for_quick_runs(self) -> None:
        task = SpeechTask(str(self.path), ("bob",), folds=2, train_per_class=6, eval_per_class=3)
        assert task.folds == ("ada", "cleo")
        loaders = task.loaders("ada")
        assert len(loaders["train"].rows) == 24
        assert list(loaders["test"]) == ["bob"]
        for loader in (loaders["validation"], loaders["test"]["bob"]):
            assert torch.bincount(torch.cat([y for _, y in loader])).tolist() == [3, 3, 3, 3]

    def test_each_band_of_a_recording_has_mean_zero(self) -> None:
        x = next(iter(SpeechTask(str(self.path)).loaders("ada")["train"]))[0]
        assert x.shape[1:] == (1, 16, 20)
        assert x.mean(dim=-1).abs().max() < 1e-5

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"speaker": None}, "speech.npz has x, y, test; expected x, y, speaker"),
            ({"x": np.zeros((240, 3))}, r"x \(240, 3\)"),
            ({"y": np.zeros(239, int)}, r"y \(239,\)"),
            ({"y": np.full(240, -1)}, "whole numbers from 0"),
            ({"y": np.zeros(240)}, "whole numbers from 0"),
            ({"x": np.full((240, 1, 4, 4), np.nan)}, "x finite"),
            ({"speaker": np.array(["a"] * 240, dtype=object)}, "cannot be read as an .npz of plain arrays"),
            ({"speaker": np.array(["a", "b"] * 120)}, "2 speakers"),
        ],
    )
    def test_a_file_of_another_kind_is_refused(self, change: dict[str, object], message: str) -> None:
        arrays = {**np.load(self.path), **change}
        np.savez(self.path, **{key: value for key, value in arrays.items() if value is not None})
        with pytest.raises(InputError, match=message):
            SpeechTask(str(self.path))

    def test_wrong_names_and_sizes_are_refused(self) -> None:
        with pytest.raises(InputError, match="did you mean 'cleo'"):
            SpeechTask(str(self.path), ("clea",))
        with pytest.raises(InputError, match="5 folds"):
            SpeechTask(str(self.path), folds=5)
        with pytest.raises(InputError, match="sizes are at least 0"):
            SpeechTask(str(self.path), folds=-1)
        with pytest.raises(InputError, match="no fold 'cleo'"):
            SpeechTask(str(self.path)).loaders("cleo")
        self.path.write_text("text")
        with pytest.raises(InputError, match="cannot be read"):
            SpeechTask(str(self.path))


class TestTabular(TaskContract):
    def make(self) -> Task:
        return TabularTask("wine", width=8, blocks=1)

    @pytest.mark.parametrize(("data", "rows", "shape"), [("breast_cancer", 569, (30, 2)), ("wine", 178, (13, 3))])
    def test_rows_and_shapes(self, data: str, rows: int, shape: tuple[int, int]) -> None:
        task = TabularTask(data)  # type: ignore[arg-type]
        assert sum(len(loader.rows) for loader in task.loaders().values()) == rows
        model = initial_model(task)
        assert (model.stem.in_features, model.head.out_features) == shape  # type: ignore[union-attr]
        assert task.chance < 0.6


class TestCharLM(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, text_file: Path) -> None:
        self.path = text_file

    def make(self) -> Task:
        return CharLMTask(str(self.path), context=8, width=16, layers=1, steps=4)

    def test_a_uniform_model_costs_the_logarithm_of_the_alphabet(self) -> None:
        task = self.make()
        targets = torch.zeros(2, 8, dtype=torch.long)
        metrics = task.metrics([torch.zeros(2, 8, 16)], [(targets, targets)])
        assert metrics["bpc"] == pytest.approx(4.0)

    def test_an_epoch_is_as_many_steps_as_asked_for(self) -> None:
        loader = self.make().loaders("all")["train"]
        assert [tuple(x.shape) for x, _ in loader] == [(16, 8)] * 4

    def test_targets_are_one_character_further_on(self) -> None:
        for loader in self.make().loaders("all").values():
            x, y = next(iter(loader))
            assert torch.equal(x[:, 1:], y[:, :-1])

    def test_the_model_does_not_look_ahead(self) -> None:
        task = self.make()
        model = initial_model(task).eval()
        x = task.example_input()
        changed = x.clone()
        changed[0, 5] = (changed[0, 5] + 1) % 4
        with torch.no_grad():
            one, two = call_model(model, x), call_model(model, changed)
        assert torch.allclose(one[0, :5], two[0, :5], atol=1e-6)
        assert not torch.allclose(one[0, 5:], two[0, 5:], atol=1e-6)

    def test_evaluation_is_limited_and_characters_unknown_to_training_are_one_more_sign(self) -> None:
        text = self.path.read_text() + "ÄÖÜ" * 40
        self.path.write_text(text, encoding="utf-8")
        task = CharLMTask(str(self.path), context=8, width=16, layers=1, eval_chars=40)
        unknown = task.vocabulary - 1
        parts = stretches(len(text), 8)
        assert task.vocabulary == len(set(text[: parts["train"].stop])) + 1
        loaders = task.loaders()
        assert [len(loaders[split].rows) for split in ("validation", "test")] == [4, 4]
        assert not any(bool((x == unknown).any()) for x, _ in loaders["train"])
        tail = torch.cat([x for x, _ in CharLMTask(str(self.path), context=8).loaders()["test"]])
        assert bool((tail == unknown).any())

    def test_no_window_reaches_into_another_split(self) -> None:
        loaders = self.make().loaders("all")
        parts = stretches(4000, 8)
        for split, loader in loaders.items():
            starts = loader.rows.indices
            assert int(starts.min()) == parts[split].start
            assert parts[split].stop - 8 <= int(starts.max()) + 8 + 1 <= parts[split].stop

    def test_a_text_too_short_says_how_long_it_must_be(self) -> None:
        with pytest.raises(InputError, match="4000 characters; a context of 100 needs at least 5051"):
            CharLMTask(str(self.path), context=100)
        assert {k: len(v) for k, v in stretches(5051, 100).items()}["calibration"] == 101
        self.path.write_bytes(b"\xff\xfe\xfa" * 2000)
        with pytest.raises(InputError, match="not UTF-8"):
            CharLMTask(str(self.path))

    def test_wrong_sizes_are_refused(self) -> None:
        with pytest.raises(InputError, match="multiple of heads"):
            CharLMTask(str(self.path), width=10, heads=4)
        with pytest.raises(InputError, match="context is at least 2"):
            CharLMTask(str(self.path), context=1)


def test_stretches_follow_each_other_and_make_up_the_text() -> None:
    assert stretches(1000, 8) == {
        "train": range(900),
        "calibration": range(900, 920),
        "validation": range(920, 960),
        "test": range(960, 1000),
    }


def test_windows_by_hand() -> None:
    x, y = windows(torch.arange(5), 2)
    assert x.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert y.tolist() == [[1, 2], [2, 3], [3, 4]]


def test_entropy_of_known_distributions() -> None:
    assert entropy_bits(np.array([1, 1, 1, 1])) == pytest.approx(2.0)
    assert entropy_bits(np.array([3, 0, 1])) == pytest.approx(0.8112781)
