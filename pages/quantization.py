"""What do four bits lose? The bits of one number, 64 weights and their codes, errors on many weights, a whole model."""

from __future__ import annotations

from peftcalc.ui import page, sections
from peftcalc.ui.pages import entry_at
from peftcalc.ui.quantization.matrix import a_matrix
from peftcalc.ui.quantization.model_scale import a_model
from peftcalc.ui.quantization.one_number import one_number
from peftcalc.ui.quantization.sixty_four import sixty_four_weights


def main() -> None:
    page.open_page(
        entry_at("quantization").question,
        "The same number, kept in 32, 16, 8 and 4 bits: the fewer the bits, the fewer numbers are left to choose from, "
        "and the larger is the error.",
    )
    sections.show(
        {
            "one number": one_number,
            "sixty-four weights": sixty_four_weights,
            "a matrix": a_matrix,
            "a model": a_model,
        }
    )


main()
