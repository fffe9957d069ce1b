"""`Space`: what may vary, and the rules about it."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.errors import InputError
from autoreg.space import any_of, encoding, ranges, tree
from autoreg.space.binding import Binder
from autoreg.space.building import Builder, Flattener, builder, flattener
from autoreg.space.expression import Expression
from autoreg.space.layers import LayerInfo
from autoreg.space.names import known_names, named_values
from autoreg.space.nodes import AnyOf, Group, Range
from autoreg.space.parser import parse_space
from autoreg.space.problems import Places
from autoreg.space.reader import Document, Located, read_file, read_yaml
from autoreg.space.rules import Known, Rule, all_known, check_rules
from autoreg.space.spec import Registry
from autoreg.space.tree import Choose, Parameter
from autoreg.space.writer import node_to_canonical, node_to_data, to_yaml

_MAX_ENUMERATED = 10_000
_MAX_DRAWS = 2_000


@dataclass(frozen=True)
class Size:
    """How large a space is.

    `count` is the number of configs, infinite when a range is continuous. `exact` is False when rules
    forbid some of them and they are too many to be counted one by one: then `count` is an upper bound.
    `continuous` is the number of continuous ranges, `combinations` the count when each of them is
    taken as one value (itself an upper bound where `exact` is False).
    """

    exact: bool
    count: float
    continuous: int
    combinations: int

    def __str__(self) -> str:
        bound = "" if self.exact else "at most "
        if not self.continuous:
            return f"{bound}{int(self.count):,} configurations"
        return f"{bound}{self.combinations:,} combinations, with {self.continuous} continuous parameters"


@dataclass(frozen=True)
class Space:
    """A search space: a tree of choices and ranges, and rules. Made from YAML, a dict, or nodes.

    >>> space = Space.from_dict({"lr": {"log": [1e-4, 1e-1]}, "width": [16, 32]})
    >>> [parameter.path for parameter in space.parameters]
    ['lr', 'width']
    >>> space.sample(np.random.default_rng(0))["width"] in (16, 32)
    True
    """

    root: Group
    name: str | None = None
    forbidden: tuple[Expression, ...] = ()
    constraints: tuple[Expression, ...] = ()
    bound: bool = False
    places: Places = field(default_factory=Places, compare=False, repr=False)
    _method_rules: tuple[Rule, ...] = field(default=(), compare=False, repr=False)
    _known: Known | None = field(default=None, compare=False, repr=False, hash=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without the functions that are made of the tree: these cannot be pickled."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_builder", "_flattener")}

    @classmethod
    def from_document(cls, document: Document, name: str | None = None) -> Space:
        """Make a space of data that remembers where it was read."""
        parsed = parse_space(document)
        title = parsed.name if name is None else name
        return cls(parsed.root, title, parsed.forbidden, parsed.constraints, places=document.places)

    @classmethod
    def from_dict(cls, obj: Mapping[str, Any], name: str | None = None) -> Space:
        """Make a space of a dict in the words of the YAML; nodes of `autoreg.space.python` may stand in it.

        Raises:
            InputError: when the grammar does not allow what is found.
        """
        places = obj.places if isinstance(obj, Located) else Places(name or "space")
        return cls.from_document(Document(obj, places), name)

    @classmethod
    def parse(cls, text: str, source: str = "<string>") -> Space:
        """Make a space of YAML text; errors name `source` and the line."""
        return cls.from_document(read_yaml(text, source))

    @classmethod
    def load(cls, path: Path | str) -> Space:
        """Read a space from a YAML (or `.json`) file; errors name the file and the line."""
        return cls.from_document(read_file(path))

    @classmethod
    def of(cls, given: Space | Mapping[str, Any] | Path | str) -> Space:
        """Make a space of whatever a caller may give: a space, a dict, or a path."""
        if isinstance(given, Space):
            return given
        if isinstance(given, Mapping):
            return cls.from_dict(given)
        if isinstance(given, (str, Path)):
            return cls.load(given)
        raise InputError(
            f"space: found {type(given).__name__}; allowed: a Space, a dict in the words of the YAML, or a path"
        )

    def to_dict(self) -> dict[str, Any]:
        """Write the space as plain data, which `from_dict` reads back without loss."""
        head: dict[str, Any] = {} if self.name is None else {"name": self.name}
        data = {**head, **node_to_data(self.root)}
        for key, rules in (("forbidden", self.forbidden), ("constraints", self.constraints)):
            if rules:
                data[key] = [rule.text for rule in rules]
        return data

    def to_yaml(self) -> str:
        """Write the space as YAML, which `parse` reads back without loss."""
        return to_yaml(self.to_dict())

    def bind(
        self, registry: Registry, layers: Sequence[LayerInfo] = (), defaults: Mapping[str, Any] | None = None
    ) -> Space:
        """Check every name, value and bound against `registry` and fill in what is not mentioned.

        Bare methods get their default ranges; parameters of sections and slots that are not mentioned
        get their default as a constant, or what `defaults` says for their dotted name.

        Args:
            registry: the methods and sections that a space may name.
            layers: the weighted layers of the model in `named_modules` order; with them `each_layer`
                is spread out and layer patterns are checked.
            defaults: values that override the registry's defaults, such as `{"training.lr": 0.05}`.

        Raises:
            InputError: with place, what was found, what is allowed and the nearest right name.
        """
        binder = Binder(registry, tuple(layers), self.places)
        root = binder.root(self.root, defaults or {})
        known = all_known(known_names(root), registry)
        method_rules = tuple(dict.fromkeys(binder.rules))
        check_rules([Rule(expression, expression.text) for expression in self.forbidden], known)
        for rule in method_rules:
            rule.expression.check_names(known)
        return Space(root, self.name, self.forbidden, self.constraints, True, self.places, method_rules, known)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What varies, flat and in order; choices with one option and constants are not among it."""
        return tuple(tree.parameters(self.root))

    @cached_property
    def _limited(self) -> tuple[tuple[str, AnyOf], ...]:
        """What of `any_of` has a limit, so that independent switches would not be uniform over its subsets."""
        return tuple((p, node) for p, node in tree.any_ofs(self.root) if node.limit < len(node.items))

    @cached_property
    def _rules(self) -> tuple[Rule, ...]:
        mine = tuple(Rule(expression, f"forbidden: {expression.text}") for expression in self.forbidden)
        if self._known is None:
            check_rules(mine, known_names(self.root))
        return (*mine, *self._method_rules)

    @cached_property
    def _paths_in_rules(self) -> dict[str, bool]:
        return {}

    def _is_in_a_rule(self, path: str) -> bool:
        """Whether a rule names a path, or something below it."""
        if path not in self._paths_in_rules:
            names = {name for rule in self._rules for name in (*rule.expression.names, *(rule.guard or ())[:1])}
            self._paths_in_rules[path] = any(n == path or n.startswith((f"{path}.", f"{path}[")) for n in names)
        return self._paths_in_rules[path]

    def build(self, choose: Choose) -> dict[str, Any]:
        """The config in which `choose(path, domain)` makes every choice; rules are not looked at.

        `domain` is a `Range` (return a number; it is moved to the nearest step) or the labels.
        """
        config: dict[str, Any] = self._builder(choose)
        return config

    @cached_property
    def _builder(self) -> Builder:
        return builder(self.root)

    def flatten(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What was chosen: path -> number or label, for active parameters only; undoes `build`.

        Raises:
            InputError: when `config` is no config of this space, naming the place.
        """
        flat: dict[str, Any] = {}
        self._flattener(config, flat)
        return flat

    @cached_property
    def _flattener(self) -> Flattener:
        return flattener(self.root)

    def unflatten(self, flat: Mapping[str, Any]) -> dict[str, Any]:
        """The config of flat choices; undoes `flatten`."""

        def choose(path: str, domain: Any) -> Any:
            if path not in flat and path in dict(self._limited):
                raise InputError(f"{path}: {' and '.join(domain)} are on; allowed: at most {len(domain) - 1} at once")
            if path not in flat:
                raise InputError(f"{path}: is active but not given; given: {', '.join(flat)}")
            return flat[path]

        return self.build(choose)

    def refusal(self, config: Mapping[str, Any]) -> str | None:
        """Why the rules refuse a config of this space, or None when they allow it."""
        if not self._rules:
            return None
        names = named_values(self.root, config, wanted=self._is_in_a_rule)
        return next((rule.reason for rule in self._rules if rule.broken(names)), None)

    def allowed(self, config: Mapping[str, Any]) -> bool:
        """Whether no forbidden expression and no conflict of a method holds for a config of this space."""
        return self.refusal(config) is None

    def __contains__(self, config: object) -> bool:
        if not isinstance(config, Mapping):
            return False
        try:
            self.flatten(config)
        except InputError:
            return False
        return self.allowed(config)

    def random(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw every choice uniformly, whether or not the rules allow the outcome.

        Of an `any_of` every subset that is allowed has the same chance.
        """
        switches = {p: s for path, node in self._limited for p, s in any_of.draw(node, path, rng).items()}

        def choose(path: str, domain: Any) -> Any:
            if path in switches:
                return switches[path]
            return ranges.draw(domain, rng) if isinstance(domain, Range) else domain[int(rng.integers(len(domain)))]

        return self.build(choose)

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw an allowed config: choices uniformly, numbers uniformly on their scale, until the rules allow it.

        Raises:
            InputError: when nothing is allowed (or so little that it is not met by chance).
        """
        refusals: Counter[str] = Counter()
        for _ in range(_MAX_DRAWS):
            config = self.random(rng)
            reason = self.refusal(config)
            if reason is None:
                return config
            refusals[reason] += 1
        if tree.count(self.root) <= _MAX_ENUMERATED:
            found = list(self.enumerate())
            if found:
                return found[int(rng.integers(len(found)))]
        often = "; ".join(f"{reason} ({times} times)" for reason, times in refusals.most_common(3))
        where = self.places.at(("forbidden",) if self.forbidden else ())
        raise InputError(f"{where}: the rules allow none of {_MAX_DRAWS} configurations drawn; they refuse by {often}")

    def enumerate(self, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Every allowed config once, in a fixed order.

        Raises:
            InputError: at once, when a range is continuous or there are more than `limit` configs (rules aside).
        """
        count = tree.count(self.root)
        if math.isinf(count):
            endless = [
                p.path for p in self.parameters if isinstance(p.domain, Range) and math.isinf(ranges.count(p.domain))
            ]
            raise InputError(
                f"{self.places.at()}: cannot be enumerated, since {', '.join(endless)} is continuous; give a step"
            )
        if limit is not None and count > limit:
            raise InputError(f"{self.places.at()}: has {int(count):,} configurations; allowed: at most {limit:,}")
        return (config for config in tree.enumerate_node(self.root) if self.allowed(config))

    def size(self) -> Size:
        """Count the configs; see `Size` for what is exact and what is a bound."""
        count = tree.count(self.root)
        continuous = sum(isinstance(p.domain, Range) and math.isinf(ranges.count(p.domain)) for p in self.parameters)
        combinations = int(tree.count(self.root, grid_only=True))
        if self._rules and count <= _MAX_ENUMERATED:
            found = sum(1 for _ in self.enumerate())
            return Size(True, found, 0, found)
        return Size(not self._rules, count, continuous, combinations)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of an encoded config."""
        return encoding.columns(self.parameters)

    def encode(self, config: Mapping[str, Any]) -> np.ndarray:
        """A config as float64 [len(columns)]: ranges in [0, 1] (log-warped), choices one-hot, NaN if inactive."""
        row: np.ndarray = self.encode_many([config])[0]
        return row

    def encode_many(self, configs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Configs as float64 [len(configs), len(columns)]; see `encode`."""
        return encoding.encode(self.parameters, [self.flatten(config) for config in configs])

    def decode(self, vector: np.ndarray) -> dict[str, Any]:
        """The config of a vector [len(columns)]; undoes `encode` up to rounding."""
        return self.build(encoding.chooser(self.parameters, vector))

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of the content: the tree and the rules, not the name, order of names or layout."""
        rules = [[rule.text for rule in self.forbidden], [rule.text for rule in self.constraints]]
        text = json.dumps([node_to_canonical(self.root), rules], sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
