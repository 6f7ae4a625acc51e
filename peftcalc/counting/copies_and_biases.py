"""What is trained besides adapters: copies of saved modules (`modules_to_save`) and biases of the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from peftcalc.counting.adapted_modules import Adapted, refuse_list, saved_modules
from peftcalc.counting.counts import Part, part_of
from peftcalc.methods import LoRA
from peftcalc.models.shapes import ModelShapes, ModuleGroup


def copy_parts(shapes: ModelShapes, roots: Iterable[str]) -> Iterator[Part]:
    """The trained copies of saved modules; weights tied to elsewhere are copied too."""
    for root in roots:
        seen: set[str] = set()
        for name, group in shapes.modules():
            if name != root and not name.startswith(f"{root}."):
                continue
            each = 0
            for tensor in group.tensors:
                owner = tensor.tied_to or f"{name}.{tensor.name}"
                each += 0 if owner in seen else tensor.numel
                seen.add(owner)
            if each:
                yield replace(part_of(group, "copy", each, ()), module=name)


def copied_again(shapes: ModelShapes, names: Iterable[str], roots: list[str], has_head: bool) -> int:
    """Frozen parameters of saved modules inside saved modules: peft copies them once more, and trains the last copy.

    A module two levels below one that is copied is taken for that one's own copy (peft 0.21, `_set_trainable`) and is
    left alone.

    Args:
        shapes: the model.
        names: `modules_to_save`.
        roots: the outermost modules that they name.
        has_head: a task adds its head to them; peft then goes through them twice.

    Raises:
        ValueError: a saved module inside is a list of modules, or is copied a third time.
    """
    if not roots:
        return 0
    copied, frozen = set(roots), 0
    for name in saved_modules(shapes, names):
        if name in copied or name.rpartition(".")[0].rpartition(".")[0] in copied:
            continue
        refuse_list(shapes, name)
        if has_head:
            raise ValueError(
                f"{name} lies in another module that is saved, and with a task's head peft copies it a third time; "
                "leave it out of modules_to_save"
            )
        copied.add(name)
        frozen += sum(part.each for part in copy_parts(shapes, [name]))
    return frozen


def copied_adapters(adapted: list[Adapted], parts: Iterable[Part], roots: list[str]) -> int:
    """Frozen parameters of adapters that lie inside a saved module: its copy trains, the original's stay behind.

    Raises:
        ValueError: a saved module is itself adapted, which peft refuses.
    """
    if not roots:
        return 0
    frozen = 0
    for entry, part in zip(adapted, parts, strict=True):
        for name in entry.names():
            held = name.removesuffix(f".{entry.parameter.name}") if entry.parameter else name
            if held in roots:
                raise ValueError(
                    f"{name} is adapted and in modules_to_save (peft adds a task's head there); name it once"
                )
            frozen += (part.each + part.frozen) * any(name.startswith(f"{root}.") for root in roots)
    return frozen


def bias_parts(shapes: ModelShapes, method: LoRA, adapted: list[Adapted], roots: list[str]) -> Iterator[Part]:
    """Biases of the base that are trained: all, or those of adapted modules; not those of saved modules."""
    if method.bias == "none":
        return
    chosen: dict[str, ModuleGroup] = {}
    if method.bias == "all":
        chosen = {name: group for name, group in shapes.modules() if group.bias}
    else:
        inside: set[str] = set()  # torch's attention: the bias of its output projection is trained, not the fused one
        for entry in adapted:
            if entry.group.kind == "attention":
                inside |= {f"{name}.out_proj" for name in entry.names()}
            elif entry.group.bias:
                chosen |= {entry.group.name(index): entry.group for index in entry.indices or (None,)}
        if inside:
            chosen |= {name: group for name, group in shapes.modules() if group.bias and name in inside}
    trained: set[str] = set()
    for name, group in chosen.items():
        if any(name == root or name.startswith(f"{root}.") for root in roots):
            continue
        bias = group.bias
        assert bias is not None
        owner = bias.tied_to or f"{name}.bias"
        if owner not in trained:
            trained.add(owner)
            yield replace(part_of(group, "bias", bias.numel, ()), module=name)
