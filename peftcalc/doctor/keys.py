"""The name of a tensor in an adapter's file: which module it belongs to, what it is there, and what is odd about it.

peft writes `base_model.model.MODULE.lora_A.weight`; embeddings have `lora_embedding_A` without a last part, DoRA adds
`lora_magnitude_vector`, a module trained in full stands as `base_model.model.MODULE.weight`. Other names come from
saving a wrapped model, and peft leaves out, with a warning or none, what matches none of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "base_model.model."

ROLES = ("A", "B", "magnitude", "B's bias", "base", "token", "copy", "foreign")
"""What a tensor is: a factor, DoRA's magnitude, the bias of B, the frozen base's own weight, single trained tokens, a
module's own parameter (trained in full, or a bias), something of another format."""

_TAILS = re.compile(
    r"^(?P<module>.*?)\.?(?P<tail>lora_embedding_A|lora_embedding_B|lora_A|lora_B|lora_magnitude_vector)"
    r"(?:\.(?P<rest>.+))?$"
)
_LORA = {"lora_A": "A", "lora_B": "B", "lora_embedding_A": "A", "lora_embedding_B": "B"}
_WRAPPERS = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "module": "DataParallel",
}
_OTHER_FORMATS = (
    (re.compile(r"^lora_(unet|te\d?|transformer)_"), "kohya's format for diffusion models"),
    (re.compile(r"\.lora_(up|down)\.|\.lora\.(up|down)\."), "an older diffusers format"),
    (re.compile(r"\.lora_[ab]$"), "mlx-lm's format"),
    (re.compile(r"\.(lokr|loha|hada|oft)_"), "LyCORIS"),
)


@dataclass(frozen=True)
class Key:
    """What a tensor's name says.

    Args:
        name: as it stands in the file.
        module: the base's module, without prefixes and wrappers: "model.layers.0.self_attn.q_proj".
        role: one of `ROLES`.
        parameter: its own last part: "weight", "bias", "lora_embedding_A".
        oddities: sentences' middles, such as "lacks the prefix base_model.model."; with any of them peft reads the
            tensor not at all.
        adapter: the adapter's name, where it was left in.
        embedding: True for the factors of an embedding.
    """

    name: str
    module: str
    role: str
    parameter: str = "weight"
    oddities: tuple[str, ...] = ()
    adapter: str | None = None
    embedding: bool = False

    @property
    def owner(self) -> str:
        """The base's module without peft's own layers around it ("experts.base_layer" is "experts")."""
        return re.sub(r"\.base_layer(?=\.|$)", "", self.module)


def read_key(name: str) -> Key:
    """The key that a name is.

    >>> read_key("base_model.model.h.0.attn.lora_A.weight")
    Key(name='base_model.model.h.0.attn.lora_A.weight', module='h.0.attn', role='A', parameter='weight', oddities=(), \
adapter=None, embedding=False)
    >>> read_key("h.0.attn.lora_A.default.weight").oddities, read_key("h.0.attn.lora_A.default.weight").adapter
    (('lacks the prefix base_model.model.',), 'default')
    """
    bare, oddities = _without_prefixes(name)
    for pattern, what in _OTHER_FORMATS:
        if pattern.search(name):
            return Key(name, bare, "foreign", oddities=(f"is in {what}",))
    found = _TAILS.match(bare)
    if found:
        return _factor(name, found, oddities)
    module, _, parameter = bare.rpartition(".")
    if parameter == "trainable_tokens_delta":
        return Key(name, module.removesuffix(".token_adapter"), "token", parameter, oddities)
    if module.endswith(".base_layer"):
        return Key(name, module.removesuffix(".base_layer"), "base", parameter, oddities)
    copied = re.match(r"^(.*)\.modules_to_save\.[^.]+$", module)
    if copied:
        return Key(name, copied.group(1), "copy", parameter, (*oddities, "has modules_to_save left in its name"))
    if module.endswith(".original_module"):
        return Key(name, module.removesuffix(".original_module"), "base", parameter, oddities)
    return Key(name, module, "copy", parameter, oddities)


def _factor(name: str, found: re.Match[str], oddities: tuple[str, ...]) -> Key:
    """A key with one of peft's own parts, `lora_…`, in it."""
    tail, rest = found["tail"], found["rest"]
    parts = rest.split(".") if rest else []
    embedding = tail.startswith("lora_embedding")
    parameter = parts.pop() if parts and not embedding and parts[-1] in ("weight", "bias") else tail
    adapter = ".".join(parts) or None
    if tail == "lora_magnitude_vector":
        return Key(name, found["module"], "magnitude", parameter, oddities, adapter)
    role = "B's bias" if tail == "lora_B" and parameter == "bias" else _LORA[tail]
    return Key(name, found["module"], role, parameter, oddities, adapter, embedding)


def _without_prefixes(name: str) -> tuple[str, tuple[str, ...]]:
    """The name below `base_model.model.`, and what was wrong above."""
    oddities: list[str] = []
    parts = name.split(".")
    for wrapper, what in _WRAPPERS.items():
        if parts[0] == wrapper or (wrapper != "module" and wrapper in parts):  # a base may have a "module" of its own
            oddities.append(f"has {wrapper} in its name ({what} was saved with the model)")
            parts = parts[1:] if wrapper == "module" else [part for part in parts if part != wrapper]
    bare = ".".join(parts)
    times = 0
    while bare.startswith(PREFIX):
        bare, times = bare.removeprefix(PREFIX), times + 1
    if times > 1:
        oddities.append(f"has the prefix base_model.model. {times} times")
    elif times == 0 and bare.startswith("base_model."):
        bare = bare.removeprefix("base_model.")
        oddities.append("begins with base_model. in place of base_model.model.")
    elif times == 0:
        oddities.append("lacks the prefix base_model.model.")
    return bare, tuple(oddities)
