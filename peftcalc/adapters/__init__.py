"""The five methods as layers on any `torch.nn.Module`: attach, merge, switch, and peft's files.

`layers/` the ladder base → lora → dora, over either base · `layer_choice` which layers a method names,
`bare_parameters` which single parameters · `slots` and `state` what is changed in a module and how it is undone ·
`attach` the verbs, `switching` those for several adapters · `base_saving` what `save_pretrained` saves meanwhile ·
`files/` peft's format, both ways.

`peftcalc.adapters` is this room and a public name too: called with a module, it answers as `state.adapters` does.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from peftcalc.lazy import explained


class _Room(ModuleType):
    def __call__(self, module: Any) -> dict[str, Any]:
        """The attached adapters by name, and their methods; empty when nothing is attached."""
        with explained("peftcalc.adapters"):
            return importlib.import_module("peftcalc.adapters.state").adapters(module)


sys.modules[__name__].__class__ = _Room
