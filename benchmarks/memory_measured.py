"""The estimate, and on wish the simulation, against a table of measured rows: error by row and by group.

    python benchmarks/memory_measured.py TABLE.csv [--simulate] [--only TEXT]

The table has the columns id, card, model (an id or a configuration as JSON), method, rank, alpha, dropout, targets,
double_quant, batch, sequence, options (JSON), measured_allocated (bytes), setup and source. A row is answered on its
own card. What its stack did that the table's options do not name is added by `ADDED`, read in each source's scripts.
Where the row has measured_reserved or measured_process (bytes), the reserve and what nvidia-smi shows are held against
these, and the verdict on a run that did run is counted. The bars of the project: fused attention on one GPU mean 1 %,
worst 4 %; written out 1.5 % and 4 %; experts 10 %; two GPUs mean 8 %, worst 15 %; reserved or shown 6 %; no verdict
"does not fit", and "tight" for a fifth at most.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from peftcalc.evidence.measured import targets_of
from peftcalc.memory.cards import gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.needed import needed_by
from peftcalc.memory.simulate.simulate import simulate_memory
from peftcalc.methods import Method, make_method

ADDED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    # scripts/measure.py repeats keys and values before torch's attention and allows no MATH kernel
    ("fitcheck-llm", '"attention": "sdpa"', {"kernel": "efficient"}),
    # transformers 4.48: experts with linear layers of their own, and its loss; Granite's own loss copies less
    ("refs/a100_80gb.csv", '"loss": "standard"', {"loss": "shifted", "experts": "4bit"}),
    # QLoRA runs that leave the preparation to TRL, which casts the norms alone
    ("refs/a100_80gb.csv", '"kbit_upcast": true', {"preparation": "trl_norms"}),
    # the loop of the runs keeps autocast open over the backward pass
    ("2603.22276", "", {"autocast_scope": "step"}),
)
"""Words of a row's source, words of its options, and the choices that its stack makes."""


def choices_of(row: dict[str, str]) -> dict[str, Any]:
    """The options of the row's stack on the row's card."""
    options = json.loads(row["options"]) | {"card": row["card"].removesuffix(" x2")}
    for source, words, choices in ADDED:
        if source in row["source"] and words in row["options"]:
            options |= choices
    return options


def method_of(row: dict[str, str]) -> Method:
    """The row's method."""
    if row["method"] == "full":
        return make_method("full")
    named: dict[str, Any] = {"rank": int(row["rank"]), "alpha": float(row["alpha"])}
    named["targets"] = targets_of(row["targets"])
    named |= {"dropout": float(row["dropout"] or 0)}
    if row["double_quant"]:
        named["double_quant"] = row["double_quant"] == "True"
    return make_method(row["method"], **named)


def group_of(row: dict[str, str], options: dict[str, Any]) -> tuple[str, str, str]:
    """Card, what is trained, and how attention runs; rows of another stack stand apart."""
    attention = "written out" if options.get("attention") == "eager" else "fused"
    kind = row["method"] + (" of experts" if "mixtral" in row["id"] else "")
    known = row["setup"] == "known"
    return row["card"], kind if known else f"{kind}, {row['setup'][:12]}", attention


def main() -> None:
    """Print one line a row, then mean and worst error by group."""
    parser = argparse.ArgumentParser(description="The estimate against measured rows.")
    parser.add_argument("table", type=Path)
    parser.add_argument("--simulate", action="store_true", help="also trace the step of each row")
    parser.add_argument("--only", default="", help="rows whose id contains this text")
    arguments = parser.parse_args()
    errors: dict[tuple[str, ...], list[float]] = {}
    verdicts: Counter[str] = Counter()
    for row in csv.DictReader(arguments.table.read_text(encoding="utf-8").splitlines()):
        if arguments.only not in row["id"]:
            continue
        options = choices_of(row)
        model = json.loads(row["model"]) if row["model"].startswith("{") else row["model"]
        asked = (model, method_of(row), int(row["batch"]), int(row["sequence"]))
        measured, shown = int(row["measured_allocated"]), []
        for way in ("estimate", "simulation") if arguments.simulate else ("estimate",):
            try:
                answer = estimate_memory(*asked, **options) if way == "estimate" else simulate_memory(*asked, **options)
            except (ValueError, TimeoutError) as error:
                print(f"left out: {way} of {row['id']}: {error}", file=sys.stderr)
                continue
            error = answer.peak / measured - 1
            needs = needed_by(answer, gpu(options["card"]))
            verdicts[f"{way}: {needs.verdict(gpu(options['card']).usable_bytes)}"] += 1
            for what, size, said in (
                ("reserved", row["measured_reserved"], needs.reserved_bytes),
                ("nvidia-smi shows", row["measured_process"], needs.shown_bytes),
            ):
                if int(size or 0):
                    errors.setdefault((row["card"], what, group_of(row, options)[2], way), []).append(
                        said / int(size) - 1
                    )
            errors.setdefault((*group_of(row, options), way), []).append(error)
            shown.append(f"{way} {answer.peak / 2**30:6.2f} {error:+6.1%} {answer.phase}")
        print(f"{row['id'][:66]:66} {measured / 2**30:6.2f} GiB  {'  '.join(shown)}", flush=True)
    print(f"\nverdicts on what ran: {dict(verdicts)}\n")
    for group, values in sorted(errors.items()):
        mean, worst = statistics.mean(map(abs, values)), max(values, key=abs)
        print(f"{' | '.join(group):70} {len(values):3} rows  mean |error| {mean:5.1%}  worst {worst:+6.1%}")


if __name__ == "__main__":
    main()
