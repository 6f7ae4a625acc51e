"""Do the tensors' names fit the config, the base model, and what peft reads?

Kinds of faults that people meet: huggingface/peft issues 1579 and 2898 (keys under another prefix or another module's
name, which peft leaves out with a warning at most), tensors of size zero after DeepSpeed's ZeRO-3 or FSDP, and names
that a wrapper (torch.compile, DataParallel) has changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from peftcalc.checks import nearest
from peftcalc.counting.adapted_modules import Adapted, adapted_modules, saved_roots
from peftcalc.counting.adapter_file import AdapterReport
from peftcalc.doctor.findings import Findings, many, some
from peftcalc.doctor.keys import Key
from peftcalc.doctor.settings import Settings
from peftcalc.doctor.tensor_file import FLOATS, Entry
from peftcalc.methods import LoRA
from peftcalc.models.shapes import CONVOLUTION_KINDS, LINEAR_KINDS, ModelShapes, ModuleGroup

Tensors = Mapping[Key, Entry]

FACTORS = ("A", "B", "magnitude", "B's bias")
_HEADS = ("score", "classifier", "qa_outputs")
_EXPERT = re.compile(r"\.experts\.\d+\.")


def check_names(tensors: Tensors, found: Findings) -> None:
    """Names that peft does not read: odd prefixes, wrappers, other formats, an adapter's name left in."""
    by_oddity: dict[str, list[str]] = defaultdict(list)
    adapters: dict[str, list[str]] = defaultdict(list)
    for key in tensors:
        for oddity in key.oddities:
            by_oddity[oddity].append(key.name)
        if key.adapter:
            adapters[key.adapter].append(key.name)
    for oddity, names in by_oddity.items():
        found.fault(f"the name of {many(len(names), 'tensor')} {oddity}; peft does not read such names: {some(names)}")
        found.unmatched += names
    for adapter, names in adapters.items():
        left = f"the adapter's name {adapter!r} was left in {many(len(names), 'key')} ({some(names[:1])})"
        if adapter == "default":
            found.note(f"{left}; peft 0.21 reads them under that adapter name alone, older releases leave them out")
        else:
            found.fault(f"{left}; peft looks for keys without it and leaves these out")
            found.unmatched += names


def check_pairs(tensors: Tensors, settings: Settings, found: Findings) -> None:
    """Every module has an A and a B, magnitudes where the config says DoRA, and tensors that hold anything."""
    modules: dict[str, dict[str, Key]] = defaultdict(dict)
    for key in tensors:
        if key.role in FACTORS:
            if key.role in modules[key.module]:
                found.note(f"{key.module} has its {key.role} twice in the file; the first is measured")
            modules[key.module].setdefault(key.role, key)
    empty = [k.name for k, e in tensors.items() if e.numel == 0 or (k.role in ("A", "B") and len(e.shape) < 2)]
    if empty:
        found.fault(
            f"{many(len(empty), 'tensor')} of size zero or without two sides: {some(empty)}; so files look that were "
            "saved from DeepSpeed's ZeRO-3 or FSDP without gathering the weights first"
        )
    whole = [k.name for k, e in tensors.items() if k.role in FACTORS and e.dtype not in FLOATS]
    if whole:
        found.fault(f"the factors {some(whole)} hold whole numbers, not floating-point ones")
    for role, other in (("A", "B"), ("B", "A")):
        lonely = [module for module, roles in modules.items() if role in roles and other not in roles]
        if lonely:
            found.fault(f"{many(len(lonely), 'module has', 'modules have')} {role} and no {other}: {some(lonely)}")
    plain = [module for module, roles in modules.items() if "A" in roles and "magnitude" not in roles]
    if settings.dora and plain:
        found.fault(
            f"the config says use_dora, and {many(len(plain), 'module has', 'modules have')} no magnitude: "
            f"{some(plain)}"
        )
    magnitudes = [roles["magnitude"].name for roles in modules.values() if "magnitude" in roles]
    if magnitudes and not settings.dora:
        found.fault(f"the file has DoRA's magnitudes ({some(magnitudes)}), and the config does not say use_dora")
        found.unmatched += magnitudes


def check_targets(tensors: Tensors, settings: Settings, found: Findings) -> None:
    """Without the base model: every adapted module is a target, and every target has a module."""
    if settings.targets is None:
        return
    decided: dict[str, bool] = {}
    for key in tensors:
        if key.role in FACTORS and key.owner not in decided:
            within = key.owner.rpartition(".")[0] if ".base_layer." in key.module else None
            decided[key.owner] = settings.is_target(key.owner) or bool(
                within is not None and settings.is_target(within)
            )
    strangers = [module for module, is_one in decided.items() if not is_one]
    if strangers:
        names = [key.name for key in tensors if key.role in FACTORS and key.owner in set(strangers)]
        found.fault(
            f"{many(len(names), 'tensor belongs', 'tensors belong')} to modules that the config does not name as "
            f"targets: {some(strangers)}; peft leaves them out"
        )
        found.unmatched += names
    targets = settings.targets.targets
    if isinstance(targets, str):
        return
    bare = [t for t in targets if not any(m == t or m.endswith(f".{t}") for m in decided)]
    if bare:
        found.fault(f"no tensor in the file belongs to the target {some(bare)} of the config")
        found.missing += bare


def check_base(tensors: Tensors, report: AdapterReport, shapes: ModelShapes, found: Findings) -> None:
    """With the base model: every key has its module, and every module that peft adapts has its keys."""
    if not isinstance(report.method, LoRA):
        return
    modules = {name: group for group in (*shapes.groups, *shapes.bare) for name in group.names}
    adapted = adapted_modules(shapes, report.method, report.task_type)
    wanted = {name for entry in adapted for name in _owners(entry)}
    present = {key.owner for key in tensors if key.role in FACTORS}
    translated = bool(shapes.expert_names) and any(_EXPERT.search(f"{name}.") for name in present)
    absent = {key.name: key.owner for key in tensors if key.owner not in modules and key.role != "foreign"}
    if report.task_type in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"):  # a head that peft's user puts on the base
        absent = {name: owner for name, owner in absent.items() if owner.partition(".")[0] not in _HEADS}
    if translated:
        older = [name for name, owner in absent.items() if _EXPERT.search(f"{owner}.")]
        absent = {name: owner for name, owner in absent.items() if name not in set(older)}
        found.note(
            f"{many(len(older), 'key names', 'keys name')} single experts, as older releases of transformers had "
            "them; peft translates these to the stacked ones on loading"
        )
        wanted = {name for name in wanted if not name.endswith("experts")}
    if absent:
        _unknown(absent, modules, found)
    missing = sorted(wanted - present)
    if missing:
        found.fault(
            f"the config adapts {many(len(missing), 'module')} of which the file has no tensors, so that they would "
            f"start from zero again: {some(missing)}"
        )
        found.missing += missing
    _check_saved(tensors, report, shapes, found)
    _check_shapes(tensors, modules, found)


def _unknown(absent: Mapping[str, str], modules: Mapping[str, ModuleGroup], found: Findings) -> None:
    """Keys of modules that the base does not have, with the nearest name that it has."""
    first = next(iter(absent.values()))
    last = first.rpartition(".")[2]
    near = nearest(first, [n for n in modules if n.endswith(last)][:2000], 1) or nearest(first, list(modules)[:2000], 1)
    hint = f"; nearest: {near[0]}" if near else ""
    found.fault(
        f"{many(len(absent), 'tensor matches', 'tensors match')} no module of the base model: {some(list(absent))}"
        f"{hint}"
    )
    found.unmatched += absent


def _owners(entry: Adapted) -> Iterable[str]:
    """The modules in which an adapted entry's tensors lie (a parameter's are kept with its module)."""
    return (entry.group.name(index) for index in entry.indices or (None,))


def _check_saved(tensors: Tensors, report: AdapterReport, shapes: ModelShapes, found: Findings) -> None:
    """Modules that are trained in full are in the file."""
    owners = {key.owner for key in tensors if key.role in ("copy", "base")}
    copied = {part.module for part in report.count.parts if part.how == "copy"}
    lacking = [root for root in saved_roots(shapes, report.method.modules_to_save) if root not in _inside(owners)]
    lacking += sorted(name for name in copied - owners if not any(name.startswith(root) for root in lacking))
    if lacking:
        found.fault(f"{some(lacking)} is trained in full (modules_to_save), and the file does not hold it")
        found.missing += lacking


def _inside(owners: Iterable[str]) -> set[str]:
    """Every module above or equal to one of these."""
    above: set[str] = set()
    for owner in owners:
        parts = owner.split(".")
        above |= {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return above


def _check_shapes(tensors: Tensors, modules: Mapping[str, ModuleGroup], found: Findings) -> None:
    """The factors' widths are the base's, and whole tables have the base's shape."""
    wrong, resized = [], []
    for key, entry in tensors.items():
        group = modules.get(key.module)
        if group is None or not entry.numel:
            continue
        expected = _width(key, group)
        if expected and len(entry.shape) >= 2 and entry.shape[1 if key.role == "A" else 0] != expected:
            wrong.append(f"{key.name} {entry.shape} where the base is {expected:,} wide")
        own = group.tensor(key.parameter) if key.role in ("copy", "base") else None
        if own and own.shape != entry.shape:
            table = len(entry.shape) == 2 and entry.shape[1:] == own.shape[1:]
            (resized if table else wrong).append(f"{key.name} {entry.shape} in place of {own.shape}")
    if wrong:
        found.fault(f"{many(len(wrong), 'tensor does', 'tensors do')} not fit the base model: {some(wrong)}")
    if resized:
        found.note(
            f"the vocabulary or the number of labels is another than the base's: {some(resized)}; resize the base "
            "before peft loads this"
        )


def _width(key: Key, group: ModuleGroup) -> int:
    """What the second side of A, or the first of B, must be; 0 where it is not decided here."""
    if group.kind not in (*LINEAR_KINDS, *CONVOLUTION_KINDS, "embedding"):
        return 0
    return {"A": group.in_features, "B": group.out_features}.get(key.role, 0)
