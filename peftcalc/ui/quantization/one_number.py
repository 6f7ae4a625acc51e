"""One number in every format; its bits can be clicked."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from peftcalc.plots import quantization_steps as plots
from peftcalc.quant.precision import NUMBER_FORMATS, StoredNumber, from_bits, store
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.quantization import BITS

ABSMAXES = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 100.0)


@st.fragment
def one_number() -> None:
    st.header("One number, bit by bit", anchor="one-number")
    lessons.show_presets(BITS, "bits")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        text = state.text("A number (also inf, nan)", "x", "0.1", limit=40)
        name = state.menu("Bits to click", tuple(NUMBER_FORMATS), "edit", "float16")
        absmax = state.slider("Largest weight, for int8 and int4", ABSMAXES, "absmax", 3.0, "{:g}".format)
    with result, page.errors_as_sentences():
        number = read_number(text)
        stored = _stored_everywhere(number, absmax)
        if name in stored:
            _bit_buttons(stored[name])
        rows = list(stored.values())
        show.chart(
            plots.bits_chart(rows),
            f"The bits of {text} in each format: " + "; ".join(f"{row.format} {row.bit_string}" for row in rows) + ".",
        )
        show.table(_number_table(rows), "one-number-in-every-format", "What each format stores")
        _conversions(number, absmax)
    lessons.show_try_this(BITS, "bits")
    state.link_notes()


def read_number(text: str) -> float:
    try:
        return float(text.replace("_", "").replace(",", "").strip())
    except ValueError:
        raise ValueError(f"a number such as 0.1, -3e-5, inf or nan is needed, got {text!r}") from None


def _stored_everywhere(number: float, absmax: float) -> dict[str, StoredNumber]:
    """The number in every format; whole numbers have a step of absmax / largest code, and no NaN or infinity."""
    stored = {}
    for name, form in NUMBER_FORMATS.items():
        if not form.is_integer:
            stored[name] = store(number, name)
        elif math.isfinite(number):
            stored[name] = store(number, name, step=absmax / form.largest)
    return stored


def _bit_buttons(stored: StoredNumber) -> None:
    """A button for every bit; a click flips it, and the number above becomes what the new pattern stands for."""
    places = iter(range(stored.layout.bits - 1, -1, -1))
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        for part, bits in (("sign", stored.sign), ("exponent", stored.exponent), ("fraction", stored.fraction)):
            if bits:
                with st.container(width="content", gap=None):
                    st.caption("code" if stored.layout.is_integer and part == "fraction" else part)
                    with st.container(horizontal=True, gap=None):
                        for bit in bits:
                            _bit_button(stored, next(places), bit)


def _bit_button(stored: StoredNumber, place: int, bit: str) -> None:
    flipped = from_bits(stored.pattern ^ (1 << place), stored.format, stored.step)
    st.button(
        bit,
        key=f"bit-{stored.format}-{place}",
        help=f"flip it: {flipped.value:.9g}",
        on_click=state.set_controls,
        args=({"x": repr(flipped.value)},),
        type="primary" if bit == "1" else "secondary",
    )


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
    with st.expander("The two common conversions of this number, as formulas and as code"):
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
