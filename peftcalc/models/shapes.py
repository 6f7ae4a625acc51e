"""What a model is made of, as data: every module that owns weights, with the shapes of its tensors.

Layers repeat, so modules that differ only in the number of their layer are stored once, as a `ModuleGroup` with a name
template and the numbers that fill it. Whatever is computed per group costs the same for 2 layers as for 126.
Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from peftcalc.lazy import Drawn
from peftcalc.models.json_form import digest, runs
from peftcalc.models.parts import part_names

KINDS = ("linear", "conv1d", "embedding", "conv1d_nn", "conv2d", "conv3d", "attention", "experts", "norm", "other")
"""What a module is to an adapter. "conv1d" is GPT-2's `Conv1D`, a linear layer that stores its weight as (in, out);
"conv1d_nn" is torch's convolution over one dimension; "attention" is torch's `MultiheadAttention`; "experts" own
stacked 3-D parameters (one slice an expert); "other" is everything else, containers and activations included."""

LINEAR_KINDS = ("linear", "conv1d")
CONVOLUTION_KINDS = ("conv1d_nn", "conv2d", "conv3d")


@dataclass(frozen=True)
class Tensor:
    """One parameter tensor of a module.

    Args:
        name: its name within the module: "weight", "bias", "gate_up_proj".
        shape: as torch stores it; a linear weight is (out, in), a `Conv1D` weight (in, out), an expert stack
            (experts, rows, columns).
        tied_to: full name of the tensor whose storage this one shares; None when the storage is its own. A tied tensor
            is counted where it is owned, and only there.
        frozen: True when the architecture itself never trains it (fixed sinusoidal positions).

    >>> Tensor("weight", (4096, 1024)).numel
    4194304
    """

    name: str
    shape: tuple[int, ...]
    tied_to: str | None = None
    frozen: bool = False

    @property
    def numel(self) -> int:
        """Number of elements, counted whether tied or not."""
        return math.prod(self.shape)

    @property
    def parameters(self) -> int:
        """Parameters that this tensor adds to the model: 0 when it is tied."""
        return 0 if self.tied_to else self.numel


@dataclass(frozen=True)
class ModuleGroup:
    """Equal modules, one in each of the layers `indices`.

    Args:
        template: the name, with `{}` for the layer's number: "model.layers.{}.self_attn.q_proj"; without it the group
            is one module.
        kind: one of `KINDS`.
        type: name of the module's class.
        tensors: the parameters that the module owns directly.
        indices: the layer numbers, ascending; empty for one module without a number.
        in_features: input width (channels of a convolution, rows of an embedding's table); 0 where it has no meaning.
        out_features: output width (channels of a convolution, dimension of an embedding); 0 where it has no meaning.
        kernel: kernel size of a convolution.
        convolution_groups: groups of a convolution.

    >>> query = ModuleGroup("layers.{}.q", "linear", "Linear", (Tensor("weight", (8, 4)),), (0, 1), 4, 8)
    >>> list(query.names), query.parameters
    (['layers.0.q', 'layers.1.q'], 64)
    """

    template: str
    kind: str
    type: str
    tensors: tuple[Tensor, ...]
    indices: tuple[int, ...] = ()
    in_features: int = 0
    out_features: int = 0
    kernel: tuple[int, ...] = ()
    convolution_groups: int = 1

    @property
    def repeats(self) -> int:
        """How many modules the group stands for."""
        return len(self.indices) or 1

    @property
    def names(self) -> Iterator[str]:
        """Full name of every module of the group."""
        return (self.name(index) for index in self.indices) if self.indices else iter((self.template,))

    def name(self, index: int | None) -> str:
        """Full name of the module in layer `index`; None for a module without a number."""
        return self.template if index is None else self.template.replace("{}", str(index), 1)

    @property
    def suffix(self) -> str:
        """Last segment of the name, the one by which people choose targets: "q_proj"."""
        return self.template.rpartition(".")[2]

    @property
    def bias(self) -> Tensor | None:
        """The tensor called "bias", if there is one."""
        return self.tensor("bias")

    def tensor(self, name: str) -> Tensor | None:
        """The tensor with this name within the module, or None."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)

    @cached_property
    def parameters_each(self) -> int:
        """Parameters of one module, without tied tensors."""
        return sum(tensor.parameters for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        """Parameters of all modules of the group, without tied tensors."""
        return self.parameters_each * self.repeats

    def to_dict(self) -> dict[str, Any]:
        """JSON form; what stands at its default is left out."""
        tensors = [
            {"name": t.name, "shape": list(t.shape)}
            | ({"tied_to": t.tied_to} if t.tied_to else {})
            | ({"frozen": True} if t.frozen else {})
            for t in self.tensors
        ]
        record: dict[str, Any] = {"template": self.template, "kind": self.kind, "type": self.type, "tensors": tensors}
        if self.indices:
            record["indices"] = runs(self.indices)
        if self.in_features or self.out_features:
            record |= {"in": self.in_features, "out": self.out_features}
        if self.kernel:
            record["kernel"] = list(self.kernel)
        if self.convolution_groups != 1:
            record["groups"] = self.convolution_groups
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ModuleGroup:
        """The group that `to_dict` described."""
        tensors = tuple(
            Tensor(t["name"], tuple(t["shape"]), t.get("tied_to"), t.get("frozen", False)) for t in record["tensors"]
        )
        indices = tuple(i for start, stop in record.get("indices", ()) for i in range(start, stop))
        return cls(
            record["template"],
            record["kind"],
            record["type"],
            tensors,
            indices,
            record.get("in", 0),
            record.get("out", 0),
            tuple(record.get("kernel", ())),
            record.get("groups", 1),
        )


@dataclass(frozen=True)
class ModelShapes(Drawn):
    """Everything that counting and memory estimation need to know about a model.

    Args:
        id: hub id, or another name by which the model is shown; it identifies nothing (`fingerprint` does).
        architecture: name of the model's class: "LlamaForCausalLM".
        config: the raw configuration, as `config.json` has it; not part of equality's hash.
        groups: every module that owns parameters, in the model's order.
        input_embedding: name of a transformers model's token embedding, where it has one.
        output_embedding: name of the module that makes its logits, which peft's `all-linear` leaves out.
        classification_head: names of the top-level heads that a classification fine-tuning would train in full
            ("score", "classifier"); empty when the model has none.
        pretrained: True for a model of the transformers library, False for any other `nn.Module`.
        bare: the modules that own no parameters themselves (blocks, activations), because a target may name one of
            them by mistake and peft then refuses.
        expert_names: how peft translates the names of single experts' projections, which older checkpoints had, to
            this model's expert stacks: "mixtral" (w1, w2, w3), "qwen2_moe" (gate_proj, up_proj, down_proj) or None.
        notes: sentences about how the configuration was read; not part of equality, no more than `unsaid`.
        whole: True for a module that was given as it is, whose class no task may replace.
        unsaid: what the class sets where the configuration is silent.
    """

    id: str
    architecture: str
    config: dict[str, Any] = field(hash=False)
    groups: tuple[ModuleGroup, ...]
    input_embedding: str | None = None
    output_embedding: str | None = None
    classification_head: tuple[str, ...] = ()
    pretrained: bool = True
    bare: tuple[ModuleGroup, ...] = ()
    expert_names: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    whole: bool = False
    unsaid: dict[str, Any] = field(default_factory=dict, compare=False)

    def __hash__(self) -> int:
        """Models key the caches: equal ones agree in this, and all groups would take long to hash."""
        return hash((self.id, self.architecture, self.total))

    @cached_property
    def total(self) -> int:
        """All parameters, tied ones once, buffers not."""
        return sum(group.parameters for group in self.groups)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that it holds, under which it is remembered: a name is anybody's."""
        return digest(self.to_dict())

    def modules(self) -> Iterator[tuple[str, ModuleGroup]]:
        """Full name and group of every module that owns parameters, layer after layer."""

        def block(group: ModuleGroup) -> tuple[str, tuple[int, ...]]:
            return (group.template.partition("{}")[0] if group.indices else "", group.indices)

        for (_, indices), together in groupby(self.groups, block):
            members = list(together)
            for index in indices or (None,):
                yield from ((group.name(index), group) for group in members)

    def find(self, name: str) -> ModuleGroup | None:
        """The group of the module with this full name, or None."""
        return next((group for full, group in self.modules() if full == name), None)

    def part_names(self) -> Callable[[str], str]:
        """A function from a module's name to the part of the model that it belongs to; see `parts.part_names`."""
        return part_names(group.template for group in self.groups)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; each group once, whatever the depth."""
        return {
            "id": self.id,
            "architecture": self.architecture,
            "config": self.config,
            "input_embedding": self.input_embedding,
            "output_embedding": self.output_embedding,
            "classification_head": list(self.classification_head),
            "pretrained": self.pretrained,
            "expert_names": self.expert_names,
            "groups": [group.to_dict() for group in self.groups],
            "bare": [group.to_dict() for group in self.bare],
            **({"notes": list(self.notes)} if self.notes else {}),
            **({"whole": True} if self.whole else {}),
            **({"unsaid": self.unsaid} if self.unsaid else {}),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ModelShapes:
        """The model that `to_dict` described.

        >>> shapes = ModelShapes("a", "Net", {}, (ModuleGroup("q", "linear", "Linear", (Tensor("weight", (2, 3)),)),))
        >>> ModelShapes.from_dict(shapes.to_dict()) == shapes
        True
        """
        return cls(
            record["id"],
            record["architecture"],
            dict(record["config"]),
            tuple(ModuleGroup.from_dict(group) for group in record["groups"]),
            record.get("input_embedding"),
            record.get("output_embedding"),
            tuple(record.get("classification_head", ())),
            record.get("pretrained", True),
            tuple(ModuleGroup.from_dict(group) for group in record.get("bare", ())),
            record.get("expert_names"),
            tuple(record.get("notes", ())),
            record.get("whole", False),
            dict(record.get("unsaid", {})),
        )
