"""What a transformer's layers do with their linear layers, read from the names and shapes of their weights.

Which tensors autograd keeps depends on who reads what: query, key and value read one tensor, gate and up another. The
names of the modules tell that, in all families of the catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from peftcalc.memory.kernels import shares_heads
from peftcalc.memory.model_config import (
    Ends,
    distances,
    dropouts,
    drops_probabilities,
    ends_of,
    first,
    is_of_tower,
    is_parallel,
    is_rotary,
    is_t5,
    is_written_out,
    keeps_logits_half,
    language_config,
    shares_layers,
    sliding_share,
    sliding_window,
    stacks_of,
    widens_logits,
)
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes, ModuleGroup

ATTENTION_INPUT = "attention input"
HEADS = "attention output"
MLP_INPUT = "MLP input"
MLP_HIDDEN = "MLP hidden"
OTHER = "other"

_READS = (
    (HEADS, r"(o_proj|out_proj|out_lin|\w*Attention\.o|self_attention\.dense|attention\.dense|output_proj)$"),
    (HEADS, r"(attn\.c_proj|attn\.Wo|attention\.output\.dense)$"),
    (ATTENTION_INPUT, r"(q|k|v|query|key|value|qkv)(_proj|_lin)?$"),
    (ATTENTION_INPUT, r"(query_key_value|Wqkv|c_attn|q_a_proj|kv_a_proj_with_mqa)$"),
    (MLP_HIDDEN, r"(down_proj|fc2|fc_out|dense_4h_to_h|wo|lin2|w2|mlp\.c_proj|mlp\.Wo|output\.dense)$"),
    (MLP_INPUT, r"(up_proj|gate_proj|gate_up_proj|fc1|fc_in|c_fc|dense_h_to_4h|wi|wi_0|wi_1|lin1|w1|w3|mlp\.Wi)$"),
    (MLP_INPUT, r"intermediate\.dense$"),
)
_GATES = ("gate_proj", "wi_0", "w1", "gate_up_proj", "Wi")
_BOTH = {"gate_up_proj", "Wi"}  # a gate and an up-projection in one
_FUSED = ("qkv_proj", "query_key_value", "Wqkv", "c_attn", "qkv")
_HEAD_KEYS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads")
_ACTIVATION_KEYS = ("hidden_act", "hidden_activation", "activation_function", "activation", "feed_forward_proj")


@dataclass(frozen=True)
class Linear:
    """Equal linear layers, one in each layer of the model, and the tensor that they read."""

    group: ModuleGroup
    reads: str
    source: str
    """Linear layers with the same source read the same tensor."""


@dataclass(frozen=True)
class Attention:
    """Self- or cross-attention: widths of all heads together."""

    repeats: int
    heads: int
    query: int
    key: int
    value: int
    fused: int
    """Width of a fused projection that stays alive as long as what is cut from it; 0 where they are separate."""
    rotary: bool
    """True when queries and keys are turned, and so exist apart from a fused projection."""
    crossed: bool = False
    """True when keys and values are those of an encoder."""


@dataclass(frozen=True)
class Mlp:
    """A feed-forward block."""

    repeats: int
    width: int
    """f"""
    gated: bool
    activation: str


@dataclass(frozen=True)
class Experts:
    """A block of stacked experts, of which each token visits a few."""

    repeats: int
    count: int
    visits: int
    width: int
    activation: str


@dataclass(frozen=True)
class Anatomy:
    """A model as the estimate sees it."""

    width: int
    """h"""
    layers: int
    vocabulary: int
    """Width of the logits; 0 for a model without a language head."""
    linears: tuple[Linear, ...]
    norms: tuple[ModuleGroup, ...]
    attentions: tuple[Attention, ...]
    mlps: tuple[Mlp, ...]
    experts: tuple[Experts, ...]
    parallel: bool
    """True when attention and MLP read the same hidden states."""
    ends: Ends
    dropouts: int
    """Residual dropouts of a layer that are active in training."""
    softcap: bool
    """True when the logits pass through a tanh."""
    written_out: bool
    """True when transformers has no fused attention for this model."""
    broadcasts: bool
    """True when fewer heads of keys are handed over without a word (`enable_gqa`), which only MATH takes."""
    attention_drops: bool
    """True when the probabilities of attention pass through a dropout."""
    distances: tuple[int, int]
    """How many distances attention scores, and how often: DeBERTa's."""
    attention_softcap: bool
    """True when the scores of attention pass through a tanh."""
    pieces: int
    """Tokens of one image; 0 for a model of texts."""
    window: int
    """Tokens that sliding attention sees; 0 where no layer slides."""
    sliding: float
    """Share of the layers whose attention slides."""
    t5: bool
    """True for T5's kin: a bias of its own in self-attention, more dropouts, some weights in float32."""
    wide_logits: bool
    half_loss: bool
    """True when the logits are float32 from the beginning, and when the loss takes them as they are."""
    unknown: tuple[str, ...]
    """Linear layers inside the layers whose part is not known."""

    @property
    def shares_heads(self) -> bool:
        """True when transformers hands a kernel fewer heads of keys than of queries, unless there is a mask."""
        fused = not (self.written_out or self.broadcasts)
        widths = (block.query // max(block.heads, 1) for block in self.attentions if block.key < block.query)
        return fused and any(shares_heads(False, width) for width in widths)


@lru_cache(maxsize=256)
def anatomy(shapes: ModelShapes, tower: bool = False) -> Anatomy:
    """Read the model's layers, or those of the part that sees pictures.

    Raises:
        ValueError: a model without numbered layers, or not a transformer.
    """
    config = language_config(settings(shapes))
    inside = [group for group in shapes.groups if group.indices and is_of_tower(group.template) == tower]
    linears = tuple(_linear(group) for group in inside if group.kind in LINEAR_KINDS)
    norms = tuple(group for group in inside if group.kind == "norm")
    embedding = next((g for g in shapes.groups if g.template == shapes.input_embedding), None)
    stacks = stacks_of(inside)
    read = [linear.group.in_features for linear in linears if linear.reads == MLP_INPUT]
    otherwise = embedding.out_features if embedding else max((n.tensors[0].numel for n in norms), default=0)
    width = max(read, default=otherwise)
    attentions = tuple(_attentions(linears, config, width))
    if shares_layers(config):
        raise ValueError(
            f"the layers of {shapes.id or 'this model'} share their weights, which do not show its depth; simulate it"
        )
    if not inside or not attentions or not width:
        raise ValueError(
            f"{shapes.id or 'this model'} has no layers with attention that the estimate knows; simulate it"
        )
    head = next((g for g in shapes.groups if g.template == shapes.output_embedding), None)
    activation = str(first(config, _ACTIVATION_KEYS, "gelu_new" if "n_embd" in config else "gelu"))
    return Anatomy(
        width=width,
        layers=sum(map(len, stacks.values())),
        vocabulary=head.out_features if head else 0,
        linears=linears,
        norms=norms,
        attentions=attentions,
        mlps=tuple(_mlps(linears, activation)),
        experts=tuple(_experts(inside, config, activation)),
        parallel=is_parallel(config),
        ends=ends_of(shapes.groups, width, len(stacks), config),
        dropouts=dropouts(config),
        softcap=bool(config.get("final_logit_softcapping")),
        pieces=_pieces(shapes),
        written_out=is_written_out(config),
        broadcasts=config.get("model_type") == "falcon" and not config.get("new_decoder_architecture"),
        attention_drops=drops_probabilities(config),
        distances=distances(config),
        attention_softcap=bool(config.get("attn_logit_softcapping")),
        window=sliding_window(config),
        sliding=sliding_share(config),
        t5=is_t5(config),
        wide_logits=widens_logits(shapes.architecture),
        half_loss=keeps_logits_half(shapes.architecture),
        unknown=tuple(linear.group.suffix for linear in linears if linear.reads == OTHER),
    )


def _linear(group: ModuleGroup) -> Linear:
    tail = group.template.partition("{}")[2]
    reads = next((name for name, pattern in _READS if re.search(rf"(^|\.){pattern}", tail)), OTHER)
    parent = group.template.rpartition(".")[0]
    return Linear(group, reads, f"{parent}:{reads}" if reads != OTHER else group.template)


def _attentions(linears: Iterable[Linear], config: Mapping[str, Any], width: int) -> Iterable[Attention]:
    """One entry per module that owns queries, keys and values."""
    heads = int(first(config, _HEAD_KEYS, 0)) or max(width // 64, 1)
    blocks: dict[str, dict[str, ModuleGroup]] = {}
    for linear in linears:
        if linear.reads == ATTENTION_INPUT or linear.group.suffix in ("q_b_proj", "kv_b_proj"):
            blocks.setdefault(linear.group.template.rpartition(".")[0], {})[linear.group.suffix] = linear.group
    outputs = {x.group.template.rpartition(".")[0]: x.group.in_features for x in linears if x.reads == HEADS}
    for parent, members in blocks.items():
        repeats = max(group.repeats for group in members.values())
        out = outputs.get(parent, 0) or outputs.get(f"{parent.rpartition('.')[0]}.output", 0)
        fused = next((group for suffix, group in members.items() if suffix in _FUSED), None)
        if fused is not None:
            query = out or width
            rest = (fused.out_features - query) // 2
            yield Attention(repeats, heads, query, rest, rest, fused.out_features, is_rotary(config))
        elif "kv_b_proj" in members:
            query = members.get("q_b_proj", members.get("q_proj", members["kv_b_proj"])).out_features
            yield Attention(repeats, heads, query, query, query, members["kv_b_proj"].out_features, True)
        else:
            by_role = {suffix[0]: group.out_features for suffix, group in members.items()}
            query = by_role.get("q", out or width)
            crossed = bool(re.search(r"EncDecAttention|encoder_attn|crossattention", parent))
            yield Attention(repeats, heads, query, by_role.get("k", query), by_role.get("v", query), 0, True, crossed)


def _mlps(linears: Iterable[Linear], activation: str) -> Iterable[Mlp]:
    """One entry per module that owns an up-projection."""
    blocks: dict[str, dict[str, ModuleGroup]] = {}
    for linear in linears:
        if linear.reads == MLP_INPUT:
            blocks.setdefault(linear.source, {})[linear.group.suffix] = linear.group
    for members in blocks.values():
        widest = max(group.out_features for group in members.values())
        both = not _BOTH.isdisjoint(members)
        gated = any(suffix in _GATES for suffix in members) and (both or len(members) > 1)
        width = widest // 2 if both else widest
        yield Mlp(max(group.repeats for group in members.values()), width, gated, activation)


def _experts(groups: Iterable[ModuleGroup], config: Mapping[str, Any], activation: str) -> Iterable[Experts]:
    for group in groups:
        stacks = [tensor for tensor in group.tensors if len(tensor.shape) == 3]
        if group.kind != "experts" or not stacks:
            continue
        visits = int(first(config, ("num_experts_per_tok", "num_local_experts_per_tok", "moe_topk"), 2))
        hidden = int(first(config, ("moe_intermediate_size", "intermediate_size"), stacks[-1].shape[-1]))
        yield Experts(group.repeats, stacks[0].shape[0], visits, hidden, activation)


def _pieces(shapes: ModelShapes) -> int:
    """Positions of an image model, read from its position embedding (1, pieces, width)."""
    patches = any(group.kind == "conv2d" for group in shapes.groups)
    lengths = [t.shape[1] for g in shapes.groups for t in g.tensors if len(t.shape) == 3 and t.shape[0] == 1]
    reads_text = any(group.kind == "embedding" and group.template == shapes.input_embedding for group in shapes.groups)
    return max(lengths, default=0) if patches and not reads_text else 0
