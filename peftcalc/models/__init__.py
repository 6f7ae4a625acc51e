"""What a model is made of: shapes of every weight; the bundled catalogue; any config.json or hub id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.lazy import lazy_names

# `catalogue` is a function and the module it lives in; see the same remark in `peftcalc/__init__.py`.
from peftcalc.models.catalogue import catalogue, catalogue_ids, catalogue_shapes

if TYPE_CHECKING:
    from peftcalc.models.files import parse_json
    from peftcalc.models.load import load_model
    from peftcalc.models.read import read_module
    from peftcalc.models.shapes import ModelShapes, ModuleGroup, Tensor

__all__ = [
    "ModelShapes",
    "ModuleGroup",
    "Tensor",
    "catalogue",
    "catalogue_ids",
    "catalogue_shapes",
    "load_model",
    "parse_json",
    "read_module",
]

_MODULES = {
    "ModelShapes": "shapes",
    "ModuleGroup": "shapes",
    "Tensor": "shapes",
    "load_model": "load",
    "parse_json": "files",
    "read_module": "read",
}

__getattr__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
