"""Makes the bundled catalogue from the facts in `scripts/catalogue_facts/`.

Every model is built on the meta device from its configuration and read; a count that differs from the published one
stops the script, so that a row which cannot be confirmed is never written. Run it after a change of the facts or of the
record of shapes:

    .venv/bin/python scripts/build_catalogue.py            write the index and the shapes
    .venv/bin/python scripts/build_catalogue.py --check    build and compare only

A fact file holds groups of models that share a part of their configuration; what a model says itself wins. The
published count, the place where it was printed (`source`), the licence and the context length are facts too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from peftcalc.models.build import build_shapes
from peftcalc.models.catalogue import DATA_FOLDER, INDEX_FILE, SHAPES_FOLDER, CatalogueEntry, shapes_file
from peftcalc.models.shapes import ModelShapes, ModuleGroup

FACTS_FOLDER = Path(__file__).parent / "catalogue_facts"
MAX_SHAPES_BYTES = 20_000
"""A compressed file above this means that equal layers were not gathered."""


@dataclass(frozen=True)
class Facts:
    """One model's facts: what the entry in the catalogue says of it, and its configuration.

    Args:
        entry: the fields of `CatalogueEntry` that are facts and not read from the model.
        config: the content of its `config.json`.
        untied: tensors that the released checkpoint holds on their own although an empty build ties them.
        card: the total that the model card shows when it is another one, and what else that total counts.
    """

    entry: dict[str, Any]
    config: dict[str, Any]
    untied: tuple[str, ...] = ()
    card: dict[str, Any] | None = None


def read_facts(folder: Path = FACTS_FOLDER) -> Iterator[Facts]:
    """The facts of every model, family after family."""
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8"))["groups"]:
            shared = {name: value for name, value in group.items() if name not in ("config", "models")}
            for model in group["models"]:
                said = shared | {name: value for name, value in model.items() if name != "config"}
                untied, card = tuple(said.pop("untied", ())), said.pop("card", None)
                entry = {"note": _card_note(card) if card else "", "published_digits": 0} | said
                yield Facts(entry, group["config"] | model["config"], untied, card)


def build(facts: Facts) -> tuple[CatalogueEntry, ModelShapes]:
    """The model built from its configuration, and its row.

    Raises:
        ValueError: the count differs from the published one, or does not explain the card's total.
    """
    shapes = build_shapes(facts.config, facts.entry["id"])
    shapes = replace(shapes, groups=tuple(_untie(group, facts.untied) for group in shapes.groups))
    entry = CatalogueEntry.from_dict(
        {**facts.entry, **_dimensions(facts.config), "architecture": shapes.architecture, "parameters": shapes.total}
    )
    if not entry.confirmed:
        raise ValueError(f"{entry.id}: built {entry.parameters:,} parameters, published {entry.published:,}")
    if facts.card and entry.parameters + sum(count for _, count in facts.card["also"]) != facts.card["total"]:
        raise ValueError(f"{entry.id}: {facts.card} does not add up to the card's total from {entry.parameters:,}")
    return entry, shapes


def write(models: Iterable[tuple[CatalogueEntry, ModelShapes]]) -> None:
    """The index and one file of shapes a model; files of models that are no longer listed are removed."""
    models = sorted(models, key=lambda model: (model[0].family, model[0].parameters, model[0].id))
    SHAPES_FOLDER.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(asdict(entry), ensure_ascii=False) for entry, _ in models)
    INDEX_FILE.write_text(f'{{"models": [\n{rows}\n]}}\n', encoding="utf-8")
    for entry, shapes in models:
        text = json.dumps(shapes.to_dict(), separators=(",", ":"))
        packed = gzip.compress(text.encode(), mtime=0)  # no date: equal models give equal bytes
        if len(packed) > MAX_SHAPES_BYTES:
            raise ValueError(f"{entry.id}: {len(packed):,} bytes of shapes; the limit is {MAX_SHAPES_BYTES:,}")
        shapes_file(entry.id).write_bytes(packed)
    for path in set(SHAPES_FOLDER.glob("*.json.gz")) - {shapes_file(entry.id) for entry, _ in models}:
        path.unlink()


def _card_note(card: dict[str, Any]) -> str:
    """What a model card's total counts besides the parameters."""
    also = ", ".join(f"{what} ({count:,})" for what, count in card["also"])
    return f"The card's total of {card['total']:,} also counts {also}."


def _untie(group: ModuleGroup, untied: tuple[str, ...]) -> ModuleGroup:
    """The group with the named tensors owning their storage."""
    tensors = tuple(
        replace(tensor, tied_to=None) if f"{group.template}.{tensor.name}" in untied else tensor
        for tensor in group.tensors
    )
    return group if tensors == group.tensors else replace(group, tensors=tensors)


def _dimensions(config: dict[str, Any]) -> dict[str, int]:
    """Layers, widths and heads under one set of names, as transformers' own configuration classes translate them."""
    from transformers import CONFIG_MAPPING

    full = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    text: Any = full.get_text_config() if hasattr(full, "text_config") else full
    if full.is_encoder_decoder:
        layers = getattr(full, "encoder_layers", full.num_hidden_layers) + getattr(
            full, "decoder_layers", getattr(full, "num_decoder_layers", 0)
        )
    else:
        layers = text.num_hidden_layers
    heads = text.num_attention_heads
    return {
        "layers": layers,
        "hidden_size": text.hidden_size,
        "heads": heads,
        "kv_heads": _kv_heads(text) or heads,
        "head_dim": _head_dim(text) or text.hidden_size // heads,
        "vocab_size": getattr(text, "vocab_size", 0),
    }


def _kv_heads(text: Any) -> int | None:
    """Falcon has three ways to say it; the rest have one."""
    if text.model_type == "falcon" and not text.new_decoder_architecture:
        return 1 if text.multi_query else None
    return getattr(text, "num_key_value_heads", None) or getattr(text, "num_kv_heads", None)


def _head_dim(text: Any) -> int | None:
    """Width of one query head; with latent attention (DeepSeek) the part with positions and the part without."""
    if getattr(text, "kv_lora_rank", None):
        return text.qk_nope_head_dim + text.qk_rope_head_dim
    return getattr(text, "head_dim", None) or getattr(text, "d_kv", None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the bundled catalogue from the facts.")
    parser.add_argument("--check", action="store_true", help="build and compare, but write nothing")
    arguments = parser.parse_args()
    models, failures = [], []
    for facts in read_facts():
        try:
            models.append(build(facts))
        except ValueError as error:
            failures.append(f"{facts.entry['id']}: {error}")
    print(f"{len(models)} models confirmed, {len(failures)} not")
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        return 1
    if not arguments.check:
        write(models)
        size = sum(path.stat().st_size for path in DATA_FOLDER.rglob("*") if path.is_file())
        print(f"wrote {size:,} bytes to {DATA_FOLDER}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
