"""The error of chosen numbers in chosen formats: ranking, histograms with code points, trade-off, number line."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from peftcalc.plots import quantization as plots
from peftcalc.quant.compared.formats import VARIANTS, WINDOW, Measured
from peftcalc.quant.compared.upload import read_upload
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.quantization import DEFAULT_VARIANTS, EXPLORER
from peftcalc.ui.quantization import numbers as data
from peftcalc.ui.quantization.as_code import ranking_code

CURVE_BLOCKS = (16, 64, 256, 1024, 4096)
COUNTS = (16_384, 65_536, 262_144, 1_048_576)
OUTLIER_SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
SHARES = {"one number": 0.0, "0.01 %": 1e-4, "0.1 %": 1e-3, "1 %": 1e-2}
KINDS = ("Gaussian", "Gaussian with outliers", "Trained matrix", "Your file")
FEW_BITS = 5
"""A number, at most, of the formats that the sentence compares."""
MATRIX = "layers.0.self_attn.q_proj"


@lessons.taught(EXPLORER, "explorer")
def a_matrix() -> None:
    controls, result = page.controls_and_result("explorer")
    with page.errors_as_sentences():
        with controls:
            choice, count, content = _chosen_numbers()
            block = state.slider("Block size", data.BLOCKS, "block", 64)
            labels = state.several("Formats", tuple(VARIANTS), "formats", DEFAULT_VARIANTS, many=True)
        with result:
            lessons.show_prediction(EXPLORER, "explorer")
            if labels:
                _explorer(choice, count, data.compared(choice, block, _sizes(labels, block), content), block)
            else:
                st.info("Choose at least one format.", icon=":material/info:")


def _sizes(labels: Sequence[str], block: int) -> dict[str, tuple[int, ...]]:
    """The block sizes of each variant's curve: one where it has a size of its own or no blocks."""
    free = {label for label in labels if VARIANTS[label].per == "block" and not VARIANTS[label].own_block}
    return {label: CURVE_BLOCKS if label in free else (block,) for label in labels}


def _chosen_numbers() -> tuple[data.Choice, int, bytes | None]:
    """The choice, how many numbers it has, and the visitor's file."""
    kind = state.menu("Numbers", KINDS, "data", KINDS[0])
    if kind == "Trained matrix":
        layers = data.trained_layers()
        name = state.menu("Layer of the shipped text model", tuple(layers), "matrix", MATRIX)
        return data.Choice(kind, matrix=name), layers[name][0].size, None
    if kind == "Your file":
        return _uploaded(kind)
    outlier, outliers = 0, 0
    count = state.slider("How many", COUNTS, "count", 65_536, "{:,}".format)
    if kind == "Gaussian with outliers":
        outlier = state.slider("Size of the outliers, in σ", OUTLIER_SIZES, "outlier", 50)
        share = SHARES[state.choice("Share of outliers", tuple(SHARES), "share", "one number")]
        outliers = max(1, round(share * count))
    seed = state.slider("Other numbers (seed)", range(6), "noise", 0)
    return data.Choice(kind, count, float(outlier), outliers, seed), count, None


def _uploaded(kind: str) -> tuple[data.Choice, int, bytes | None]:
    file = st.file_uploader("A .safetensors or .npy file", ["safetensors", "npy"], max_upload_size=data.LARGEST_FILE_MB)
    if file is None:
        st.caption(f"Up to {data.LARGEST_FILE_MB} MB. Only numbers are read, nothing is executed or kept.")
        return data.Choice(KINDS[0], COUNTS[1]), COUNTS[1], None
    content = file.getvalue()
    tensors = read_upload(file.name, content)
    name = st.selectbox("Tensor", sorted(tensors, key=lambda key: -math.prod(tensors[key].shape)))
    choice = data.Choice(kind, matrix=name, digest=hashlib.sha256(content).hexdigest(), file=file.name)
    return choice, math.prod(tensors[name].shape), content


def _explorer(choice: data.Choice, count: int, found: data.Compared, block: int) -> None:
    rows = found.rows
    ranking = pd.DataFrame(
        [(row.label, row.family, row.rmse, f"{row.sqnr_db:.1f} dB · {row.bits_per_value:.4g} bits") for row in rows],
        columns=["variant", "format", "rmse", "text"],
    )
    spoken = ", ".join(f"{row.label} {row.rmse:.3g}" for row in rows)
    show.chart(plots.ranking_chart(ranking), f"Root mean square error, the best first: {spoken}.")
    st.markdown(_told(rows))
    page.badge("measured", f"on {count:,} numbers, by quantization_error()")
    pictures = {
        "the codes used": partial(_small_multiples, found),
        "error against bits": partial(_trade_off, found, block),
        "where the error lies": partial(_where, found),
        "table and code": partial(_table_and_code, choice, block, rows),
    }
    pictures[state.choice("Look closer", tuple(pictures), "picture", "the codes used")]()


def _told(rows: Sequence[Measured]) -> str:
    """The ranking in a sentence."""
    few = [row for row in rows if row.bits_per_value <= FEW_BITS]
    if len(few) < 2:
        return "The shorter a bar, the nearer the stored numbers are to the original."
    best, worst = few[0], few[-1]
    factor = f"{worst.rmse / best.rmse:.3g} times as far" if best.rmse else "further"
    return (
        f"The shorter a bar, the nearer the stored numbers are to the original. With about four bits **{best.label}** "
        f"is nearest; {worst.label} is {factor} off."
    )


def _table_and_code(choice: data.Choice, block: int, rows: Sequence[Measured]) -> None:
    show.table(_ranking_table(rows), "quantization-error", "What each format loses")
    show.code(ranking_code(choice, block, [row.label for row in rows]), "quantization_error.py")
    st.latex(r"\mathrm{SQNR} = 10 \log_{10} \frac{\sum x^2}{\sum (\hat x - x)^2}")


def _small_multiples(found: data.Compared) -> None:
    pictures = found.pictures()
    st.caption(
        "Each number divided by the largest of those that share its scale. Red ticks are code points. One outlier with "
        "one scale for all presses the other numbers together around zero, where few codes are left."
    )
    highest = max(float(shown.shares.max()) for shown in pictures.values())
    labels = list(pictures)
    for row in range(0, len(labels), 2):
        for column, label in zip(st.columns(2), labels[row : row + 2], strict=False):
            shown = pictures[label]
            column.markdown(f"**{label}**: {shown.used} of {len(shown.codes)} values used")
            with column:
                show.chart(
                    plots.normalised_chart(shown.places, shown.shares, shown.codes, VARIANTS[label].family, highest),
                    f"Histogram of the normalised numbers for {label}, with its {len(shown.codes)} code points.",
                )
    st.caption(f"The pictures show {WINDOW:,} numbers, the largest among them.")


def _trade_off(found: data.Compared, block: int) -> None:
    labels, points = found.labels, found.points()

    def point(label: str, size: int) -> tuple[str, str, str, float, float]:
        variant = VARIANTS[label]
        shown = f"{variant.own_block or size}" if variant.per == "block" else variant.per
        return label, variant.family, shown, *points[label, size]

    columns = ["variant", "format", "block", "bits", "rmse"]
    curve = pd.DataFrame(
        [point(label, size) for label, sizes in _sizes(labels, block).items() for size in sizes], columns=columns
    )
    here = pd.DataFrame([point(label, block) for label in labels], columns=columns)
    show.chart(
        plots.trade_off_chart(curve, here),
        "Error against bits a number; along a line the block size falls from 4096 to 16. "
        + "; ".join(f"{r['variant']}: {r['bits']:.4g} bits, RMSE {r['rmse']:.3g}" for r in here.to_dict("records")),
    )


def _where(found: data.Compared) -> None:
    shown = [(label, picture, len(picture.line_places)) for label, picture in found.pictures().items()]
    frame = pd.DataFrame(
        {
            "variant": [label for label, _, bins in shown for _ in range(bins)],
            "format": [VARIANTS[label].family for label, _, bins in shown for _ in range(bins)],
            "place": np.concatenate([picture.line_places for _, picture, _ in shown]),
            "share": np.concatenate([picture.line_shares for _, picture, _ in shown]),
        }
    )
    show.chart(plots.error_line_chart(frame), "The share of each format's squared error, by where the numbers lie.")


def _ranking_table(rows: Sequence[Measured]) -> pd.DataFrame:
    columns = ("format", "bits a number", "bytes", "RMSE", "mean error", "largest error", "SQNR, dB")
    frame = pd.DataFrame(
        [(r.label, r.bits_per_value, r.nbytes, r.rmse, r.mean_abs, r.max_abs, r.sqnr_db) for r in rows], columns=columns
    )
    if rows[0].output_error is not None:
        frame["layer's output changes by, %"] = [100 * (row.output_error or 0.0) for row in rows]
    return frame
