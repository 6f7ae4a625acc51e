"""`peftcalc quantize`: what each tensor of a file, or a Gaussian matrix, costs and loses in few bits."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc import units
from peftcalc.checks import whole_number
from peftcalc.commands import add_json, number, print_json, print_table

if TYPE_CHECKING:
    from torch import Tensor

    from peftcalc.quant.files.bitsandbytes_layout import StoredWeight

_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_MOST = 2**40


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("quantize", help="bytes and error of tensors in few bits")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "file",
        nargs="?",
        metavar="FILE.safetensors",
        help="every floating-point tensor of this file; or what its quantized tensors are",
    )
    source.add_argument("--normal", metavar="ROWSxCOLUMNS", help="a matrix of normal random numbers instead, 4096x4096")
    formats = "nf4, fp4, mxfp4, int8, int4, int2, int8_zeropoint … (default nf4)"
    parser.add_argument("--format", default=None, help=formats)
    sizes = "numbers that share a scale (nf4, fp4: 64; mxfp4: 32)"
    parser.add_argument("--block-size", type=number, default=None, help=sizes)
    parser.add_argument("--per", default=None, help="integer formats: one scale per tensor, row or block")
    parser.add_argument("--double-quant", action="store_true", help="store the block scales in 8 bits (nf4, fp4)")
    parser.add_argument("--seed", type=number, default=0, help="of --normal (default 0)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from peftcalc.quant.formats import make_layout

    source = Path(arguments.file).name if arguments.normal is None else arguments.normal
    if arguments.normal is None and (found := _stored(Path(arguments.file))):
        _print_stored(found, source, arguments)
        return
    name = "nf4" if arguments.format is None else arguments.format
    layout = make_layout(name, arguments.block_size, arguments.double_quant, arguments.per)
    choices = {"format": name, "block_size": layout.block_size, "per": layout.per}
    choices["double_quant"] = layout.double_quant
    normal = arguments.normal
    tensors = _from_file(Path(arguments.file)) if normal is None else _normal(normal, arguments.seed)
    rows = [_row(name, tensor, choices) for name, tensor in tensors]
    if not rows:
        raise ValueError(f"{source} holds no floating-point tensor")
    total = _total(rows)
    if arguments.json:
        print_json({**choices, **total, "name": source, "tensors": rows, "total": total})
        return
    cells = [_cells(row) for row in rows]
    if len(rows) > 1:
        cells.append(_cells(total))
    header = ["tensor", "shape", "numbers", "before", "after", "bits", "RMSE", "largest error", "SQNR"]
    print_table(cells, header)


def _stored(path: Path) -> list[StoredWeight]:
    """The tensors of a file that are quantized already, in bitsandbytes' layout or ours; none in any other file."""
    from peftcalc.quant.files.doors import describe

    return describe(path)


def _print_stored(found: list[StoredWeight], source: str, arguments: argparse.Namespace) -> None:
    """What tensors that are quantized already are; nothing of them is quantized again."""
    rows = [
        {
            "name": weight.name,
            "shape": list(weight.shape),
            "count": weight.count,
            "format": weight.layout.form.name,
            "per": weight.layout.per,
            "block_size": weight.layout.block_size,
            "double_quant": weight.layout.double_quant,
            "dtype": str(weight.dtype).removeprefix("torch."),
            "original_nbytes": weight.count * weight.dtype.itemsize,
            "nbytes": weight.nbytes,
            "bits_per_value": weight.bits_per_value,
        }
        for weight in found
    ]
    total: dict[str, Any] = {key: sum(row[key] for row in rows) for key in ("count", "original_nbytes", "nbytes")}
    total["bits_per_value"] = sum(row["bits_per_value"] * row["count"] for row in rows) / total["count"]
    if arguments.json:
        kinds = ("format", "per", "block_size", "double_quant")
        alike = {key: rows[0][key] if all(row[key] == rows[0][key] for row in rows) else None for key in kinds}
        print_json({**alike, **total, "name": source, "quantized": True, "tensors": rows, "total": total})
        return
    asked = arguments.format or arguments.block_size or arguments.per or arguments.double_quant
    print(f"{source} is quantized already{'; it is not quantized again' if asked else ''}")
    cells = [_stored_cells(row) for row in rows]
    if len(rows) > 1:
        cells.append(_stored_cells({"name": "total", **total}))
    print_table(cells, ["tensor", "shape", "numbers", "format", "scales", "dtype", "before", "now", "bits"])


def _stored_cells(row: dict[str, Any]) -> list[str]:
    scales = ""
    if "per" in row:
        scales = f"blocks of {row['block_size']:,}" if row["per"] == "block" else f"per {row['per']}"
        scales += ", double quantized" if row["double_quant"] else ""
    return [
        row["name"],
        " × ".join(f"{side:,}" for side in row.get("shape", ())),
        units.short_count(row["count"]),
        row.get("format", ""),
        scales,
        row.get("dtype", ""),
        units.gib(row["original_nbytes"]),
        units.gib(row["nbytes"]),
        f"{row['bits_per_value']:.6g}",
    ]


def _normal(text: str, seed: int) -> Iterator[tuple[str, Tensor]]:
    """One matrix of normal numbers, of the sides that `text` names: "4096x4096"."""
    import torch

    from peftcalc.quant.inputs import need_memory

    sides = text.lower().replace("×", "x").split("x")
    if not sides or not all(side.strip().isdecimal() for side in sides):
        raise ValueError(f"--normal must be sides such as 4096x4096, got {text!r}")
    shape = [whole_number("side", int(side), 1, _MOST) for side in sides]
    whole_number("seed", seed, 0, 2**63 - 1)
    need_memory(12 * math.prod(shape), f"a {text} matrix")
    yield "normal", torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _from_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Every floating-point tensor that is not empty, read one at a time."""
    from peftcalc.quant.files.sources import InFile, opened

    with opened(path) as file:
        source = InFile(file)
        for name in source.names():
            kind, shape = source.kind(name)
            if kind in _FLOATS and 0 not in shape:
                yield name, source.tensor(name)


def _row(name: str, tensor: Tensor, choices: dict[str, Any]) -> dict[str, Any]:
    from peftcalc.quant import quantization_error

    try:
        error = quantization_error(tensor, **choices)
    except ValueError as refused:
        raise ValueError(f"tensor {name}: {refused}") from None
    return {
        "name": name,
        "shape": list(tensor.shape),
        "count": tensor.numel(),
        "original_nbytes": tensor.nbytes,
        "nbytes": error.nbytes,
        "bits_per_value": error.bits_per_value,
        "rms": error.rms,
        "rmse": error.rmse,
        "mean_abs": error.mean_abs,
        "max_abs": error.max_abs,
        "sqnr_db": error.sqnr_db,
    }


def _total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All tensors as one."""
    count = sum(row["count"] for row in rows)
    noise = sum(row["rmse"] ** 2 * row["count"] for row in rows)
    signal = sum(row["rms"] ** 2 * row["count"] for row in rows)
    nbytes = sum(row["nbytes"] for row in rows)
    return {
        "name": "total",
        "count": count,
        "original_nbytes": sum(row["original_nbytes"] for row in rows),
        "nbytes": nbytes,
        "bits_per_value": sum(row["bits_per_value"] * row["count"] for row in rows) / count,
        "rms": math.sqrt(signal / count),
        "rmse": math.sqrt(noise / count),
        "mean_abs": sum(row["mean_abs"] * row["count"] for row in rows) / count,
        "max_abs": max(row["max_abs"] for row in rows),
        "sqnr_db": 10 * math.log10(signal / noise) if noise and signal else math.inf,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["name"],
        " × ".join(f"{side:,}" for side in row["shape"]) if "shape" in row else "",
        units.short_count(row["count"]),
        units.gib(row["original_nbytes"]),
        units.gib(row["nbytes"]),
        f"{row['bits_per_value']:.6g}",
        f"{row['rmse']:.3g}",
        f"{row['max_abs']:.3g}",
        f"{row['sqnr_db']:.1f} dB" if math.isfinite(row["sqnr_db"]) else "exact",
    ]
