"""What a whole model's weights take in each format."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.plots import quantization as plots
from peftcalc.quant.model_bytes import ModelBytes, model_bytes
from peftcalc.ui import model_choice, page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.quantization import MODEL
from peftcalc.ui.quantization.numbers import BLOCKS


def a_model() -> None:
    lessons.show_presets(MODEL, "scale")
    controls, result = page.controls_and_result("scale")
    with page.errors_as_sentences():
        with controls:
            shapes = model_choice.choose_model()
            block = state.slider("Block size", BLOCKS, "model-block", 64)
        matrices = [
            (group.in_features * group.out_features, group.repeats)
            for group in shapes.groups
            if group.kind in ("linear", "conv1d") and group.template != shapes.output_embedding
        ]
        quantized = sum(count * repeats for count, repeats in matrices)
        rows = _model_rows(matrices, shapes.total - quantized, block)
        plain, nested = rows["NF4"], rows["NF4, double quantized"]
        saved = plain.total_bytes - nested.total_bytes
        with result:
            page.badge("exact", "bytes of weights alone; training and serving need more")
            first, second, third = st.columns(3)
            first.metric("In 16 bits", units.gb(2 * shapes.total))
            second.metric("NF4, double quantized", units.gb(nested.total_bytes))
            third.metric("Saved by double quantization", units.gb(saved), help=f"{saved:,} bytes")
            show.chart(
                plots.model_chart(_model_frame(rows, 2 * shapes.total)),
                "; ".join(f"{name}: {units.gb(row.total_bytes)}" for name, row in rows.items()),
            )
            st.caption(
                f"{units.short_count(quantized)} of {units.short_count(shapes.total)} parameters lie in linear layers "
                "and are quantized; embeddings, output head, norms and expert tensors stay in 16 bits."
            )
        st.latex(
            rf"\frac{{32 - 8}}{{{block}}} - \frac{{32}}{{256 \cdot {block}}} = {24 / block - 0.125 / block:.9g}"
            r"\text{ bits}"
        )
        st.latex(
            rf"\times\; {quantized:,}".replace(",", "{,}")
            + rf"\;/\;8 = {quantized * (24 / block - 0.125 / block) / 8 / 1e9:.4g}\ \text{{GB}}"
        )
        st.caption("QLoRA, arXiv:2305.14314, section 3, Double Quantization.")


def _model_rows(matrices: list[tuple[int, int]], other: int, block: int) -> dict[str, ModelBytes]:
    return {
        "int8, a scale a matrix": model_bytes(matrices, other, "int8"),
        "int4 blocks": model_bytes(matrices, other, "int4", block),
        "FP4": model_bytes(matrices, other, "fp4", block),
        "MXFP4, blocks of 32": model_bytes(matrices, other, "mxfp4"),
        "NF4": model_bytes(matrices, other, "nf4", block),
        "NF4, double quantized": model_bytes(matrices, other, "nf4", block, double_quant=True),
    }


def _model_frame(rows: dict[str, ModelBytes], bytes_16: int) -> pd.DataFrame:
    parts = [("bfloat16", "not quantized, 16 bits", 2, bytes_16, bytes_16)]
    for name, row in rows.items():
        total = row.total_bytes
        parts.append((name, "codes", 0, row.code_bytes, total))
        parts.append((name, "scales", 1, row.scale_bytes, total))
        parts.append((name, "not quantized, 16 bits", 2, row.other_bytes, total))
    frame = pd.DataFrame(parts, columns=["format", "part", "order", "bytes", "total"])
    last = ~frame.duplicated("format", keep="last")
    frame["text"] = [units.gb(total) if is_last else "" for total, is_last in zip(frame["total"], last, strict=True)]
    frame["gigabytes"], frame["total"] = frame["bytes"] / 1e9, frame["total"] / 1e9
    return frame
