"""What do four bits lose? The bits of one number, eight weights step by step, errors on real weights, a whole model."""

from __future__ import annotations

from peftcalc.ui import page
from peftcalc.ui.quantization.model_scale import model_scale
from peftcalc.ui.quantization.one_number import one_number
from peftcalc.ui.quantization.step_by_step import step_by_step
from peftcalc.ui.quantization.the_error import the_error


def main() -> None:
    page.open_page(
        "What do four bits lose?",
        "A format keeps a few values of the number line, and every weight moves to one of them. First one number, then "
        "[eight weights](#step-by-step), then [a million](#the-error), then [a whole model](#model-scale).",
    )
    one_number()
    step_by_step()
    the_error()
    model_scale()


main()
