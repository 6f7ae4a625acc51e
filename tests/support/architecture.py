"""The rules of the house as functions over source files, so that a test can also show that they can be broken.

`violations` lists every broken rule: who imports whom, circles, folders and modules that have grown too large, and what
is not used at all. An import is one wherever it stands: at the top, inside a function, or as the name of a module in a
string (`"peftcalc.lab.work"`, `"peftcalc.lab.tasks.names:Names"`). Imports for types alone make no circle, but they
follow the order of the rooms. The one door that leads up is the table `UPSTAIRS` in `peftcalc/lazy.py`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOUNDATION = {
    "checks",
    "units",
    "methods",
    "targets",
    "lazy",
    "compiled",
    "app_folder",
    "outside_files",
    "bounded_memory",
}

MODELS = FOUNDATION | {"models"}
COUNTING = MODELS | {"counting"}
MEMORY = COUNTING | {"memory", "quant"}
SPEED = MEMORY | {"speed"}
EVIDENCE = SPEED | {"evidence"}
ADVICE = EVIDENCE | {"advice"}
RECIPES = ADVICE | {"recipes"}
ADAPTERS = FOUNDATION | {"quant", "geometry", "adapters"}
LAB = ADAPTERS | {"lab"}
DOCTOR = COUNTING | ADAPTERS | {"doctor"}
JOBS = LAB | {"jobs"}
PLOTS = RECIPES | DOCTOR | JOBS | {"plots"}

ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    "models": MODELS,
    "counting": COUNTING,
    "quant": FOUNDATION | {"quant"},
    "geometry": FOUNDATION | {"geometry"},
    "memory": MEMORY,
    "speed": SPEED,
    "evidence": EVIDENCE,
    "advice": ADVICE,
    "recipes": RECIPES,
    "adapters": ADAPTERS,
    "doctor": DOCTOR,
    "lab": LAB,
    "jobs": JOBS,
    "plots": PLOTS,
    "commands": PLOTS | {"commands"},
    "cli": PLOTS | {"commands", "cli"},
    "__main__": {"cli"},
    "__init__": PLOTS,
    "ui": PLOTS | {"ui"},
}
"""Who may import whom inside the package, room by room, from below to above (docs/DESIGN.md draws it)."""

STREAMLIT_ROOMS = {"ui"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "matplotlib.pyplot", "pylab"}
FORBIDDEN_KEYWORDS = {"trust_remote_code", "unsafe_allow_html", "unsafe_allow_javascript", "allow_pickle"}

MOST_MODULES = 16
"""In a folder, beside `__init__`; one that needs more holds two ideas."""
MOST_LINES = 280
"""In a module."""
DOOR = ("peftcalc/lazy.py", "UPSTAIRS")

_MODULE_IN_A_STRING = re.compile(r"(peftcalc(?:\.\w+)+)(?::\w+)?")


@dataclass(frozen=True)
class Import:
    """One import: the module, or a name in it, its line, whether it is for types alone, and whether it is a string."""

    target: str
    line: int
    for_types: bool
    in_a_string: bool = False


def violations(root: Path) -> list[str]:
    """Every broken rule below `root` (the folder that holds `peftcalc/`, `pages/` and `app.py`), one line each."""
    found: list[str] = []
    for path in _sources(root):
        tree, place = ast.parse(path.read_text()), path.relative_to(root)
        room = room_of(place)
        for used in imports(tree, place):
            found += [f"{place}:{used.line}: {reason}" for reason in _import_faults(room, used.target)]
        found += [f"{place}:{line}: {word} is switched on" for word, line in _switched_on(tree)]
        found += [f"{place}:{line}: torch.load reads pickle" for line in _torch_loads(tree)]
    found += [f"circle: {' → '.join(circle)}" for circle in circles(import_graph(root))]
    return found + list(_too_large(root))


def room_of(place: Path) -> str:
    """The room of a file: the folder or module below `peftcalc`, "pages" for what is outside."""
    if place.parts[0] != "peftcalc":
        return "pages"
    return place.parts[1] if len(place.parts) > 2 else place.stem


def import_graph(root: Path) -> dict[str, set[str]]:
    """The modules of the package by dotted name, and those that each imports for more than types."""
    modules = {_dotted(path.relative_to(root)): path for path in _sources(root)}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        used = imports(ast.parse(path.read_text()), path.relative_to(root))
        graph[name] = {_module(one, modules) for one in used if not one.for_types} & modules.keys() - {name}
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """A shortest circle through each module that lies on one, every circle once."""
    found: dict[frozenset[str], list[str]] = {}
    for start in sorted(graph):
        paths, seen = [[start]], {start}
        while paths:
            path = paths.pop(0)
            if start in graph.get(path[-1], ()):
                found.setdefault(frozenset(path), [*path, start])
                break
            onward = sorted(graph.get(path[-1], set()) - seen)
            seen.update(onward)
            paths += [[*path, module] for module in onward]
    return list(found.values())


def imports(tree: ast.AST, place: Path) -> Iterator[Import]:
    """Every import of a file; those of the door in `lazy` are left out."""
    yield from _walk(tree, place, for_types=False)


def _walk(node: ast.AST, place: Path, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if _is_door(child, place):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), place, for_types=True)
            for statement in child.orelse:
                yield from _walk(ast.Module([statement], []), place, for_types)
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, for_types) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (Import(target, child.lineno, for_types) for target in _from(child, place))
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            named = _MODULE_IN_A_STRING.fullmatch(child.value)
            if named:
                yield Import(named.group(1), child.lineno, for_types, in_a_string=True)
        yield from _walk(child, place, for_types)


def _from(node: ast.ImportFrom, place: Path) -> Iterator[str]:
    prefix = ".".join(place.parts[: len(place.parts) - node.level]) + "." if node.level else ""
    base = f"{prefix}{node.module or ''}".rstrip(".")
    yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_door(node: ast.AST, place: Path) -> bool:
    file, table = DOOR
    named = isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == table for t in node.targets)
    return named and place.as_posix() == file


def _import_faults(room: str, target: str) -> Iterator[str]:
    top = target.split(".")[0]
    if any(target == name or target.startswith(f"{name}.") for name in FORBIDDEN_MODULES):
        yield f"{target} is not used in this project"
    if top == "streamlit" and room not in STREAMLIT_ROOMS | {"pages"}:
        yield f"{room} imports streamlit"
    if top != "peftcalc" or room == "pages":
        return
    if room not in ALLOWED:
        yield f"the room {room} is unknown: give it a place in tests/support/architecture.py"
        return
    if target == "peftcalc":  # `import peftcalc as pc`: the face, which every name leads through
        if room != "ui":
            yield f"{room} imports the package's face; name the module"
        return
    other = target.split(".")[1]
    if other in ALLOWED and other not in ALLOWED[room] | {room}:
        yield f"{room} imports {other}"


def _too_large(root: Path) -> Iterator[str]:
    folders: dict[Path, int] = defaultdict(int)
    for path in _sources(root):
        place = path.relative_to(root)
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES:
            yield f"{place} has {lines} lines; at most {MOST_LINES}"
        folders[place.parent] += path.name != "__init__.py"
    for folder, modules in folders.items():
        if modules > MOST_MODULES:
            yield f"{folder} holds {modules} modules; at most {MOST_MODULES}, more are two ideas"


def _sources(root: Path) -> list[Path]:
    return sorted([*root.glob("peftcalc/**/*.py"), *root.glob("pages/*.py"), *root.glob("app.py")])


def _dotted(place: Path) -> str:
    return ".".join(place.with_suffix("").parts).removesuffix(".__init__")


def _module(used: Import, modules: Iterable[str]) -> str:
    """The module that an import means: itself, or the one that holds the name ("peftcalc.json" is a file's name)."""
    return used.target if used.target in modules or used.in_a_string else used.target.rpartition(".")[0]


def _switched_on(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in FORBIDDEN_KEYWORDS:
            off = isinstance(node.value, ast.Constant) and not node.value.value
            if not off:
                yield node.arg or "", node.value.lineno


def _torch_loads(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            yield node.lineno
