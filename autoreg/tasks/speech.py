"""Spoken digits, leaving speakers out: the task where regularization decides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks.base import Task
from autoreg.tasks.params import suggestion
from autoreg.tasks.splits import stratified_order

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from autoreg.tasks import loader, models
else:
    torch = lazy_module("torch")
    loader, models = lazy_module("autoreg.tasks.loader"), lazy_module("autoreg.tasks.models")

ARRAYS = ("x", "y", "speaker")
CALIBRATION_FRACTION = 0.07
EVAL_RECORDINGS = 250


class SpeechTask(Task):
    """Spectrograms of spoken words by several speakers, from an .npz file; error on unheard speakers.

    Two test speakers never take part in the search, and each is a test set of its own. Each of the
    others gives a fold: validation on that speaker, training on the rest, of whose recordings a
    stratified 7 % are set apart for calibration. A split of recordings in the file (the Free Spoken
    Digit Dataset's `test`) is not read: it puts the same speakers on both sides. From each band of
    a recording its mean over time is subtracted, which takes away the microphone and the loudness.

    Args:
        path: .npz with `x` [n, 1, bands, time] or [n, bands, time] (log energies, any float), `y` [n] whole
            numbers from 0, `speaker` [n] names.
        test_speakers: names; every third by name when empty.
        folds: how many of the folds are used, for quick runs; all when 0.
        train_per_class: training recordings per class and fold; all when 0.
        eval_per_class: recordings per class of each validation and test speaker; all when 0.
        batch_size: largest training batch.
        width: channels of the first stage; the second has twice as many.
        split_seed: of the choice of recordings for calibration and for subsets.
    """

    name = "speech"
    training: ClassVar[Mapping[str, Any]] = {
        "lr": 0.05,
        "weight_decay": 1e-3,
        "epochs": 8,
        "finetune_epochs": 3,
        "qat_epochs": 2,
    }
    needs: ClassVar[Mapping[str, str]] = {
        "path": "an .npz file with x, y and speaker, log-mel spectrograms of spoken digits"
    }

    def __init__(
        self,
        path: str,
        test_speakers: tuple[str, ...] = (),
        folds: int = 0,
        train_per_class: int = 0,
        eval_per_class: int = 0,
        batch_size: int = 64,
        width: int = 16,
        split_seed: int = 0,
    ) -> None:
        self.path = Path(path)
        self.train_per_class, self.eval_per_class = train_per_class, eval_per_class
        self.batch_size, self.width, self.split_seed = batch_size, width, split_seed
        smallest = min(folds, train_per_class, eval_per_class)
        if smallest < 0 or batch_size < 2 or width < 1:
            raise InputError(f"task speech: {self!r}: sizes are at least 0, batch_size at least 2, width at least 1")
        speakers = sorted({str(name) for name in self._data[2]})
        self.test_speakers = tuple(test_speakers) or tuple(speakers[2::3][:2])
        for name in self.test_speakers:
            if name not in speakers:
                raise InputError(f"task speech: test_speakers has {name!r}{suggestion(name, speakers)}")
        others = tuple(name for name in speakers if name not in self.test_speakers)
        if not self.test_speakers or len(others) < 2 or folds > len(others):
            raise InputError(
                f"task speech: {len(speakers)} speakers, {len(self.test_speakers)} for test, {folds} folds; "
                "at least one must be for test and two for folds"
            )
        self._others = others
        self.folds = others[: folds or len(others)]

    @cached_property
    def _data(self) -> tuple[Tensor, Tensor, NDArray[np.str_]]:
        """Inputs [n, 1, bands, time] float32, each band with mean 0 over time, labels [n] int64, speakers [n]."""
        x, y, speaker = read_arrays(self.path)
        return torch.from_numpy(x - x.mean(axis=-1, keepdims=True)), torch.from_numpy(y), speaker

    def build_model(self) -> nn.Module:
        """A stem that divides height and width by four, and two stages of residual blocks."""
        classes = int(self._data[1].max()) + 1
        return models.ConvNet(classes, (self.width, 2 * self.width), (2, 2), halvings=2)

    def loaders(self, fold: str) -> dict[str, Any]:
        """Splits with speaker `fold` as validation; "test" maps each test speaker to a loader.

        Raises:
            InputError: if `fold` is not one of `folds`.
        """
        if fold not in self.folds:
            raise InputError(f"task speech: no fold {fold!r}{suggestion(fold, self.folds)}")
        train = np.concatenate([self._recordings([name], 0) for name in self._others if name != fold])
        order = train[stratified_order(self._data[1].numpy()[train], self.split_seed)]
        held = max(1, round(CALIBRATION_FRACTION * len(order)))
        calibration, train = order[:held], order[held:]
        if self.train_per_class:
            train = train[: self.train_per_class * self._classes]
        return {
            "train": self._loader(train, shuffle=True),
            "calibration": self._loader(calibration),
            "validation": self._loader(self._recordings([fold], self.eval_per_class)),
            "test": {name: self._loader(self._recordings([name], self.eval_per_class)) for name in self.test_speakers},
        }

    @property
    def _classes(self) -> int:
        return len(np.unique(self._data[1].numpy()))

    def _recordings(self, speakers: list[str], per_class: int) -> NDArray[np.int64]:
        """Rows of some speakers, in file order; a stratified part of them when `per_class` is not 0."""
        _, y, names = self._data
        rows = np.flatnonzero(np.isin(names, speakers)).astype(np.int64)
        if not per_class:
            return rows
        order = stratified_order(y.numpy()[rows], self.split_seed)
        return np.sort(rows[order[: per_class * self._classes]])

    def _loader(self, rows: NDArray[np.int64], shuffle: bool = False) -> loader.BatchLoader:
        x, y, _ = self._data
        size = self.batch_size if shuffle else EVAL_RECORDINGS
        return loader.BatchLoader(x, y, batch_size=size, shuffle=shuffle, indices=torch.from_numpy(rows))


def read_arrays(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]:
    """Inputs, labels and speakers of an .npz file; nothing in it is unpickled.

    Raises:
        InputError: if there is no such file, it is no .npz, or its arrays are not as expected.
    """
    if not path.is_file():
        raise InputError(f"task speech: no file {str(path)!r}; say where the .npz is with -p path=...")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in ARRAYS if key not in arrays]
            if missing:
                raise InputError(f"task speech: {path.name} has {', '.join(arrays)}; expected {', '.join(ARRAYS)}")
            x, y, speaker = (arrays[key] for key in ARRAYS)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"task speech: {path.name} cannot be read as an .npz of plain arrays ({error})") from error
    x = x[:, None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[1] != 1 or not len(x) == len(y) == len(speaker):
        shapes = ", ".join(f"{key} {value.shape}" for key, value in zip(ARRAYS, (x, y, speaker), strict=True))
        raise InputError(f"task speech: {path.name} holds {shapes}; expected x [n, 1, bands, time], y [n], speaker [n]")
    if y.dtype.kind not in "iu" or y.min() < 0 or not np.isfinite(x).all():
        raise InputError(f"task speech: {path.name}: y must be whole numbers from 0, and x finite")
    return x.astype(np.float32), y.astype(np.int64), speaker.astype(str)
