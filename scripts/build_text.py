"""Write the two texts of the `text` task from the standard library of the Python that runs this script.

`docstrings.txt.gz`: every docstring (what the model is pretrained on). `source.txt.gz`: the code of some modules
without docstrings and comments (what it is adapted to). Shipped, because another Python's library would give other
figures:

    python scripts/build_text.py
"""

from __future__ import annotations

import ast
import gzip
import inspect
import platform
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parents[1] / "peftcalc" / "lab" / "data"
LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "site-packages",
    "lib2to3",
    "ensurepip",
    "encodings",
    "pydoc_data",
    "turtledemo",
}
SOURCE_CHARACTERS = 600_000
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def modules() -> Iterator[ast.Module]:
    """The parsed modules of the standard library, in alphabetical order."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if not LEFT_OUT & set(path.relative_to(root).parts):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield ast.parse(path.read_text(encoding="utf-8", errors="ignore"))


def take_docstrings(module: ast.Module) -> list[str]:
    """Remove every docstring from the tree and return them."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node, clean=False)):
            found.append(inspect.cleandoc(text))
            node.body = node.body[1:] or [ast.Pass()]
    return found


def plain(text: str) -> str | None:
    """The text with spaces for tabs, or None when it has other characters."""
    text = text.replace("\t", "    ")
    return text if all(character == "\n" or " " <= character <= "~" for character in text) else None


def write(name: str, texts: list[str]) -> None:
    """One compressed file, the texts divided by empty lines."""
    joined = "\n\n".join(texts)
    (DATA / name).write_bytes(gzip.compress(joined.encode("ascii"), mtime=0))
    size = (DATA / name).stat().st_size
    print(f"{name}: {len(joined):,} characters, {size:,} bytes, Python {platform.python_version()}")


def main() -> None:
    docstrings: dict[str, None] = {}
    source: list[str] = []
    for module in modules():
        docstrings.update(dict.fromkeys(filter(None, map(plain, take_docstrings(module)))))
        code = plain(ast.unparse(module))
        if code and 2_000 < len(code) < 40_000:
            source.append(code)
    step = max(1, sum(map(len, source)) // SOURCE_CHARACTERS)
    write("docstrings.txt.gz", [text for text in docstrings if len(text) > 40])
    write("source.txt.gz", source[::step])


if __name__ == "__main__":
    main()
