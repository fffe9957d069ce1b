"""Finding methods: every file of the package, or none."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from autoreg.errors import InputError
from autoreg.methods import create, discovery, from_recipe, method, method_class, registry, to_recipe
from tests.methods.test_base import PAPER, declare
from tests.package_copy import PackageCopy

PENALTY = '''
from autoreg.methods.base import method
from autoreg.space.spec import Paper, log


@method("{name}", kind="regularizer", paper=Paper("Title", "Authors", 2024))
class Penalty:
    """A penalty."""

    strength: float = log(1e-4, 1e-1)
'''


def test_registry_loads_without_torch() -> None:
    code = """
import sys
from autoreg.methods import registry, create
registry()
create("structure", "weight", {"criterion": {"wanda": {}}})
create("regularizer", "sam")
heavy = {"torch", "ray", "scipy", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_file_put_directly_into_the_room_is_found(tmp_path: Path) -> None:
    package = PackageCopy(tmp_path)
    package.write("autoreg/methods/direct.py", PENALTY.format(name="direct"))
    package.write("autoreg/methods/own_folder/within.py", PENALTY.format(name="within"))
    package.write("autoreg/methods/own_folder/__init__.py", "")
    code = "import sys; from autoreg.methods import registry; print(*registry().methods['regularizer'])"
    assert {"direct", "within", "l1"} <= set(package.python("-c", code).split())


def test_a_file_that_cannot_be_imported_is_named_at_every_call_until_it_is_mended(tmp_path: Path) -> None:
    """The first failure must not leave half of the methods behind for those who ask later."""
    package = PackageCopy(tmp_path)
    broken = package.write("autoreg/methods/noise/broken.py", "import no_such_module\n")
    code = f"""
from pathlib import Path
from autoreg.errors import InputError
from autoreg.methods import create, registry
from autoreg.methods.discovery import foreign_sources
for ask in (registry, registry, foreign_sources, lambda: create("regularizer", "l1")):
    try:
        ask()
    except InputError as error:
        assert "autoreg.methods.noise.broken" in str(error), error
        assert "No module named 'no_such_module'" in str(error), error
    else:
        raise AssertionError("half of the methods were taken for all")
Path({str(broken)!r}).write_text("")
import importlib; importlib.invalidate_caches()
assert "l1" in registry().methods["regularizer"]
"""
    package.python("-c", code)


def test_an_entry_point_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("broken", "no_such_module_anywhere", discovery.METHOD_ENTRY_POINTS)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    monkeypatch.setattr(discovery, "_discovered", False)
    for _ in range(2):
        with pytest.raises(InputError, match=r"entry point 'broken'.*no_such_module_anywhere"):
            registry()


def test_what_a_recipe_says_of_a_method_and_the_method_are_the_same() -> None:
    for name in registry().methods["structure"]:
        structure = create("structure", name)
        assert from_recipe("structure", to_recipe(structure)) == structure
    assert to_recipe(None) == "none"


def test_unknown_kind_and_name_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'regularizer'"):
        method_class("regulariser", "l1")
    with pytest.raises(InputError, match="did you mean 'group_lasso'"):
        create("regularizer", "grouplasso")


def test_a_second_class_of_the_same_name_is_refused_but_the_same_one_may_be_read_again() -> None:
    declare()
    declare()  # the same module and name: a module that is read again
    with pytest.raises(InputError, match="already declared by"):

        @method("mine", kind="regularizer", paper=PAPER)
        class Another:
            """Another."""
