"""`peftcalc adapter`: what an existing adapter holds, whether it is sound, and a smaller one out of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from peftcalc import units
from peftcalc.commands import add_json, number, print_json, print_table

if TYPE_CHECKING:
    from peftcalc.doctor.cut import CutAdapter
    from peftcalc.doctor.report import AdapterInspection, LayerUpdate


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("adapter", help="what an existing adapter holds, and how far it can be cut")
    parser.add_argument("source", metavar="PATH", help="an adapter's folder, one of its files, or a hub id")
    parser.add_argument("--base", help="its base model: catalogue id, path or hub id (default: as its config says)")
    parser.add_argument("--layers", action="store_true", help="every module, not only every name")
    parser.add_argument("--rank", type=number, help="write the nearest adapter of this rank to --out")
    parser.add_argument("--out", metavar="FOLDER", help="where to write the smaller adapter")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from peftcalc.doctor.cut import cut_adapter
    from peftcalc.doctor.examine import inspect_adapter

    if (arguments.rank is None) != (arguments.out is None):
        raise ValueError("--rank and --out belong together: the rank of the smaller adapter, and its folder")
    result = inspect_adapter(arguments.source, arguments.base)
    cut = cut_adapter(arguments.source, arguments.rank, arguments.out) if arguments.rank is not None else None
    if arguments.json:
        print_json(result.as_dict() | ({"cut": cut.as_dict()} if cut else {}))
    else:
        _print(result, arguments.layers)
        if cut:
            _print_cut(cut)
    return 0 if result.sound else 1


def _print(result: AdapterInspection, every: bool) -> None:
    print(f"{result.name}: {result.method or 'no config'}, base {result.base or 'unknown'}\n")
    facts = [["file", units.gb(result.file_bytes)], ["numbers in it", f"{result.stored_parameters:,}"]]
    if result.count:
        facts.insert(0, ["percent of total", units.percent(result.count.percent)])
        facts.insert(0, ["trainable", f"{result.count.trainable:,}"])
    print_table(facts, ["exact", "value"])
    if result.stored:
        print()
        rows = [[s.part, s.dtype, f"{s.tensors:,}", f"{s.parameters:,}", units.gb(s.nbytes)] for s in result.stored]
        print_table(rows, ["part", "type", "tensors", "numbers", "bytes"])
    if result.layers:
        print()
        _print_layers(result, every)
    for fault in result.faults:
        print(f"\nFault: {fault}.")
    for note in result.notes:
        print(f"\nNote: {note}.")


def _print_layers(result: AdapterInspection, every: bool) -> None:
    """The updates: a row per module, or per last part of the modules' names."""
    groups: dict[str, list[LayerUpdate]] = {}
    for layer in result.layers:
        groups.setdefault(layer.module if every else layer.module.rpartition(".")[2], []).append(layer)
    ranks = list(result.energy)
    rows = [_row(name, layers, ranks) for name, layers in groups.items()]
    rows.append(_row("all", list(result.layers), ranks))
    relative = any(layer.relative_norm is not None for layer in result.layers)
    header = ["update s·BA", "modules", "r", "norm", "spectral", "eff. rank", *(f"≤ {rank}" for rank in ranks)]
    if relative:
        header.insert(4, "of W")
        for row, layers in zip(rows, [*groups.values(), list(result.layers)], strict=True):
            known = [layer.relative_norm for layer in layers if layer.relative_norm is not None]
            row.insert(4, units.percent(100 * sum(known) / len(known)) if known else "")
    print_table(rows, header)
    print(
        "norm: root of the sum of squares; of W and effective rank: mean; spectral: largest; ≤ k: energy within rank k"
    )


def _row(name: str, layers: list[LayerUpdate], ranks: list[int]) -> list[str]:
    from peftcalc.doctor.report import energy_kept

    total = sum(layer.frobenius_norm**2 for layer in layers)
    highest = max(layer.rank for layer in layers)
    lowest = min(layer.rank for layer in layers)
    kept = energy_kept(layers)
    shares = [kept[min(rank, len(kept)) - 1] for rank in ranks]
    return [
        name,
        f"{len(layers):,}",
        f"{highest}" if highest == lowest else f"{lowest}–{highest}",
        f"{total**0.5:.4g}",
        f"{max(layer.spectral_norm for layer in layers):.4g}",
        f"{sum(layer.effective_rank for layer in layers) / len(layers):.3g}",
        *(units.percent(100 * share) for share in shares),
    ]


def _print_cut(cut: CutAdapter) -> None:
    lost = units.percent(cut.energy_lost_percent)
    print(
        f"\nWrote {cut.folder}: rank {cut.rank}, {units.gb(cut.file_bytes)} in place of "
        f"{units.gb(cut.file_bytes_before)}, {lost} of the energy lost."
    )
    for note in cut.notes:
        print(f"\nNote: {note}.")
