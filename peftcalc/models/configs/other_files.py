"""Files that are given in place of a model's `config.json`: what each of them is, and what to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEAD_BYTES = 512
"""How much of a file tells what it is."""

_WANTED = "give the model's config.json, which stands beside it"

_BY_FIELD = {
    "peft_type": "this is an adapter_config.json of peft, which describes an adapter and not its base model; read it "
    "with read_adapter_config, or give the config.json of its base model{base_model_name_or_path}",
    "_class_name": "this is a config of diffusers{_class_name}, whose models are not built here; build the module and "
    "give it to load_model",
    "_diffusers_version": "this is a config of diffusers, whose models are not built here; build the module and give "
    "it to load_model",
    "weight_map": f"this is an index of weight files (safetensors or PyTorch shards), not a configuration; {_WANTED}",
    "__metadata__": f"this is the header of a safetensors file, not a configuration; {_WANTED}",
    "tokenizer_class": f"this is a tokenizer_config.json, which says nothing of the model's weights; {_WANTED}",
    "added_tokens": f"this is a tokenizer.json, which says nothing of the model's weights; {_WANTED}",
    "chat_template": f"this is a tokenizer_config.json, which says nothing of the model's weights; {_WANTED}",
    "image_processor_type": f"this is a preprocessor_config.json, which says nothing of the weights; {_WANTED}",
    "feature_extractor_type": f"this is a preprocessor_config.json, which says nothing of the weights; {_WANTED}",
    "processor_class": f"this is a processor's config, which says nothing of the model's weights; {_WANTED}",
    "_from_model_config": f"this is a generation_config.json, which says nothing of the model's weights; {_WANTED}",
    "max_new_tokens": f"this is a generation_config.json, which says nothing of the model's weights; {_WANTED}",
    "zero_optimization": "this is a configuration of DeepSpeed, which describes a training and no model; give the "
    "model's config.json",
    "log_history": "this is a trainer_state.json, which describes a training and no model; give the model's "
    "config.json",
    "pretrained_cfg": "this is a config of timm{architecture}, which transformers builds only through timm_wrapper; "
    "build the module with timm and give it to load_model",
    "word_embedding_dimension": f"this is a pooling config of sentence-transformers; {_WANTED} one folder up",
    "__version__": f"this is a config of sentence-transformers, which names versions and no weights; {_WANTED}",
    "n_heads": "this looks like Meta's params.json, which is another format; give the config.json of the same model's "
    "version for transformers",
}
"""A field that only such a file has, and the sentence; names in braces are fields whose value is quoted."""

_QUOTED = ("base_model_name_or_path", "_class_name", "architecture")

_BY_HEAD = (
    (b"GGUF", "a GGUF file with weights of llama.cpp"),
    (b"version https://git-lfs", "a pointer of Git LFS: the file itself was not downloaded; run `git lfs pull`, or"),
    (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint (pickled weights, never opened here)"),
    (b"\x80\x02", "a pickle or a PyTorch checkpoint, which is never opened here"),
    (b"\x80\x04", "a pickle or a PyTorch checkpoint, which is never opened here"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x89HDF", "an HDF5 file with weights of TensorFlow or Keras"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"<!doctype", "a web page in HTML: the download gave the page about the file and not the file"),
    (b"<html", "a web page in HTML: the download gave the page about the file and not the file"),
)
"""The first bytes of files of other kinds, in lower case where they are text."""


def refuse_other_json(config: Any) -> None:
    """Raise a ValueError for a JSON object that is known to be another file than a model's `config.json`.

    >>> refuse_other_json({"log_history": []})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: this is a trainer_state.json, which describes a training and no model; ...
    """
    if not isinstance(config, Mapping) or config.get("model_type") or config.get("architectures"):
        return
    for field, sentence in _BY_FIELD.items():
        if field in config:
            quoted = {
                name: _quoted(config.get(name)) for name in ("base_model_name_or_path", "_class_name", "architecture")
            }
            raise ValueError(sentence.format(**quoted))


def _a(what: str) -> str:
    """With its article."""
    return f"an {what}" if what[:1] in "aeiou" else f"a {what}"


def other_file(head: bytes, size: int, what: str) -> str | None:
    """What a file is that begins with `head` and cannot be JSON; None when it may be."""
    if _is_safetensors(head, size):
        return f"this is a safetensors file with weights, not {_a(what)}; give the {what} that stands beside it"
    text = head.lstrip().lower()
    for beginning, kind in _BY_HEAD:
        if head.startswith(beginning) or text.startswith(beginning):
            do = f" give the {what}" if kind.endswith(", or") else f"; give the {what} that stands beside it"
            if beginning == b"GGUF":
                do = f"; give the {what} of the model that it was converted from"
            return f"this is {kind}{'' if kind.endswith(', or') else f', not {_a(what)}'}{do}"
    return None


def other_folder(folder: Path) -> str | None:
    """What a folder without a `config.json` holds instead, as a sentence; None when nothing is recognised."""

    def holds(pattern: str) -> bool:
        return next(folder.glob(pattern), None) is not None

    if holds("adapter_config.json"):
        return (
            f"{folder} holds an adapter of peft and no config.json; read it with read_adapter_config, or give its base "
            "model"
        )
    if holds("model_index.json"):
        return (
            f"{folder} holds a pipeline of diffusers, whose models are not built here; build the module and give it to "
            "load_model"
        )
    if holds("*.gguf"):
        return f"{folder} holds a GGUF file and no config.json; give the config.json of the model it was converted from"
    if holds("*.safetensors") or holds("*.bin"):
        return f"{folder} holds weights and no config.json; download the config.json that stands beside them"
    return None


def _is_safetensors(head: bytes, size: int) -> bool:
    """A length in eight bytes that fits the file, and then JSON."""
    return len(head) > 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= max(size - 8, 2)


def _quoted(value: Any) -> str:
    text = str(value) if isinstance(value, str) and value else ""
    return f" ({text[:80]})" if text else ""
