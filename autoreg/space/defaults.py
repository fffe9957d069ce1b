"""Defaults of section parameters, of the registry and of whoever binds a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.space.paths import child
from autoreg.space.problems import Places, problem
from autoreg.space.spec import Param, Registry, Section


@dataclass
class Defaults:
    """Defaults of section parameters by dotted name, given beside those of the registry."""

    given: Mapping[str, Any]
    places: Places

    @classmethod
    def of(cls, given: Mapping[str, Any], registry: Registry) -> Defaults:
        """Those of a caller, which must be of parameters that exist."""
        known = dict(section_params(Section(registry.sections), ""))
        for name in given:
            if name not in known:
                raise problem("defaults", f"unknown parameter {name!r}", allowed=list(known), wrong=str(name))
        return cls(given, Places("defaults"))

    def take(self, name: str, default: Any) -> tuple[Any, Places]:
        """The default of a parameter and the place it comes from."""
        if name in self.given:
            return self.given[name], self.places.under(name)
        return default, Places(f"the default of {name}")


def section_params(section: Section, name: str) -> list[tuple[str, Param]]:
    """The parameters of a section and of those in it, by dotted name."""
    found: list[tuple[str, Param]] = []
    for key, item in section.items.items():
        here = child(name, key)
        found += section_params(item, here) if isinstance(item, Section) else [(here, item)]
    return found
