"""How many parameters a method trains: exactly what peft would say, from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from peftcalc.counting.adapted_modules import adapted_modules, saved_roots
from peftcalc.counting.adapter_size import adapter_part
from peftcalc.counting.copies_and_biases import bias_parts, copied_adapters, copied_again, copy_parts
from peftcalc.counting.counts import Count, part_of
from peftcalc.counting.notes import adapter_notes
from peftcalc.methods import LoRA, Method
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes
from peftcalc.models.tasks import known_task_type, task_shapes
from peftcalc.targets import pattern_deadline

_HEADS = {
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}
"""What peft adds to `modules_to_save` for a task."""


def count(
    shapes: ModelShapes | Any, method: Method, task_type: str | None = None, num_labels: int | None = None
) -> Count:
    """How many parameters `method` trains on a model, to the parameter as peft 0.21 would.

    LoRA trains `r · (in + out)` per linear layer, `r · out` where A is frozen, DoRA `out` more; full fine-tuning trains
    every parameter. A quantized base is counted by its logical parameters, so QLoRA counts as LoRA does and QDoRA as
    DoRA.

    Args:
        shapes: what `load_model` returns, or anything that it accepts.
        method: one of the five.
        task_type: peft's `task_type`. The class is the one that a user of peft loads for it (see `task_shapes`);
            "SEQ_CLS" and "TOKEN_CLS" train its classification head in full and "QUESTION_ANS" its answer head.
        num_labels: outputs of that head; default what the configuration says, or else 2, which a note then says.

    Raises:
        ValueError: targets that match nothing, or a combination that peft refuses.

    >>> result = count({"model_type": "gpt2"}, LoRA(rank=8, targets=["c_attn"]))
    >>> result.trainable, result.total, round(result.percent, 4)
    (294912, 124734720, 0.2364)
    """
    method = known_method(method)
    task_type = known_task_type(task_type)
    model = task_shapes(load_model(shapes), task_type, num_labels)
    if isinstance(method, LoRA):
        with pattern_deadline():
            counted = _count_adapter(model, method, task_type)
    else:
        counted = _count_full(model, method)
    part_of_module = model.part_names()
    named = ((part, part_of_module(part.module)) for part in counted.parts)
    parts = tuple(replace(part, part=name) if name else part for part, name in named)
    notes = (*model.notes, *_head_note(model, method, task_type), *counted.notes)
    return replace(counted, parts=parts, architecture=model.architecture, notes=notes)


def known_method(method: Any) -> Method:
    """The method, or a ValueError for what is none."""
    if not isinstance(method, Method):
        raise ValueError(f"a method is Full(), LoRA(), DoRA(), QLoRA() or QDoRA(), got {method!r}")
    return method


def task_heads(shapes: ModelShapes, task_type: str | None) -> tuple[str, ...]:
    """The modules that peft trains in full for a task, by their full names.

    >>> task_heads(load_model({"model_type": "gpt2"}), "SEQ_CLS")
    ()
    """
    return tuple(saved_roots(shapes, _HEADS.get(task_type or "", ())))


def _head_note(shapes: ModelShapes, method: Method, task_type: str | None) -> Iterator[str]:
    """peft knows a task's head by its name alone; T5's `classification_head` stays frozen."""
    heads = _HEADS.get(task_type or "", ()) if isinstance(method, LoRA) else ()
    if heads and not task_heads(shapes, task_type):
        yield (
            f"peft trains {' or '.join(heads)} in full for {task_type}; {shapes.architecture} has no module of that "
            "name, so its own head stays frozen unless modules_to_save names it"
        )


def _count_full(shapes: ModelShapes, method: Method) -> Count:
    """Every parameter is trained, except those which the architecture itself keeps fixed."""
    parts = tuple(
        part_of(group, "full", sum(t.parameters for t in group.tensors if not t.frozen), group.indices)
        for group in shapes.groups
        if group.parameters_each
    )
    trainable = sum(part.trainable for part in parts)
    fixed = shapes.total - trainable
    notes = (f"{fixed:,} parameters are fixed by the architecture and never trained",) if fixed else ()
    return Count(shapes.id, method, shapes.total, trainable, shapes.total, shapes.total, parts, notes)


def _count_adapter(shapes: ModelShapes, method: LoRA, task_type: str | None = None) -> Count:
    """Adapters, magnitudes, trained biases and saved copies."""
    _refuse_combination(method)
    heads = _HEADS.get(task_type or "", ())
    saving = replace(method, modules_to_save=(*method.modules_to_save, *heads)) if heads else method
    # peft tells the matcher about the head of a sequence classifier beforehand, about the other heads too late
    adapted = adapted_modules(shapes, saving if task_type == "SEQ_CLS" else method, task_type)
    roots = saved_roots(shapes, saving.modules_to_save)
    adapters = tuple(adapter_part(entry, method) for entry in adapted)
    copies = tuple(copy_parts(shapes, roots))
    biases = tuple(bias_parts(shapes, method, adapted, roots))
    added, biased = sum(part.held for part in (*adapters, *copies)), sum(part.trainable for part in biases)
    trainable = sum(part.trainable for part in (*adapters, *copies)) + biased
    total = shapes.total + added + copied_adapters(adapted, adapters, roots)
    total += copied_again(shapes, saving.modules_to_save, roots, bool(heads))
    notes = tuple(adapter_notes(shapes, method, adapted, roots, trainable, total))
    parts = (*adapters, *copies, *biases)
    return Count(shapes.id, method, shapes.total, trainable, total, added + biased, parts, notes)


def _refuse_combination(method: LoRA) -> None:
    """Options that `peft.LoraConfig` does not take together."""
    if method.decomposed and method.lora_bias:
        raise ValueError("peft refuses lora_bias together with DoRA; leave one of them out")
    if method.layers_to_transform is not None and isinstance(method.targets, str):
        raise ValueError("peft refuses layers_to_transform together with all-linear; give targets as names")
    if method.layers_pattern and method.layers_to_transform is None:
        raise ValueError("peft refuses layers_pattern without layers_to_transform; name the layers too")
    for name in method.modules_to_save:
        if "lora_dropout".endswith(name) or "base_layer".endswith(name):
            raise ValueError(
                f"modules_to_save names {name!r}, as which parts of the adapters end too (lora_dropout, base_layer), "
                "and peft would copy those; name a module by more of its name"
            )
