"""Draw the rooms of the house from the imports of its modules into `docs/DESIGN.md`: `python scripts/draw_house.py`.

The drawing stands between two marks: a room one storey above the highest room that it imports, with the rooms on which
it really leans, and what the docstring of each says is in it. `--check` prints nothing and ends with 1 where the page
shows another house than the imports.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests/support"))
from architecture import FOUNDATION, import_graph, room_of  # noqa: E402

PAGE = ROOT / "docs/DESIGN.md"
BEGIN, END = "<!-- drawn by scripts/draw_house.py -->", "<!-- end of the drawing -->"
FACES = ("__init__", "__main__", "cli", "peftcalc", "app")
PAGES = "One page, one question: a page only turns controls into a call and a result into a figure."


def drawing(root: Path) -> str:
    """The storeys from the top, each room with those just below it on which it leans, and with its own sentence."""
    leans = _leans(root)

    @cache
    def storey(room: str) -> int:
        return max((storey(other) + 1 for other in leans[room]), default=0)

    @cache
    def below(room: str) -> frozenset[str]:
        return frozenset(leans[room]).union(*(below(other) for other in leans[room]))

    wide = max(map(len, leans))
    drawn, told = [], []
    for room in sorted(leans, key=lambda room: (-storey(room), room)):
        direct = leans[room] - frozenset().union(*(below(other) for other in leans[room]))
        arrow = f"  → {', '.join(sorted(direct))}" if direct else ""
        drawn.append(f"{storey(room)}  {room:{wide}}{arrow}".rstrip())
        told.append(f"| `{room}/` | {_sentence(root / 'peftcalc' / room / '__init__.py', root / room)} |")
    for name in sorted(FOUNDATION):
        module = root / "peftcalc" / f"{name}.py"
        told.append(f"| `{name}` | {_sentence(module, root / 'peftcalc' / name / '__init__.py')} |")
    drawn.append(f"   {' · '.join(sorted(FOUNDATION))}: the foundation under every room")
    table = "\n".join(["| room | what is in it |", "|---|---|", *told])
    return "```\n" + "\n".join(drawn) + "\n```\n\n" + table


def _sentence(*places: Path) -> str:
    """The first sentence of a room's or a module's docstring."""
    file = next((place for place in places if place.is_file()), None)
    text = ast.get_docstring(ast.parse(file.read_text())) if file else PAGES
    return " ".join((text or "").split("\n\n")[0].split())


def _leans(root: Path) -> dict[str, set[str]]:
    """Each room and the rooms that its modules import for more than types, the foundation and itself left out."""
    leans: dict[str, set[str]] = {}
    for module, used in import_graph(root).items():
        room = _room(module)
        if room not in FOUNDATION and room not in FACES:
            others = {_room(other) for other in used} - FOUNDATION - {room, *FACES}
            leans.setdefault(room, set()).update(others)
    return leans


def _room(module: str) -> str:
    parts = module.split(".")
    return room_of(Path(*parts[:2], "x.py")) if len(parts) > 1 and parts[0] == "peftcalc" else parts[0]


def page_with(text: str, drawn: str) -> str:
    """The page with this drawing between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{drawn}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    text = PAGE.read_text()
    new = page_with(text, drawing(ROOT))
    if "--check" in sys.argv[1:]:
        sys.exit(int(new != text))
    PAGE.write_text(new)


if __name__ == "__main__":
    main()
