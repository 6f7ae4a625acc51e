"""The bundled catalogue: models that people fine-tune, with the shapes of their weights already computed.

`scripts/build_catalogue.py` makes the data from the configurations in `scripts/catalogue_facts/`: it builds every
model with transformers on the meta device, compares the count with the published one, and writes what it read. So an
answer from the catalogue opens one index and one file of about a kilobyte; neither torch nor transformers is imported.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.checks import nearest
from peftcalc.lazy import explained
from peftcalc.models.shapes import ModelShapes

if TYPE_CHECKING:
    from pandas import DataFrame

DATA_FOLDER = Path(__file__).parent / "data"
INDEX_FILE = DATA_FOLDER / "catalogue.json"
SHAPES_FOLDER = DATA_FOLDER / "shapes"


@dataclass(frozen=True)
class CatalogueEntry:
    """What the catalogue says about a model, apart from its weights.

    Args:
        id: the name on the Hugging Face hub; a plain name for a model that was never released.
        family: the name under which people look for it: "Llama 3.1".
        parameters: all parameters, tied weights once, buffers not.
        layers: transformer blocks; those of the encoder and of the decoder together.
        hidden_size: width of the residual stream (of the language model, where there is a vision tower too).
        heads, kv_heads: attention heads, and those of keys and values.
        head_dim: width of one head; not always `hidden_size / heads`.
        vocab_size: rows of the token embedding; 0 for a model without tokens.
        context: the longest sequence, in tokens, that its authors say it is made for.
        architecture: the model's class in transformers.
        licence: of the weights.
        gated: True when the hub asked for consent before a download at the time of writing, or has no weights at all.
        source: where the published count stands that `parameters` was compared with.
        note: what must be known to compare the two; empty when they are simply equal.
        published: the published count.
        published_digits: how many leading digits of `published` its source prints; 0 for all of them.
        aliases: other names for the same shapes: instruct versions, old ids, mirrors, and what people type.
    """

    id: str
    family: str
    parameters: int
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    context: int
    architecture: str
    licence: str
    gated: bool
    source: str
    note: str
    published: int
    published_digits: int
    aliases: tuple[str, ...] = ()

    @property
    def confirmed(self) -> bool:
        """True when `parameters` equals the published count, to as many digits as were published.

        >>> catalogue_entry("Llama-3.1-8B").confirmed
        True
        """
        if not self.published_digits:
            return self.parameters == self.published
        return f"{self.parameters:.{self.published_digits - 1}e}" == f"{self.published:.{self.published_digits - 1}e}"

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> CatalogueEntry:
        """The entry that a row of the index describes."""
        return cls(**{**record, "aliases": tuple(record.get("aliases", ()))})


def catalogue() -> DataFrame:
    """The bundled models as a table, one row a model, by family and then by size.

    The index is the model's id, the columns are the other fields of `CatalogueEntry` except its aliases.

    >>> int(catalogue().loc["mistralai/Mistral-7B-v0.1", "parameters"])
    7241732096
    """
    with explained("the catalogue as a table"):
        from pandas import DataFrame

    return DataFrame(catalogue_rows()).set_index("id")


def catalogue_rows() -> list[dict[str, Any]]:
    """The rows of `catalogue()` as plain records, the id first.

    >>> catalogue_rows()[0].keys() >= {"id", "family", "parameters", "layers", "licence"}
    True
    """
    names = [field.name for field in fields(CatalogueEntry) if field.name != "aliases"]
    return [{name: getattr(entry, name) for name in names} for entry in _entries().values()]


def catalogue_ids() -> tuple[str, ...]:
    """The ids of the bundled models, in the catalogue's order: by family, then by size.

    >>> "meta-llama/Llama-3.1-405B" in catalogue_ids()
    True
    """
    return tuple(_entries())


def catalogue_id(name: str) -> str | None:
    """The catalogue's id for a name that a person types, or None when the catalogue has no such model.

    The case does not matter. An alias will do, and so will the part after the slash when only one model has it.

    >>> catalogue_id("gpt2"), catalogue_id("llama-3.1-8b-instruct"), catalogue_id("my/model")
    ('openai-community/gpt2', 'meta-llama/Llama-3.1-8B', None)
    """
    return _names().get(name.strip().lower())


def catalogue_entry(name: str) -> CatalogueEntry:
    """The catalogue's row for a model, by any name that `catalogue_id` understands.

    Raises:
        ValueError: no such model; the nearest names are offered.
    """
    return _entries()[_required_id(name)]


def catalogue_shapes(name: str) -> ModelShapes:
    """The shapes of a bundled model, by any name that `catalogue_id` understands.

    Raises:
        ValueError: no such model; the nearest names are offered.

    >>> catalogue_shapes("microsoft/Phi-3-mini-4k-instruct").total
    3821079552
    """
    return _shapes(_required_id(name))


def shapes_file(model_id: str) -> Path:
    """The file with the shapes of a model.

    >>> shapes_file("google/gemma-2-2b").name
    'google--gemma-2-2b.json.gz'
    """
    return SHAPES_FOLDER / f"{model_id.replace('/', '--')}.json.gz"


def _required_id(name: str) -> str:
    found = catalogue_id(name) if isinstance(name, str) else None
    if found is None:
        near = nearest(str(name), [*_entries(), *(alias for entry in _entries().values() for alias in entry.aliases)])
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise ValueError(f"{name!r} is not in the catalogue of {len(_entries())} models{hint}")
    return found


@cache
def _entries() -> dict[str, CatalogueEntry]:
    """The index, read once."""
    records = json.loads(INDEX_FILE.read_text(encoding="utf-8"))["models"]
    return {record["id"]: CatalogueEntry.from_dict(record) for record in records}


@cache
def _names() -> dict[str, str]:
    """Every name in lower case → id. A short name that two models share names neither."""
    short: dict[str, set[str]] = {}
    full: dict[str, str] = {}
    for entry in _entries().values():
        for name in (entry.id, *entry.aliases):
            full[name.lower()] = entry.id
            short.setdefault(name.rpartition("/")[2].lower(), set()).add(entry.id)
    return {name: next(iter(ids)) for name, ids in short.items() if len(ids) == 1} | full


@cache
def _shapes(model_id: str) -> ModelShapes:
    """The shapes of one model, shared by all callers: nobody may change its `config`."""
    packed = shapes_file(model_id).read_bytes()
    return ModelShapes.from_dict(json.loads(gzip.decompress(packed)))
