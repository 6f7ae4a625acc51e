"""Compute what travels with the story on the first page, and train its five small adapters: about five minutes.

`python scripts/store_story.py` writes `peftcalc/ui/story/presets.json`; `--numbers` leaves the adapters as they are.
"""

from __future__ import annotations

import json
import sys

import stored
import torch

import peftcalc as pc
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.ui.story.presets import COUNTRIES, FILE, computed

SHOWN = 8


def main() -> None:
    torch.set_num_threads(1)
    told = json.loads(FILE.read_text()) if FILE.exists() else {}
    if "--numbers" not in sys.argv:
        told |= {"adapters": [adapter(country) for country in COUNTRIES], "made": stored.made("torch")}
    numbers = TASKS["names"].sizes["base parameters"]
    told["base"] = {"parameters": numbers, "bytes": 4 * numbers}
    FILE.write_text(json.dumps(told | computed(), separators=(",", ":")) + "\n")
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")


def adapter(country: str) -> dict:
    """What an adapter of rank 8 for one country's names makes before and after a hundred steps, and what it weighs."""
    run = pc.finetune("names", pc.LoRA(rank=8, alpha=16), steps=100, evaluations=1, country=country, device="cpu")
    records = list(run)
    first, last = records[0], records[-1]
    print(country, last.validation, last.metrics, last.samples, flush=True)
    return {
        "task": country,
        "before": list(first.samples[:SHOWN]),
        "after": list(last.samples[:SHOWN]),
        "judged": [round(float(one.metrics["judged"]), 3) for one in (first, last)],
        "copied": round(float(last.metrics["copied"]), 3),
        "trained": last.trainable,
        "bytes": last.adapter_bytes,
    }


if __name__ == "__main__":
    main()
