"""A small transformer over the characters of a text; quality is bits per character."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks.base import Task, bits

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from autoreg.tasks import loader, models
else:
    torch = lazy_module("torch")
    loader, models = lazy_module("autoreg.tasks.loader"), lazy_module("autoreg.tasks.models")

# the text is cut in this order, so that validation and test lie apart from each other
SPLIT_FRACTIONS = {"train": 0.90, "calibration": 0.02, "validation": 0.04, "test": 0.04}
EVAL_WINDOWS = 64


class CharLMTask(Task):
    """The next character of a text, from a file; bits per character ("bpc") of a causal transformer.

    The text is cut into four stretches, one after the other: training 90 %, calibration 2 %,
    validation 4 %, test 4 %. Training draws windows at random places, an epoch being `steps`
    batches of them; the other splits are cut into windows that do not overlap, at most
    `eval_chars` characters of each. The alphabet is that of the training stretch, with one more
    sign for any character that is not in it.

    Args:
        path: a text file, UTF-8.
        context: characters in a window, >= 2.
        width: features per position, a multiple of `heads`.
        layers: attention and feed-forward blocks, a pair each.
        heads: attention heads.
        steps: batches per epoch.
        batch_size: windows in a training batch.
        eval_chars: most characters of validation and of test that are used, and of calibration.
    """

    name = "char_lm"
    quality = "bpc"
    training: ClassVar[Mapping[str, Any]] = {
        "lr": 5e-3,
        "weight_decay": 1e-2,
        "epochs": 8,
        "finetune_epochs": 2,
        "qat_epochs": 1,
        "optimizer": "adamw",
    }
    latency_batch = 16
    needs: ClassVar[Mapping[str, str]] = {"path": "a text file"}

    def __init__(
        self,
        path: str,
        context: int = 32,
        width: int = 64,
        layers: int = 2,
        heads: int = 2,
        steps: int = 120,
        batch_size: int = 16,
        eval_chars: int = 32_768,
    ) -> None:
        if min(context - 1, width, layers, heads, steps, batch_size, eval_chars - context) < 1:
            raise InputError(
                f"task char_lm: {self!r}: context is at least 2, eval_chars more than context, others at least 1"
            )
        if width % heads:
            raise InputError(f"task char_lm: width is {width}; expected a multiple of heads ({heads})")
        self.path, self.context, self.width, self.layers, self.heads = Path(path), context, width, layers, heads
        self.steps, self.batch_size, self.eval_chars = steps, batch_size, eval_chars
        stretches(len(self._text), context)

    @cached_property
    def _text(self) -> str:
        return read_text(self.path)

    @cached_property
    def _ids(self) -> Tensor:
        """The whole text as numbers, int64 [n]; the largest stands for what the training stretch lacks."""
        text, train = self._text, stretches(len(self._text), self.context)["train"]
        alphabet = {sign: index for index, sign in enumerate(sorted(set(text[train.start : train.stop])))}
        return torch.tensor([alphabet.get(sign, len(alphabet)) for sign in text])

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """How often each character of the alphabet occurs in the training stretch."""
        train = stretches(len(self._text), self.context)["train"]
        return np.bincount(self._ids[train.start : train.stop].numpy())

    @property
    def vocabulary(self) -> int:
        """Number of characters, the unknown one included."""
        return len(self._counts) + 1

    @cached_property
    def chance(self) -> float:
        """Bits per character of a model that knows no more than the frequency of each character."""
        return entropy_bits(self._counts)

    def build_model(self) -> nn.Module:
        """A causal pre-norm transformer."""
        return models.CharTransformer(self.vocabulary, self.context, self.width, self.layers, self.heads)

    def loaders(self, fold: str = "all") -> dict[str, Any]:
        """The four splits; batches (characters [n, context], the characters that follow each [n, context])."""
        x, y = windows(self._ids, self.context)
        made: dict[str, Any] = {}
        for split, part in stretches(len(self._text), self.context).items():
            train = split == "train"
            step, stop = (1, part.stop) if train else (self.context, min(part.stop, part.start + self.eval_chars))
            made[split] = loader.BatchLoader(
                x,
                y,
                batch_size=self.batch_size if train else EVAL_WINDOWS,
                shuffle=train,
                indices=torch.arange(part.start, stop - self.context, step),
                samples=self.steps * self.batch_size if train else None,
            )
        return made

    def metrics(self, outputs: list[Any], batches: list[Any]) -> dict[str, float]:
        """ "bpc", bits per character; "error", the fraction of characters not guessed; "loss" in nats."""
        figures = super().metrics(outputs, batches)
        return {"bpc": bits(figures["loss"]), **figures}


def stretches(length: int, context: int) -> dict[str, range]:
    """The four consecutive parts of a text of `length` characters, by split.

    Raises:
        InputError: if a part is too short for one window of `context` characters and the one that follows.
    """
    ends = [round(end * length) for end in np.cumsum(list(SPLIT_FRACTIONS.values()))]
    parts = {split: range(a, b) for split, a, b in zip(SPLIT_FRACTIONS, [0, *ends[:-1]], ends, strict=True)}
    if min(len(part) for part in parts.values()) < context + 1:
        need = int(np.ceil((context + 1) / min(SPLIT_FRACTIONS.values()))) + 1
        raise InputError(f"task char_lm: {length} characters; a context of {context} needs at least {need}")
    return parts


def windows(ids: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of the window at every place of a text, as views of it.

    Args:
        ids: characters, int64 [n] with n > context.
        context: length of a window.

    Returns:
        Two int64 [n - context, context]; row i of the first begins at character i, of the second at i + 1.
    """
    return ids[:-1].unfold(0, context, 1), ids[1:].unfold(0, context, 1)


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """Entropy of the distribution that `counts` gives, in bits."""
    fractions = counts[counts > 0] / counts.sum()
    return float(-(fractions * np.log2(fractions)).sum())


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: if there is no such file or it is not UTF-8.
    """
    if not path.is_file():
        raise InputError(f"task char_lm: no file {str(path)!r}; say where the text is with -p path=...")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"task char_lm: {path.name} is not UTF-8 text ({error})") from error
