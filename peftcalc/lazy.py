"""Names that are loaded when they are first used, so that importing one room does not pay for all of them.

`lazy_names` is for the face of a package. `upstairs` is the one door that leads up in the house: a public method that
lives higher than its object (a method's code is made in `recipes`) is found by name in `UPSTAIRS`, and nowhere else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

UPSTAIRS = {
    "Method.to_code": "peftcalc.recipes.python_code:method_code",
    "Quantized.save": "peftcalc.quant.files:save_quantized",
    "Quantized.load": "peftcalc.quant.files:load_quantized",
}
"""Where the work of these public methods is done, as `module:name`: above their object."""


def upstairs(method: str) -> Callable[..., Any]:
    """The function that does the work of a public method, such as "Method.to_code".

    >>> upstairs("Method.to_code").__name__
    'method_code'
    """
    module, name = UPSTAIRS[method].split(":")
    return getattr(importlib.import_module(module), name)


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A module-level `__getattr__` for `package` that finds each name in the module which `modules` gives for it."""

    def load(name: str) -> Any:
        module = modules.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = importlib.import_module(module)
        value = found if module == f"{package}.{name}" else getattr(found, name)  # a room that can be called
        setattr(sys.modules[package], name, value)
        return value

    return load
