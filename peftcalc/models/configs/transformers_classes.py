"""What transformers makes of a raw configuration: its own configuration object and its own class, without its advice.

Both ways to a model without memory, its shapes and the traced step, begin here.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from logging import CRITICAL, getLogger
from typing import Any

IGNORED = ("auto_map", "quantization_config", "_attn_implementation", "attn_implementation")
"""Code from a repository is never run, a quantized checkpoint is counted by its logical parameters, and how attention
is computed is for the step to say."""


def config_object(config: Mapping[str, Any]) -> Any:
    """The configuration object of transformers for the content of a `config.json`.

    Raises:
        ValueError: a model type that transformers does not have.
    """
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise ValueError(f"transformers has no model_type {model_type!r}")
    kept = {key: value for key, value in config.items() if key not in IGNORED}
    return CONFIG_MAPPING[model_type].from_dict(copy.deepcopy(kept))  # which changes what it is given


def class_called(name: str) -> Any:
    """The model class of this name that transformers ships.

    Raises:
        ValueError: it ships none.
    """
    import transformers

    found = getattr(transformers, name, None)
    if found is None:
        raise ValueError(f"transformers has no class {name!r}")
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Advice of the libraries about settings is not about counting or memory."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    complaints = getLogger("torch._subclasses.fake_tensor")  # logs a traceback before it raises the error
    complaints_level = complaints.level
    complaints.setLevel(CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        complaints.setLevel(complaints_level)
