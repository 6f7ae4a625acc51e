"""How many parameters does each method train? By hand, on one matrix of any size, on a real model, in your adapter."""

from __future__ import annotations

from peftcalc.ui import page, sections
from peftcalc.ui.doctor.adapter_section import your_adapter
from peftcalc.ui.pages import entry_at
from peftcalc.ui.parameters.by_hand import by_hand
from peftcalc.ui.parameters.one_matrix import one_matrix
from peftcalc.ui.parameters.real_model import real_model


def main() -> None:
    page.open_page(
        entry_at("parameters").question,
        "Few numbers make many: LoRA trains two thin strips, B and A, and their product is the whole change ΔW.",
    )
    sections.show(
        {"by hand": by_hand, "one matrix": one_matrix, "a real model": real_model, "your adapter": your_adapter}
    )


main()
