"""Code to take away: Python that loads a model, applies a method with transformers and peft, and prints the count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from peftcalc.advice.cards import REPEAT_HEADS
from peftcalc.checks import one_of
from peftcalc.memory.estimate.anatomy import anatomy
from peftcalc.methods import LoRA, Method, QLoRA
from peftcalc.methods.starts import changes_base, rounds
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.model_class import AS_THE_MODEL, ModelClass, model_class
from peftcalc.recipes.model_source import configuration, literal, model_source

DTYPES = ("bfloat16", "float16", "float32")

NO_WEIGHTS = """\
# Only a configuration is known, so the model is built without storage: the count is exact, nothing can be trained.
# To train, load the folder that has the weights: model = {name}.from_pretrained("folder")"""
ASK_THE_CARD = """\
# bfloat16 needs compute capability 8.0; a T4 or V100 has 7.x and takes float16.
OLD_CARD = torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0)
DTYPE = torch.float16 if OLD_CARD else torch.bfloat16"""
WHY_REPEATED = "  # no fused kernel there lets query heads share keys and values"
SHARED_HEADS = "from transformers.integrations import sdpa_attention"


def method_code(
    method: Method,
    task_type: str | None = AS_THE_MODEL,
    model: ModelShapes | Any = None,
    dtype: str | None = None,
    num_labels: int | None = None,
) -> str:
    """Python text that loads a model, applies this method with transformers and peft, and prints what is trained.

    Args:
        method: one of the five.
        task_type: one of peft's; "auto" for the class that the model was counted as, None for the same without a task
            type in peft's configuration.
        model: what `load_model` returns or accepts; None for a small open model. A configuration without a name has no
            weights: the code then builds it on the meta device, and counts.
        dtype: "bfloat16", "float16" or "float32"; None for a line that asks the card.
        num_labels: classes of a classifier.

    Raises:
        ValueError: a task type, dtype or number of labels that there is not.
    """
    if dtype is not None:
        one_of("dtype", dtype, DTYPES)
    source = model_source(model)
    loaded = model_class(source.shapes, task_type, num_labels)
    on_meta = source.name is None
    if on_meta:
        head = [f"CONFIG = {literal(configuration(source.shapes))}"]
        body = from_configuration(loaded)
    else:
        head = [f'MODEL = "{source.name}"', dtype_lines(dtype)]
        body = from_weights(method, loaded)
    if not on_meta and isinstance(method, QLoRA) and rounds(method.init):
        body += adapter_lines(replace(method, init="default"), source.shapes, loaded)
        body += ["replace_lora_weights_loftq(model)  # reads the weights again, for what 4 bits have lost of them"]
    elif not on_meta and isinstance(method, QLoRA) and changes_base(method.init):
        body = residual_first(method, loaded, body)
    else:
        body += adapter_lines(method, source.shapes, loaded, on_meta)
    if plus(method) and not on_meta:
        body += ["# LoRA+: the optimizer to train it with", *loraplus_lines(method, "torch.optim.AdamW", "lr=2e-4")]
    return "\n".join([*import_lines(method, loaded, on_meta), "", *head, "", *body]) + "\n"


def import_lines(method: Method, loaded: ModelClass, on_meta: bool = False, more: Iterable[str] = ()) -> list[str]:
    """The imports of a script, with `more` names of transformers."""
    names = {loaded.name, *more}
    if on_meta:
        names.add("AutoConfig")
    elif method.quantized:
        names.add("BitsAndBytesConfig")
    lines = ["import torch"]
    if isinstance(method, LoRA):
        prepare = ", prepare_model_for_kbit_training" if method.quantized and not on_meta else ""
        if prepare and changes_base(method.init):
            loftq = rounds(method.init)
            prepare = f"{prepare}, replace_lora_weights_loftq" if loftq else f", PeftModel{prepare}"
        lines.append(f"from peft import LoraConfig, get_peft_model{prepare}")
        if plus(method) and not on_meta:
            lines.append("from peft.optimizers import create_loraplus_optimizer")
    return [*lines, _wrapped("from transformers import ", sorted(names), "")]


def dtype_lines(dtype: str | None) -> str:
    """The constant DTYPE: the type that was chosen, or the one that the card has."""
    return f"DTYPE = torch.{dtype}" if dtype else ASK_THE_CARD


def repeated_heads(shapes: ModelShapes, dtype: str | None) -> list[str]:
    """Lines that repeat keys and values on cards where no fused kernel lets query heads share them, for training.

    Args:
        shapes: the model; one whose query heads share nothing needs no line.
        dtype: as for `method_code`; bfloat16 and float32 are for cards that the lines leave alone.
    """
    try:
        shared = dtype in (None, "float16") and anatomy(shapes).shares_heads
    except ValueError:  # a model without attention
        shared = False
    old = "torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0)" if dtype else "OLD_CARD"
    return [f"if {old}:{WHY_REPEATED}", f"    {REPEAT_HEADS}"] if shared else []


def from_weights(method: Method, loaded: ModelClass, dtype: str = "DTYPE", more: Iterable[str] = ()) -> list[str]:
    """Lines that load the model with its weights, in 4 bits where the method says so."""
    load, body = ["MODEL", f"dtype={dtype}", *more], []
    if isinstance(method, QLoRA):
        load.append("quantization_config=quantization")
        body += [
            "quantization = BitsAndBytesConfig(",
            "    load_in_4bit=True,",
            f'    bnb_4bit_quant_type="{method.quant}",',
            f"    bnb_4bit_use_double_quant={method.double_quant},",
            "    bnb_4bit_compute_dtype=DTYPE,",
            ")",
        ]
    load += [f"{key}={literal(value)}" for key, value in loaded.keywords.items()]
    return [*body, _wrapped(f"model = {loaded.name}.from_pretrained(", load, ")")]


def from_configuration(loaded: ModelClass) -> list[str]:
    """Lines that build the model on the meta device."""
    given = f"(CONFIG | {dict(loaded.keywords)!r})" if loaded.keywords else "CONFIG"
    call = f"{loaded.name}.from_config" if loaded.name.startswith("AutoModel") else loaded.name
    build = f"    model = {call}(AutoConfig.for_model(**{given}))"
    return [NO_WEIGHTS.format(name=loaded.name), 'with torch.device("meta"):', build]


def adapter_lines(method: Method, shapes: ModelShapes, loaded: ModelClass, on_meta: bool = False) -> list[str]:
    """Lines that put the adapter on, and print how many parameters are trained."""
    if not isinstance(method, LoRA):
        fixed = [f"{n}.{t.name}" for group in shapes.groups for t in group.tensors if t.frozen for n in group.names]
        return [
            *(["# The architecture keeps these fixed, which loading forgets."] if fixed else []),
            *(f'model.get_parameter("{name}").requires_grad = False' for name in fixed),
            "trained = sum(p.numel() for p in model.parameters() if p.requires_grad)",
            "total = sum(p.numel() for p in model.parameters())",
            'print(f"trainable params: {trained:,} || all params: {total:,} || trainable%: {trained / total:.4%}")',
        ]
    lines = []
    if method.quantized and not on_meta:
        lines.append("model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)")
    wrap = ", low_cpu_mem_usage=True" if on_meta else ""
    lines += [*config_lines(method, loaded), f"model = get_peft_model(model, config{wrap})"]
    return [*lines, *_frozen_lines(method), "model.print_trainable_parameters()"]


def config_lines(method: LoRA, loaded: ModelClass) -> list[str]:
    """Lines that make peft's configuration."""
    given = method.peft_arguments(loaded.peft_task).items()
    return ["config = LoraConfig(", *[f"    {key}={literal(value)}," for key, value in given], ")"]


def residual_first(method: QLoRA, loaded: ModelClass, load: list[str]) -> list[str]:
    """A start that changes the base reads it in floats: what is left of it is saved, and that is stored in 4 bits."""
    return [
        "# this start reads the weights before they are quantized, and 4 bits hold what is left of them",
        f"model = {loaded.name}.from_pretrained(MODEL, dtype=DTYPE)",
        *config_lines(method, loaded),
        "model = get_peft_model(model, config)",
        'model.peft_config["default"].init_lora_weights = True  # on loading, nothing is taken out again',
        'model.save_pretrained("start")',
        'model.unload().save_pretrained("rest")',
        *[line.replace("MODEL", '"rest"') for line in load],
        "model = prepare_model_for_kbit_training(model)",
        'model = PeftModel.from_pretrained(model, "start", is_trainable=True)',
        *_frozen_lines(method),
        "model.print_trainable_parameters()",
    ]


def _frozen_lines(method: LoRA) -> list[str]:
    if not method.freeze_a:
        return []
    return [
        "for name, parameter in model.named_parameters():  # LoRA-FA trains B alone",
        '    if ".lora_A." in name:',
        "        parameter.requires_grad_(False)",
    ]


def plus(method: Method) -> bool:
    """True where B has a learning rate of its own (LoRA+), which is a matter of the optimizer."""
    return isinstance(method, LoRA) and method.lr_ratio != 1


def loraplus_lines(method: Method, kind: str, *arguments: str) -> list[str]:
    """Lines that make an optimizer of class `kind` with the rates of LoRA+."""
    assert isinstance(method, LoRA)
    given = ["model", kind, *arguments, f"loraplus_lr_ratio={method.lr_ratio:g}"]
    return [_wrapped("optimizer = create_loraplus_optimizer(", given, ")")]


def _wrapped(start: str, names: list[str], end: str) -> str:
    """A list of names on one line, or a name a line where that is too long."""
    line = start + ", ".join(names) + end
    if len(line) <= 110:
        return line
    opening, closing = (start, end) if end else (start + "(", ")")
    return opening + "\n" + "".join(f"    {name},\n" for name in names) + closing
