"""What all trials of a study share in one process: the task, its profile, the stores, the machine."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.latency.artifact_latency import LatencyCache, MeasureLock
from autoreg.methods import registry
from autoreg.methods.discovery import foreign_sources
from autoreg.methods.sparsity.structures.structure import Network
from autoreg.network.conv1d import conv1d_as_linear, conv1d_names, conv1d_state
from autoreg.network.profile import Profile, profile
from autoreg.network.surgery.initialize import own_initialization
from autoreg.plan import Phase, compile_plan, content_hash
from autoreg.space import LayerInfo, complete_recipe
from autoreg.space.spec import Registry
from autoreg.tasks import Task
from autoreg.tasks.outputs import output_form
from autoreg.trial.store import Store
from autoreg.trial.subset import Subsets

S = TypeVar("S", bound="Setup")

# Results depend on the sources of these rooms: a changed method never meets an old checkpoint.
_SOURCES = ("methods", "trial", "tasks", "plan.py", "training_length.py", "costs", "network", "sensitivity")


@dataclass(frozen=True)
class TrialOptions:
    """How trials run, beside task and recipe.

    Attributes:
        store: folder of finished phases.
        cache: whether finished phases are taken from the store.
        device: `cpu`, `cuda` or `auto`.
        threads: CPU threads of a trial.
        reference_seed: seed of the dense reference that allocations look at.
    """

    store: str
    cache: bool = True
    device: str = "auto"
    threads: int = 1
    reference_seed: int = 0


class Setup:
    """A task and its machine, ready for trials in this process.

    Args:
        task: model, data, loss and metrics.
        options: the store, device and threads.

    Raises:
        InputError: the device is not here.
    """

    def __init__(self, task: Task, options: TrialOptions) -> None:
        torch.set_num_threads(options.threads)
        self.task = task
        self.options = options
        self.registry: Registry = registry()
        wanted = options.device
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        if wanted.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device: {wanted} is asked for, but PyTorch finds no GPU here; allowed are cpu and auto")
        self.device = torch.device(wanted)
        self.store = Store(options.store)
        self.lock = MeasureLock(Path(options.store) / "measure.lock")
        self.latency = LatencyCache(Path(options.store) / "latency")
        self._loaders: dict[str, Mapping[str, Any]] = {}
        self._subsets: dict[str, Subsets] = {}
        self._narrowed: dict[str, Any] = {}
        self._networks: dict[tuple[str, ...], Network] = {}

    def narrowed(self, key: str, make: Callable[[], S]) -> S:
        """The setup of a narrower network, made once for a key."""
        if key not in self._narrowed:
            self._narrowed[key] = make()
        found: S = self._narrowed[key]
        return found

    @property
    def whole(self) -> Setup:
        """The task with the network that it builds: this one, unless its network was made narrower."""
        return self

    @property
    def network_record(self) -> Mapping[str, Any]:
        """Plain data of what makes the network narrower than the task builds it; empty where nothing does."""
        return {}

    @property
    def structure(self) -> dict[str, Any]:
        """The same for files, from which the network is built again."""
        return {}

    def build_for_file(self, **network: Any) -> nn.Module:
        """The network on which what a file says of its structure is replayed, its weights of no matter."""
        return self.whole.fresh_model(0)

    def on_whole(self, levels: Levels) -> Levels | None:
        """Levels of the whole network that leave what levels of this one leave; None where there are none."""
        return levels

    @cached_property
    def own_initialization(self) -> frozenset[str]:
        """Modules that a narrower network draws anew, see `autoreg.network.surgery.initialize`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return own_initialization(self.fresh_model(0))

    @cached_property
    def example_input(self) -> Any:
        """One sample as the model takes it."""
        return self.task.example_input()

    @cached_property
    def given_weights(self) -> Mapping[str, Any] | None:
        """The task's own trained weights (a state dict), or None where it brings none; recipes start from them.

        They fit `fresh_model`: weights of `Conv1D` layers are transposed (see `autoreg.network.conv1d`).
        """
        given = self.task.pretrained()
        if given is None:
            return None
        names = conv1d_names(self._built(0))
        return conv1d_state(given, names) if names else given

    @cached_property
    def pretrained_digest(self) -> str:
        """Digest of the given weights, empty where there are none."""
        if self.given_weights is None:
            return ""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.given_weights.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:32]

    @cached_property
    def profile(self) -> Profile:
        """Layers, channel groups and blocks of the dense network."""
        return profile(self.fresh_model(0), self.example_input)

    @cached_property
    def output_form(self) -> str:
        """What the task's network gives: `classes`, `values` or `unknown`."""
        return output_form(self.task, self.fresh_model(0)) if self.whole is self else self.whole.output_form

    def without_blocks(self, dropped: tuple[str, ...]) -> Network:
        """The network for which levels are resolved, without some of its blocks."""
        if dropped not in self._networks:
            self._networks[dropped] = Network(self.task.name, self.profile, dropped)
        return self._networks[dropped]

    @cached_property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The weighted layers, in the order of the network."""
        return tuple(LayerInfo(layer.name, layer.type) for layer in self.profile.layers)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The task's training settings, by their path in a recipe; who brings trained weights starts from them."""
        found = {f"training.{name}": value for name, value in self.task.training.items()}
        return found if self.given_weights is None else {**found, "training.start": "pretrained"}

    @cached_property
    def dense(self) -> dict[str, Any]:
        """The dense recipe: the task's own training, or the weights that it brings; nothing removed or quantized."""
        if self.given_weights is None:
            return self.complete({})
        return self.complete({"training": {"epochs": 0, "finetune_epochs": 0}})

    def teacher_seeds(self, count: int) -> list[int]:
        """Seeds of the dense trainings that a teacher is the mean of: the reference, then those of re-measured recipes.

        They do not depend on a trial's seed, so that all trials and re-evaluations of a study share its teachers.
        """
        first = self.options.reference_seed
        return [first, *fresh_seeds(first, count - 1)] if count else []

    def phases(self, recipe: Mapping[str, Any], network: Mapping[str, Any] | None) -> tuple[Phase, ...]:
        """The phases of a complete recipe; `network` says what makes it narrower from the start, None where nothing."""
        digest = self.pretrained_digest
        return compile_plan(
            recipe, self.registry, dense=self.dense, resolved={"network": network}, pretrained_digest=digest
        )

    def complete(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Check a recipe against methods and task and fill in what it does not say."""
        return complete_recipe(recipe, self.registry, self.layers, self.defaults)

    @cached_property
    def base(self) -> str:
        """Hash of what every phase depends on beside the recipe."""
        return content_hash(
            {
                "task": self.task.fingerprint(),
                "source": source_digest(),
                "methods": foreign_sources(),
                "torch": torch.__version__,
                "torch_pruning": version("torch-pruning"),
                "dtype": str(torch.get_default_dtype()),
                "device": self.device.type,
                "threads": self.options.threads,
            }
        )

    def fresh_model(self, seed: int) -> nn.Module:
        """Build the task's model with initial weights that depend on `seed` alone.

        `Conv1D` layers of the transformers library become the linear layers that they are.
        """
        return conv1d_as_linear(self._built(seed))

    def _built(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.task.build_model()

    @functools.cached_property
    def _skeleton(self) -> nn.Module:
        return self.fresh_model(0)

    def skeleton(self) -> nn.Module:
        """A dense model whose weights do not matter."""
        return copy.deepcopy(self._skeleton)

    def loaders(self, fold: str) -> Mapping[str, Any]:
        """The splits of a fold, read once per process."""
        if fold not in self._loaders:
            self._loaders[fold] = self.task.loaders(fold)
        return self._loaders[fold]

    def subsets(self, fold: str) -> Subsets:
        """Subsets of a fold's training data, chosen once per process or taken from the store.

        Raises:
            InputError: no subset can be taken of the task's training data.
        """
        if fold not in self._subsets:
            key = content_hash([self.base, fold])
            store = self.store if self.options.cache else None
            self._subsets[fold] = Subsets(self.task, self.loaders(fold)["train"], key, store)
        return self._subsets[fold]


def fresh_seeds(seed: int, count: int) -> list[int]:
    """Seeds that a search with this one does not use: of re-measured recipes, and of a teacher's further members.

    More of them begin with the same. So dense trainings that stand beside a re-measured front are those of an ensemble.
    """
    state = np.random.default_rng([seed, 0xF1])
    return [int(value) for value in state.integers(1_000_000, 2**31, size=count)]


@functools.cache
def source_digest() -> str:
    """Digest of the sources that results depend on."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for part in _SOURCES:
        path = root / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(root).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
