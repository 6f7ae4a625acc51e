"""An adapter's file in words, in the order in which a person asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from peftcalc import units
from peftcalc.counting.adapter_files.kinds import STARTS, TAKEN_FROM_THE_BASE, start_of
from peftcalc.counting.adapter_files.other_adapters import AdaLoRA, OtherAdapter
from peftcalc.counting.counts import Count
from peftcalc.methods import LoRA


def sentences(config: Mapping[str, Any], method: LoRA | OtherAdapter, result: Count) -> Iterator[str]:
    """What the file says, what each part trains, and the sum.

    Args:
        config: the content of the file.
        method: the method that it describes.
        result: the count on its base.
    """
    yield from _method_words(config, method, result)
    if config.get("layer_replication"):
        yield (
            f"Layers are repeated ({config['layer_replication']}): copies share the weights of the base, "
            f"{result.base:,} parameters, and each has an adapter of its own."
        )
    for (name, kind, rank), (modules, trainable) in _adapters(result).items():
        own = f" at rank {rank}" if rank != method.rank else ""
        yield f"{name} ({kind}): {modules:,} adapted{own}, {trainable:,} parameters."
    yield from _other_parts(config, method, result)
    yield (
        f"Together {result.trainable:,} of {result.total:,} parameters are trained, {units.percent(result.percent)}; "
        f"the adapter's tensors take {units.gb(result.adapter_bytes_fp32)} in fp32."
    )
    yield from (f"Note: {note}." for note in result.notes)


def _method_words(config: Mapping[str, Any], method: LoRA | OtherAdapter, result: Count) -> Iterator[str]:
    if not isinstance(method, LoRA):
        yield from _other_words(config, method, result)
        return
    what = (
        "DoRA: direction by a low-rank update, magnitude by a trained number per output row"
        if method.decomposed
        else "LoRA: a low-rank update beside each frozen weight"
    )
    yield f"{what}, on {result.model}."
    root = "√r" if method.rslora else "r"
    yield f"Rank r = {method.rank}, α = {method.alpha:g}, so the update is scaled by α/{root} = {method.scaling:.4g}."
    start = start_of(config.get("init_lora_weights", True))
    value = config.get("init_lora_weights", True)
    if start in TAKEN_FROM_THE_BASE:
        yield (
            f"It starts with a part of the weights (init_lora_weights = {value!r}) and belongs to what was left of "
            f"them: {STARTS[start]}."
        )
    elif start != "True":
        yield f"It starts by init_lora_weights = {value!r}: {STARTS[start]}."
    if config.get("alora_invocation_tokens"):
        yield "It acts only from its invocation tokens on (aLoRA), which adds no parameters."


def _other_words(config: Mapping[str, Any], method: OtherAdapter, result: Count) -> Iterator[str]:
    if not isinstance(method, AdaLoRA):
        yield (
            f"VeRA: two trained vectors per layer, of r and of the output's width, around random matrices that all "
            f"layers share, on {result.model}."
        )
        kept = "are in the file" if config.get("save_projection", True) else "are drawn again from a seed"
        yield f"Rank r = {method.rank}; the shared matrices are not trained and {kept}."
        return
    yield (
        f"AdaLoRA: a low-rank update with a diagonal of its own, whose rank moves between layers, on {result.model}."
    )
    yield (
        f"It starts at rank {method.rank} everywhere and is cut to {method.target_rank} on average; "
        f"counted is what it starts with."
    )
    kept = config.get("rank_pattern")
    if isinstance(kept, Mapping) and all(isinstance(row, list) for row in kept.values()):
        left = sum(sum(map(bool, row)) for row in kept.values())
        yield f"Its file says that {left:,} ranks are left in {len(kept):,} layers (rank_pattern)."


def _other_parts(config: Mapping[str, Any], method: LoRA | OtherAdapter, result: Count) -> Iterator[str]:
    """Copies, biases and single rows, which are trained besides the adapters."""
    copies = [part for part in result.parts if part.how == "copy"]
    task_type = config.get("task_type")
    if copies:
        names = ", ".join(dict.fromkeys(part.module for part in copies))
        why = f", which task type {task_type} adds" if task_type in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS") else ""
        yield f"Trained in full as copies{why}: {names}, {sum(part.trainable for part in copies):,} parameters."
    biases = sum(part.trainable for part in result.parts if part.how == "bias")
    if biases:
        yield f"Biases of the base are trained too ({method.bias}): {biases:,} parameters."
    for part in result.parts:
        if part.how == "tokens":
            rows = part.each // (part.out_features if part.kind == "embedding" else part.in_features)
            yield (
                f"{rows:,} {'row' if rows == 1 else 'rows'} of {part.module} are trained apart from the table "
                f"(trainable_token_indices): {part.each:,} parameters."
            )
    if config.get("ensure_weight_tying"):
        yield "Tied embeddings are kept together where one of them is trained (ensure_weight_tying)."


def _adapters(result: Count) -> dict[tuple[str, str, int], list[int]]:
    """How many modules of each name have an adapter, and with how many parameters."""
    rows: dict[tuple[str, str, int], list[int]] = {}
    for part in result.parts:
        if part.how == "adapter":
            row = rows.setdefault((part.suffix, part.kind, part.rank), [0, 0])
            row[0] += part.repeats
            row[1] += part.trainable
    return rows
