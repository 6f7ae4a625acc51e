"""What do direction and magnitude do? One row as arrows, ΔM against ΔD of trained matrices, and a knock-out."""

from __future__ import annotations

from peftcalc.ui import page, state
from peftcalc.ui.dora.arrows import arrows
from peftcalc.ui.dora.knock_out import knock_out
from peftcalc.ui.dora.moves import moves


def main() -> None:
    page.open_page(
        "What do direction and magnitude do?",
        "Every row of a weight is an arrow: a direction and a length. LoRA adds to it; DoRA trains its length apart. "
        "First one arrow, then [trained matrices](#moves), then [a knock-out](#knock-out).",
    )
    arrows()
    moves()
    knock_out()
    state.link_notes()


main()
