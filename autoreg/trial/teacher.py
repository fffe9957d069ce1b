"""What a teacher says of a batch: from a table of the training data where its inputs stand there, else computed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.methods.teacher.dampened import truth_weight
from autoreg.plan import Phase, content_hash
from autoreg.tasks.batches import batch_size_of, logits_of, take, tensors_of, to_device
from autoreg.tasks.loader import BatchLoader
from autoreg.trial.loop import forward, seeded
from autoreg.trial.setup import Setup
from autoreg.trial.store import Store, StoreEntry
from autoreg.trial.subset import in_order, rows_in

ROWS_AT_ONCE = 256
"""Samples that a teacher is asked about in one call when its table is made."""
LARGEST_TABLE = 2**27
"""Numbers that a table may hold; where there would be more, a teacher is asked batch by batch."""
TOP_CLASSES = 64
"""Classes of which a table holds the logits, where there are more than twice as many (words of a language model)."""

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_MIXER = -7046029254386353131  # 2^64 / golden ratio as a signed number: odd, its bits spread


def row_keys(inputs: Any) -> Tensor:
    """A key for each sample of what a model is called with, by its content; int64 [n].

    Samples with the same content have the same key. Two others share one with a probability near 2^-63, for what
    their bits are multiplied by is random. A sample that was cropped, cut or mixed has another key.

    Args:
        inputs: a tensor, or several in a tuple or mapping, with the samples along their first dimension.
    """
    keys = torch.zeros(batch_size_of(inputs), dtype=torch.int64)
    for place, tensor in enumerate(tensors_of(inputs)):
        if tensor.dim() == 0:
            continue
        rows = tensor.detach().reshape(len(tensor), -1).contiguous()
        size = rows.element_size()
        whole = rows.shape[1] * size % 8 == 0 == rows.storage_offset() * size % 8  # several numbers a word, if they fit
        bits = rows.view(torch.int64 if whole else _INTEGERS[size]).to(torch.int64) * _MIXER
        bits = bits ^ (bits >> 32)  # what differs in high bits alone must change low ones too
        keys = keys.to(bits.device) + (bits * _factors(place, bits.shape[1], bits.device)).sum(dim=1) + bits.shape[1]
    return keys


@functools.lru_cache(maxsize=8)
def _factors(place: int, count: int, device: torch.device) -> Tensor:
    """Odd random numbers by which the bits of a sample are multiplied."""
    generator = torch.Generator().manual_seed(place)
    return torch.randint(-(2**63), 2**63 - 1, (count,), generator=generator).to(device) | 1


def compressed(outputs: Tensor) -> dict[str, Tensor]:
    """What a table holds of logits [..., classes]: all, or the largest with their classes and the rest's mean.

    Where there are more than twice `TOP_CLASSES` classes, the rest's probability is kept, spread evenly over them.
    """
    classes = outputs.shape[-1] if outputs.ndim > 1 else 0
    if classes <= 2 * TOP_CLASSES:
        return {"outputs": outputs}
    logs = torch.log_softmax(outputs, dim=-1)
    top, places = logs.topk(TOP_CLASSES, dim=-1)
    rest = logs.scatter(-1, places, -torch.inf).logsumexp(dim=-1, keepdim=True)
    mean = rest - torch.log(torch.tensor(float(classes - TOP_CLASSES)))
    return {"outputs": torch.cat([top, mean], dim=-1), "classes": places.to(torch.int32)}


def expanded(held: dict[str, Tensor], classes: int) -> Tensor:
    """The logits that `compressed` holds: [..., classes]."""
    if "classes" not in held:
        return held["outputs"]
    values = held["outputs"]
    spread = values[..., -1:].expand(*values.shape[:-1], classes)
    return spread.scatter(-1, held["classes"].to(torch.int64), values[..., :-1])


class DenseTeacher:
    """The mean of the outputs of one or several dense networks, on any batch.

    Args:
        setup: task, device and store.
        fold: whose training data the networks were trained on.
        trainings: their phases. One that learns from the others says nothing of batches: only `truth` is by it.
        networks: gives them, trained; asked when they are first needed.

    Attributes:
        truth: weight of the true targets beside what the networks say; None where none was trained on the others.
    """

    truth: float | None = None

    def __init__(
        self, setup: Setup, fold: str, trainings: Sequence[Phase], networks: Callable[[], Sequence[nn.Module]]
    ) -> None:
        self._setup, self._fold, self._make = setup, fold, networks
        self._key = content_hash(["teacher", [phase.key for phase in trainings]])
        self._members = sum("taught_by" not in phase.settings for phase in trainings)
        self._again = self._members < len(trainings)
        self._networks: list[nn.Module] = []
        self._table: dict[str, Tensor] | None = None
        self._classes = 0

    def prepare(self) -> None:
        """Train the networks and ask them about the training data, or take what they say from the store."""
        if self._table is not None:
            return
        setup = self._setup
        store: Store | None = setup.store if setup.options.cache else None
        entry = None if store is None else store.get(self._key)
        if entry is None:
            self._load()
            with setup.lock.shared():
                table = self._computed()
                truth = self._best_truth() if self._again else None
            entry = StoreEntry(table, {"classes": self._classes, "truth": truth})
            if store is not None:
                store.put(self._key, entry)
        self._classes, self.truth = int(entry.meta["classes"]), entry.meta["truth"]
        self._table = {name: tensor.to(setup.device) for name, tensor in entry.tensors.items()}

    def __call__(self, batch: Any) -> Tensor:
        """The mean of the networks' outputs for a batch, shaped like the logits of one."""
        assert self._table is not None, "prepare() comes first"
        inputs = self._setup.task.inputs(batch)
        known = self._table["keys"]
        if len(known):
            keys = row_keys(inputs).to(known.device)
            at = torch.searchsorted(known, keys).clamp(max=len(known) - 1)
            if bool((known[at] == keys).all()):
                return expanded({k: v[at] for k, v in self._table.items() if k != "keys"}, self._classes)
        self._load()
        outputs = self._asked(batch)
        return expanded(compressed(outputs), outputs.shape[-1])

    def _load(self) -> None:
        if not self._networks:  # asked by a training in progress too, which must not see what building networks draws
            with seeded(0), torch.enable_grad():
                self._networks = [network.to(self._setup.device).eval() for network in self._make()]

    def _best_truth(self) -> float:
        """The weight of the true targets, by what the two trainings say of the calibration split."""
        task, targets, answers = self._setup.task, list[Tensor](), (list[Tensor](), list[Tensor]())
        with seeded(0), torch.no_grad():
            for batch in self._setup.loaders(self._fold)["calibration"]:
                here = to_device(batch, self._setup.device)
                for found, network in zip(answers, (self._networks[0], self._networks[-1]), strict=True):
                    found.append(torch.softmax(logits_of(forward(network, task, here)), dim=-1).flatten(0, -2))
                targets.append(task.targets(here).flatten())
        first, second = (torch.cat(found) for found in answers)
        return truth_weight(torch.nn.functional.one_hot(torch.cat(targets), first.shape[-1]), first, second)

    @torch.no_grad()
    def _asked(self, batch: Any) -> Tensor:
        answers = [logits_of(forward(net, self._setup.task, batch)) for net in self._networks[: self._members]]
        return torch.stack(answers).mean(dim=0)

    def _computed(self) -> dict[str, Tensor]:
        """What the networks say of every training sample, by key; empty where batches cannot be told apart or stored.

        Reads the training split alone.
        """
        device, keys, found = self._setup.device, list[Tensor](), list[dict[str, Tensor]]()
        loader = self._setup.loaders(self._fold)["train"]
        for batch in self._training_batches(loader):
            outputs = self._asked(to_device(batch, device))
            self._classes = outputs.shape[-1]
            keys.append(row_keys(self._setup.task.inputs(batch)).cpu())
            found.append({name: tensor.cpu() for name, tensor in compressed(outputs).items()})
            row = sum(tensor[0].numel() for tensor in found[-1].values())
            if len(outputs) != len(keys[-1]) or row * rows_in(loader) > LARGEST_TABLE:
                return _NO_TABLE
        if not found or len({tuple(part["outputs"].shape[1:]) for part in found}) > 1:
            return _NO_TABLE
        known, order = torch.cat(keys).sort(stable=True)
        return {"keys": known, **{name: torch.cat([part[name] for part in found])[order] for name in found[0]}}

    def _training_batches(self, loader: Any) -> Iterable[Any]:
        """The training data in the order of its data set; nothing where an epoch takes but few of its samples."""
        if isinstance(loader, BatchLoader) and loader.order.samples < len(loader.rows):
            return
        try:
            read = in_order(loader, self._setup.task.name)
        except InputError:
            return
        with seeded(0):
            for chunk in read():
                for start in range(0, batch_size_of(chunk), ROWS_AT_ONCE):
                    yield take(chunk, slice(start, start + ROWS_AT_ONCE))


_NO_TABLE = {"keys": torch.zeros(0, dtype=torch.int64)}
