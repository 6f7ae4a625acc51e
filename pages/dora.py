"""What do direction and magnitude do? One row as an arrow, ΔM against ΔD of trained matrices and rows, a knock-out."""

from __future__ import annotations

from peftcalc.ui import page, sections
from peftcalc.ui.dora.knock_out import knock_out
from peftcalc.ui.dora.matrices import matrices
from peftcalc.ui.dora.neurons import neurons
from peftcalc.ui.dora.one_arrow import one_arrow


def main() -> None:
    page.open_page(
        "What do direction and magnitude do?",
        "A row of weights is an arrow. LoRA pushes its tip: direction and length (magnitude) change together. DoRA "
        "turns it and sets its length apart.",
    )
    sections.show({"one arrow": one_arrow, "matrices": matrices, "neurons": neurons, "knock-out": knock_out})


main()
