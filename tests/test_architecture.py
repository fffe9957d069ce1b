"""The house: which room may know which, how large its parts are, and the words it is written in."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "autoreg"

ORDER = [
    {"autoreg", "commands"},
    {"study"},
    {"execution", "report"},
    {"engine", "trial"},
    {"methods", "artifacts"},
    {"latency"},
    {"sensitivity", "costs", "tasks"},
    {"network"},
    {"plan"},
    {"space"},
    {"training_length", "trial_info", "serialization", "locks", "files", "lazy", "memo", "errors"},
]
"""Rooms from the outside in: each may know those of its own line and of the lines below."""

LONGEST_FILE, LONGEST_FUNCTION, MOST_ARGUMENTS = 350, 60, 8
LATE = ("commands", "autoreg")
"""Rooms that import other rooms when they are used, so that `autoreg --help` answers at once."""

PRIVATE_WORDS = re.compile(
    r"\b(foretell\w*|foretold|experts?|quirks?|luck|lucky|lucks|beliefs?(?!\.json)|believe[rsd]?|bills?|costliest|unpaid|"
    r"price[sd]?|pricing|cautious\w*|hopes?|hoped|hears?|heard|warmed|null models?|CostNull|Believer|settles?|settled|"
    r"listens?|listened|listening|What leaves|What was asked)\b",
    re.IGNORECASE,
)
"""Words that a reader who knows Optuna, BoTorch and torch would have to look up."""

PLAIN_PHRASES = (
    "mixture of experts",  # a kind of network
    "experts as grouped products",
    '"experts"',  # keys of older studies, which are still read
    "`experts`",
    '"heard"',
    "a voice it never heard",
    '"price"',  # an objective of a user's own
)
"""Where such a word stands in its plain meaning, or is a name that files have."""

PRIVATE_NAMES = {"told", "kept", "heard", "price", "priced", "hopes", "cautious", "bill", "luck", "warmed"}
"""Plain in a sentence, but as names of variables, functions or fields they do not say of what."""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

FOLDERS = ("autoreg", "tests", "benchmarks", "examples")
FILES = [str(path.relative_to(ROOT)) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else name


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """Modules of the package that a module imports, for types too, and whether it does so inside a function."""
    tree = TREES[name]
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {id(n) for function in functions for n in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [full if full in MODULES else str(node.module) for full in names]
        else:
            targets = []
        for target in targets:
            if target in MODULES and target != name:
                yield target, id(node) in late


EDGES = {name: {target for target, _ in imports(name)} for name in MODULES}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Sets of nodes that reach each other."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            for target in edges.get(left.pop(), set()) - found:
                found.add(target)
                left.append(target)
        return found

    reach = {name: reached(name) for name in edges}
    rings = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in edges if a in reach[a]}
    return sorted(sorted(ring) for ring in rings)


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert len(MODULES) > 250
    assert circles(EDGES) == []


def test_rooms_know_only_rooms_that_lie_further_in() -> None:
    line = {name: place for place, names in enumerate(ORDER) for name in names}
    assert {room(name) for name in MODULES} == set(line)
    between: dict[str, set[str]] = defaultdict(set)
    for name, targets in EDGES.items():
        between[room(name)] |= {room(target) for target in targets} - {room(name)}
    assert circles(between) == []
    assert [(a, b) for a, targets in between.items() for b in targets if line[b] < line[a]] == []


def test_our_own_modules_are_imported_at_the_top() -> None:
    late = [(name, target) for name in MODULES if room(name) not in LATE for target, inside in imports(name) if inside]
    assert late == []


def test_no_file_of_a_room_begins_with_an_underscore() -> None:
    assert [path for path in MODULES.values() if re.match("_[a-z]", path.name)] == []


def has_reason(lines: list[str], first: int) -> bool:
    """Whether a comment on the line or above it says why it is `long` or has `many arguments`."""
    return any(
        re.search(r"# (many arguments|long|many arguments, long): \w", line)
        for line in lines[max(first - 3, 0) : first + 1]
    )


def required_fields(node: ast.ClassDef) -> int:
    """How many fields of a dataclass its constructor must be given; 0 of another class."""
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return 0
    count = 0
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation):
            value = field.value
            calls_field = isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field")
            words = {word.arg for word in value.keywords} if isinstance(value, ast.Call) and calls_field else set()
            count += value is None or (calls_field and not words & {"default", "default_factory", "init"})
    return count


def test_required_fields_are_those_without_a_default() -> None:
    source = "@dataclass\nclass A:\n a: int\n b: int = 1\n c: int = field(kw_only=True)\n d: ClassVar[int]\n"
    source += " e: list[int] = field(default_factory=list)\nclass B:\n a: int\n"
    a, b = ast.parse(source).body
    assert isinstance(a, ast.ClassDef)
    assert isinstance(b, ast.ClassDef)
    assert (required_fields(a), required_fields(b)) == (2, 0)


@pytest.mark.parametrize("name", FILES)
def test_files_functions_and_argument_lists_are_short_or_say_why_not(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > LONGEST_FILE:
        assert any(re.match(r"# long: \w", line) for line in lines), f"{len(lines)} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = sum(argument.arg not in ("self", "cls") for argument in given)
            long = (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION
        elif isinstance(node, ast.ClassDef):
            count, long = required_fields(node), False
        else:
            continue
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        if long or count > MOST_ARGUMENTS:
            assert has_reason(lines, first - 1) or has_reason(lines, node.lineno - 1), node.name


def test_a_public_class_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_a_public_constant_means_one_thing() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for name, tree in TREES.items():
        for node in tree.body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            for target in targets:
                if isinstance(target, ast.Name) and re.fullmatch("[A-Z][A-Z0-9_]+", target.id):
                    homes[target.id].append(name)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def texts() -> list[Path]:
    folders = ["autoreg", "tests", "benchmarks", "docs", "examples", "search_spaces", "studies"]
    inside = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    files = [path for path in [*ROOT.glob("*.md"), *inside] if path.suffix in (".py", ".md", ".yaml", ".html", ".js")]
    return [path for path in files if "results" not in path.parts and path != Path(__file__)]


def private_words(text: str) -> set[str]:
    for phrase in PLAIN_PHRASES:
        text = text.replace(phrase, "")
    return set(PRIVATE_WORDS.findall(text))


def private_names(tree: ast.AST) -> set[str]:
    """Names that a file gives, whole or between underscores; a test's name is a sentence and may say what it likes."""
    given: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            given.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            given.add(node.name)
        elif isinstance(node, ast.arg):
            given.add(node.arg)
    return {name for name in given if not name.startswith("test_") and PRIVATE_NAMES & set(name.lower().split("_"))}


def test_private_words_and_names_are_found() -> None:
    assert private_words("The experts hope; a mixture of experts") == {"experts", "hope"}
    assert private_words("the path of a pricey shear") == set()
    code = "def heard(price): self._paid = told_at = 1\ndef test_all_is_kept(): return told"
    assert private_names(ast.parse(code)) == {"heard", "price", "told_at"}


def test_code_and_docs_use_the_words_of_the_field() -> None:
    found = {
        (str(path.relative_to(ROOT)), word)
        for path in texts()
        for word in private_words(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_names_say_what_they_are_of() -> None:
    found = {
        (name, word) for name in FILES for word in private_names(ast.parse((ROOT / name).read_text(encoding="utf-8")))
    }
    assert found == set()
