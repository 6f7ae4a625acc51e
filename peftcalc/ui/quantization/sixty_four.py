"""Sixty-four weights on their way to few bits and back: all of it moves in the browser."""

from __future__ import annotations

import streamlit as st

from peftcalc.ui import page, show
from peftcalc.ui.components.codes import SIZES, codes, codes_data, weights_of
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.quantization import WEIGHTS


def sixty_four_weights() -> None:
    controls, result = page.controls_and_result("codes")
    with controls:
        lessons.show_prediction(WEIGHTS, "codes")
        lessons.show_presets(WEIGHTS, "codes")
    begun = codes_data(rail=True)
    with result:
        state = {**begun, **codes(rail=True, key="codes")}
    lessons.show_try_this(WEIGHTS, "codes")
    code = st.expander("These weights, as code", key="codes-code", on_change="rerun")
    if code.open:
        with code:
            size = state["size"] if state["size"] in SIZES else begun["size"]
            show.code(weights_code(weights_of(begun, state), state["format"], int(size)), "weights.py")


def weights_code(weights: list[float], form: str, size: int) -> str:
    """Python that quantizes these weights and prints codes, scales and errors."""
    return (
        f"import numpy as np\n\nimport peftcalc as pc\n\nweights = np.array({weights!r}, dtype=np.float32)\n"
        f'quantized = pc.quantize(weights, "{form}", block_size={size})\n'
        "print(quantized.code_values(), quantized.scales, quantized.bits_per_value, sep='\\n')\n"
        "print(quantized.dequantize())\n"
        f'print(pc.quantization_error(weights, "{form}", block_size={size}))\n'
    )
