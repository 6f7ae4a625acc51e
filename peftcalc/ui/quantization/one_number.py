"""One number in every format: its bits are clicked in the browser, the rest is told here."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from peftcalc.quant.precision import NUMBER_FORMATS, StoredNumber, store
from peftcalc.ui import page, show
from peftcalc.ui.components.bits import bits, bits_data
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.quantization import BITS


def one_number() -> None:
    controls, result = page.controls_and_result("bits", 0.24 if page.projector() else 0.285)
    with controls:
        lessons.show_prediction(BITS, "bits")
        lessons.show_presets(BITS, "bits")
    with result:
        state = {**bits_data(), **bits(key="bits")}
    lessons.show_try_this(BITS, "bits")
    _details(float(state["x"]), float(state["absmax"]))


def _details(number: float, absmax: float) -> None:
    """Computed when they are opened."""
    table = st.expander("What each format stores, with its neighbours and limits", key="bits-table", on_change="rerun")
    if table.open:
        with table:
            rows = list(stored_everywhere(number, absmax).values())
            show.table(_number_table(rows), "one-number-in-every-format", "What each format stores")
    formulas = st.expander("float32 → float16 → int8, as formulas and as code", key="bits-code", on_change="rerun")
    if formulas.open:
        with formulas:
            _conversions(number, absmax)


def stored_everywhere(number: float, absmax: float) -> dict[str, StoredNumber]:
    """The number in every format; whole numbers have a step of absmax / largest code, and no NaN or infinity."""
    stored = {}
    for name, form in NUMBER_FORMATS.items():
        if not form.is_integer:
            stored[name] = store(number, name)
        elif math.isfinite(number):
            stored[name] = store(number, name, step=absmax / form.largest)
    return stored


def _number_table(rows: list[StoredNumber]) -> pd.DataFrame:
    """What each format stores, in text, since infinities and tiny numbers share the columns."""
    return pd.DataFrame(
        [
            {
                "format": row.format,
                "stored": f"{row.value:.9g}",
                "kind": row.kind,
                "error": f"{row.error:.3g}",
                "next below": f"{row.below:.7g}",
                "next above": f"{row.above:.7g}",
                "largest": f"{row.layout.largest * row.step:.6g}",
                "smallest normal": f"{row.layout.smallest_normal * row.step:.3g}",
                "machine epsilon": f"{row.layout.epsilon * row.step:.3g}",
            }
            for row in rows
        ]
    )


def _conversions(number: float, absmax: float) -> None:
    half = store(number, "float16")
    st.markdown("**float32 → float16**: keep 5 exponent bits and the nearest 10 fraction bits, ties to even.")
    if half.kind == "normal":
        exponent, fraction = int(half.exponent, 2), int(half.fraction, 2)
        st.latex(rf"(-1)^{{{half.sign}}} \cdot 2^{{{exponent} - 15}} \cdot (1 + {fraction}/1024) = {half.value!r}")
    else:
        st.markdown(f"Here the result is {half.kind}: {half.value:g}.")
    if math.isfinite(number):
        st.markdown("**float32 → int8**, absmax: divide by the step, round half to even, stay within ±127.")
        code = store(number, "int8", step=absmax / 127)
        whole = int(code.bit_string, 2) - 256 * int(code.sign)
        st.latex(rf"q = \mathrm{{round}}({number:g} \cdot 127 / {absmax:g}) = {whole}, \quad")
        st.latex(rf"\hat x = {whole} \cdot {absmax:g} / 127 = {code.value:.7g}")
    show.code(
        f'import math\n\nfrom peftcalc.quant import NUMBER_FORMATS, store\n\nx = float("{number!r}")\n'
        "for name, form in NUMBER_FORMATS.items():\n    if not form.is_integer:\n        print(store(x, name))\n"
        f"    elif math.isfinite(x):\n        print(store(x, name, step={absmax!r} / form.largest))",
        "one_number.py",
    )
