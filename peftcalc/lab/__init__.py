"""The five methods at work: adapters, quantized linears, tasks, fine-tuning, direction and magnitude, adapter files."""

from __future__ import annotations

from peftcalc.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "attach": "peftcalc.lab.attachment",
        "detach": "peftcalc.lab.attachment",
        "merge": "peftcalc.lab.attachment",
        "unmerge": "peftcalc.lab.attachment",
        "save_adapter": "peftcalc.lab.files",
        "load_adapter": "peftcalc.lab.files",
        "finetune": "peftcalc.lab.training",
        "compare": "peftcalc.lab.comparison",
        "decompose": "peftcalc.lab.direction",
        "rank_of": "peftcalc.lab.spectrum",
    },
)
