"""What a study file says, checked line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from autoreg.errors import InputError
from autoreg.space.budget import Budget
from autoreg.space.expression import Expression
from autoreg.space.parser import rules
from autoreg.space.problems import problem, show
from autoreg.space.reader import Document, read_file, read_text, read_yaml
from autoreg.space.space import Space

Resolve = Callable[[str], "Path | str | None"]

STUDY_KEYS = (
    "name",
    "task",
    "space",
    "objectives",
    "constraints",
    "budget",
    "seed",
    "executor",
    "workers",
    "sampler",
    "baselines",
    "final_seeds",
    "format",
    "compress",
)
DIRECTIONS = ("min", "max")
BUDGET_KEYS = ("trials", "minutes", "epochs")
EXECUTORS = ("local", "ray")
SAMPLER_NAMES = ("auto", "tpe", "nsga2", "random", "grid", "evolution")
BASELINE_SETS = ("default", "full", "none")
FORMATS = ("onnx", "torch", "safetensors")
COMPRESSED = "safetensors"
"""The format whose files can be entropy-coded."""


@dataclass(frozen=True)
class StudySpec:
    """A study file: space, task, objectives, constraints, budget and how to run it.

    `format` and `compress` say what file `file_bytes` is the size of; `autoreg export` has options of these names.
    `task` is its name (or `package.module:factory`) and `task_params` what its constructor is given.
    `text` is the file as it was read.
    """

    name: str
    task: str
    space: Space
    objectives: Mapping[str, str]
    task_params: Mapping[str, Any] = field(default_factory=dict)
    constraints: tuple[Expression, ...] = ()
    budget: Budget = field(default_factory=lambda: Budget(trials=100))
    seed: int = 0
    executor: str = "local"
    workers: int = 1
    sampler: str = "auto"
    baselines: str = "default"
    final_seeds: int = 3
    format: str = COMPRESSED
    compress: bool = True
    path: Path | None = field(default=None, compare=False)
    text: str = field(default="", compare=False, repr=False)

    @classmethod
    def load(cls, path: Path | str, resolve_shipped: Resolve | None = None) -> StudySpec:
        """Read a study file.

        Args:
            path: the YAML file; a relative path of its space is looked up in the same folder.
            resolve_shipped: gives the path of a shipped space by name, or None when there is none.

        Raises:
            InputError: with file, line, what was found, what is allowed and the nearest right name.
        """
        return cls.parse(read_text(path), str(path), Path(path), resolve_shipped)

    @classmethod
    def parse(
        cls, text: str, source: str = "<string>", path: Path | None = None, resolve_shipped: Resolve | None = None
    ) -> StudySpec:
        """Read a study from YAML text; without a `path`, relative paths begin at the working folder."""
        reader = _Reader(read_yaml(text, source), path, resolve_shipped)
        return reader.study(text)

    @classmethod
    def for_space(cls, space: Space, task: str) -> StudySpec:
        """The smallest study that searches a space on a task, to check the two against each other."""
        return cls(space.name or "study", task, space, {})

    @staticmethod
    def is_study(path: Path | str) -> bool:
        """Whether a YAML file is a study rather than a space: a study names a task."""
        data = read_file(path).data
        return isinstance(data, dict) and "task" in data and "space" in data

    def override(self, budget: Mapping[str, float] | None = None, **changes: Any) -> StudySpec:
        """The same study with what the command line says instead; None leaves a setting as it is.

        Raises:
            InputError: when a word is none of those allowed.
        """
        allowed = {"executor": EXECUTORS, "sampler": SAMPLER_NAMES, "baselines": BASELINE_SETS}
        given = {key: value for key, value in changes.items() if value is not None}
        for key, words in allowed.items():
            if key in given and given[key] not in words:
                raise problem(f"--{key}", f"found {show(given[key])}", allowed=words, wrong=given[key])
        limits: dict[str, Any] = {key: value for key, value in (budget or {}).items() if value is not None}
        return replace(self, **given, budget=replace(self.budget, **limits))


@dataclass(frozen=True)
class _Reader:
    document: Document
    path: Path | None
    resolve_shipped: Resolve | None

    @property
    def _data(self) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self.document.data)

    def _wrong(
        self, key: tuple[str | int, ...], allowed: Any, found: str | None = None, wrong: str | None = None
    ) -> InputError:
        what = f"found {show(self.document.under(*key).data)}" if found is None else found
        return problem(self.document.places.at(key), what, allowed=allowed, wrong=wrong)

    def study(self, text: str) -> StudySpec:
        if not isinstance(self._data, dict):
            raise self._wrong((), f"a mapping with {', '.join(STUDY_KEYS)}")
        for key in self._data:
            if key not in STUDY_KEYS:
                raise self._wrong((key,), STUDY_KEYS, f"unknown key {key!r} of a study", wrong=key)
        for key in ("task", "space", "objectives"):
            if key not in self._data:
                raise problem(self.document.places.at(), f"{key!r} is missing; found {', '.join(self._data)}")
        task, parameters = self._task()
        format = self._one_of("format", FORMATS, COMPRESSED)
        return StudySpec(
            name=self._word("name", self.path.stem if self.path is not None else "study"),
            task=task,
            task_params=parameters,
            space=self._space(),
            objectives=self._objectives(),
            constraints=rules(self.document, "constraints"),
            budget=self._budget(),
            seed=self._whole("seed", 0, 0),
            executor=self._one_of("executor", EXECUTORS, "local"),
            workers=self._whole("workers", 1, 1),
            sampler=self._one_of("sampler", SAMPLER_NAMES, "auto"),
            baselines=self._one_of("baselines", BASELINE_SETS, "default"),
            final_seeds=self._whole("final_seeds", 3, 0),
            format=format,
            compress=self._compress(format),
            path=self.path,
            text=text,
        )

    def _word(self, key: str, default: str) -> str:
        value = self._data.get(key, default)
        if not isinstance(value, str) or not value:
            raise self._wrong((key,), "text")
        return value

    def _one_of(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self._data.get(key, default)
        if value not in allowed:
            raise self._wrong((key,), allowed, wrong=value if isinstance(value, str) else None)
        return cast(str, value)

    def _whole(self, key: str, default: int, low: int) -> int:
        value = self._data.get(key, default)
        if type(value) is not int or value < low:
            raise self._wrong((key,), f"a whole number from {low}")
        return value

    def _compress(self, format: str) -> bool:
        value = self._data.get("compress", format == COMPRESSED)
        if type(value) is not bool:
            raise self._wrong(("compress",), "true, false")
        if value and format != COMPRESSED:
            raise self._wrong(("compress",), f"false with format: {format}; entropy coding is for {COMPRESSED}")
        return value

    def _task(self) -> tuple[str, dict[str, Any]]:
        task = self._data["task"]
        if isinstance(task, str) and task:
            return task, {}
        if not isinstance(task, dict) or len(task) != 1:
            raise self._wrong(("task",), "the name of a task, package.module:factory, or {name: {parameter: value}}")
        ((name, parameters),) = task.items()
        if not isinstance(parameters, dict):
            raise self._wrong(("task", name), f"{{{name}: {{parameter: value}}}}")
        return name, dict(parameters)

    def _objectives(self) -> dict[str, str]:
        given = self._data["objectives"]
        if not isinstance(given, dict) or not given:
            raise self._wrong(("objectives",), "a mapping of metrics to min or max, such as {error: min, flops: min}")
        for metric, direction in given.items():
            if direction not in DIRECTIONS:
                wrong = direction if isinstance(direction, str) else None
                raise self._wrong(("objectives", metric), DIRECTIONS, wrong=wrong)
        return dict(given)

    def _budget(self) -> Budget:
        given = self._data.get("budget", {"trials": 100})
        if not isinstance(given, dict) or not given:
            raise self._wrong(("budget",), "a mapping with at least one of trials, minutes, epochs")
        for key, value in given.items():
            if key not in BUDGET_KEYS:
                raise self._wrong(("budget", key), BUDGET_KEYS, f"unknown key {key!r} of a budget", wrong=key)
            if key == "trials" and (type(value) is not int or value < 1):
                raise self._wrong(("budget", key), "a whole number from 1")
            if type(value) not in (int, float) or value <= 0:
                raise self._wrong(("budget", key), "a number above 0")
        return Budget(**given)

    def _space(self) -> Space:
        given = self._data["space"]
        if isinstance(given, dict):
            return Space.from_document(self.document.under("space"))
        if not isinstance(given, str) or not given:
            raise self._wrong(("space",), "a path, the name of a shipped space, or the space itself")
        folder = self.path.parent if self.path is not None else Path()
        beside = folder / Path(given).expanduser()
        if beside.is_file():
            return Space.load(beside)
        try:
            shipped = self.resolve_shipped(given) if self.resolve_shipped is not None else None
        except InputError as error:
            what = f"found {show(given)}, neither a file beside the study nor a shipped space"
            raise problem(self.document.places.at(("space",)), f"{what} ({error})") from None
        if shipped is not None:
            return Space.load(shipped)
        names = sorted(file.name for file in beside.parent.glob("*.y*ml")) if beside.parent.is_dir() else []
        what = f"found {show(given)}, neither the file {beside} nor the name of a shipped space"
        raise self._wrong(("space",), names or "a path, or the name of a shipped space", what, wrong=beside.name)
