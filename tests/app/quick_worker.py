"""A worker whose "finetune" needs no torch and no time: curves that fall, one file for each adapter."""

import time

from peftcalc.jobs.worker import serve
from peftcalc.lab.record_json import record_to_json
from peftcalc.lab.records import StepRecord

SAMPLES = ("Motsubara", "[Takehama](javascript:x)")


def finetune(parameters, folder):
    """Every run loses 1 % of its loss a step; a learning rate of 0.1 is refused, 0.03 dies."""
    runs = parameters["runs"]
    if runs[0]["learning_rate"] == 0.1:
        raise ValueError("learning_rate must be below 0.1 <script>alert(1)</script>, got 0.1")
    if runs[0]["learning_rate"] == 0.03:
        raise SystemExit(9)
    steps = runs[0]["steps"] or 100
    for step in range(steps + 1):
        time.sleep(0.01)
        records = []
        for run in runs:
            loss = 2.0 * 0.99**step + 0.01 * run["seed"]
            look = {
                "validation": loss,
                "samples": ("Motsubara", "[Takehama](javascript:x)"),
                "metrics": {"judged": 0.5},
            }
            record = StepRecord(step, steps, loss, seconds=step / 100, trainable=10, adapter_bytes=40, peak_bytes=99)
            told = record_to_json(record, run["run"])
            records.append(told | look if step % 10 == 0 else told)
        if step == steps:
            for run in runs:
                (folder / f"{run['run']}.zip").write_bytes(b"zip")
        yield step, step / steps, records


def stacked(parameters, folder):
    """Every run ends at a loss of its seed; a group every 0.2 seconds."""
    for number, group in enumerate(parameters["groups"], 1):
        time.sleep(0.2)
        figures = {"metrics": {"accuracy": 0.5}, "trainable": 10, "peak_bytes": 99, "seconds": 0.1, "loss": 1.0}
        yield (
            number,
            number / len(parameters["groups"]),
            [
                {"run": run["run"], "step": step, "validation": 0.5 + run["seed"] if step else 2.0, **figures}
                for run in group
                for step in (0, run["steps"])
            ],
        )


KINDS = {"finetune": finetune, "stacked": stacked}

if __name__ == "__main__":
    serve(KINDS, lambda: {"devices": [["cpu", "CPU"], ["cuda", "A Card"]]})
