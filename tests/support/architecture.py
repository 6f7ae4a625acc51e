"""The rules of the house as a function over source files, so that a test can also show that they can be broken."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FOUNDATION = {"checks", "units", "methods", "targets", "codegen", "lazy", "compiled"}

# The modules that make up counting; `count` is their face.
ADVICE = FOUNDATION | {"models", "memory"}
CALCULATORS = ("count", "trained", "adapted", "adapter_config", "one_matrix", "one_matrix_gap", "worked_example")

# Who may import whom, inside the package (every room may import itself).
ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    "models": FOUNDATION,
    "count": FOUNDATION | {"models", "trained", "adapter_config"},
    "one_matrix": FOUNDATION,
    "one_matrix_gap": FOUNDATION | {"models", "count"},
    "worked_example": FOUNDATION,
    "adapted": FOUNDATION | {"models", "count", "trained"},
    "trained": FOUNDATION | {"models", "count", "adapted"},
    "adapter_config": FOUNDATION | {"models", "count"},
    "memory": FOUNDATION | {"models", "count", "quant"},
    "advice": ADVICE,
    "quant": FOUNDATION,
    "lab": FOUNDATION | {"quant"},
    "plots": FOUNDATION | {"models", *CALCULATORS, "memory", "quant", "lab"},
    "commands": FOUNDATION | {"models", *CALCULATORS, "memory", "quant", "lab"},
    "cli": FOUNDATION | {"commands"},
    "__main__": {"cli"},
    "__init__": FOUNDATION | {"models", *CALCULATORS, "memory", "quant", "lab"},
    "ui": FOUNDATION | {"models", *CALCULATORS, "memory", "advice", "quant", "lab", "plots"},
}
STREAMLIT_ROOMS = {"ui"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "matplotlib.pyplot", "pylab"}
FORBIDDEN_KEYWORDS = {"trust_remote_code", "unsafe_allow_html", "unsafe_allow_javascript", "allow_pickle"}


def violations(root: Path) -> list[str]:
    """Every broken rule below `root` (the folder that holds `peftcalc/`, `pages/` and `app.py`), one line each."""
    found: list[str] = []
    for path in sorted([*root.glob("peftcalc/**/*.py"), *root.glob("pages/*.py"), *root.glob("app.py")]):
        tree = ast.parse(path.read_text())
        place = path.relative_to(root)
        room = _room(place)
        for module, line in _imports(tree, place):
            found += [f"{place}:{line}: {reason}" for reason in _import_faults(room, module)]
        found += [f"{place}:{line}: {word} is switched on" for word, line in _switched_on(tree)]
        found += [f"{place}:{line}: torch.load reads pickle" for line in _torch_loads(tree)]
    return found


def _room(place: Path) -> str:
    if place.parts[0] != "peftcalc":
        return "pages"
    return place.parts[1] if len(place.parts) > 2 else place.stem


def _import_faults(room: str, module: str) -> Iterator[str]:
    top = module.split(".")[0]
    if any(module == name or module.startswith(f"{name}.") for name in FORBIDDEN_MODULES):
        yield f"{module} is not used in this project"
    if top == "streamlit" and room not in STREAMLIT_ROOMS | {"pages"}:
        yield f"{room} imports streamlit"
    if top != "peftcalc" or room == "pages" or module == "peftcalc":
        return
    other = module.split(".")[1]
    if room not in ALLOWED:
        yield f"the room {room} is unknown: give it a place in tests/support/architecture.py"
    elif other != room and other not in ALLOWED[room]:
        yield f"{room} imports {other}"


def _imports(tree: ast.AST, place: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = ".".join(place.parts[: len(place.parts) - node.level]) + "." if node.level else ""
            base = f"{prefix}{node.module or ''}".rstrip(".")
            yield base, node.lineno
            if base in ("peftcalc", "matplotlib"):  # from peftcalc import ui, from matplotlib import pyplot
                rooms = (alias.name for alias in node.names if base == "matplotlib" or alias.name in ALLOWED)
                yield from ((f"{base}.{name}", node.lineno) for name in rooms)


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
