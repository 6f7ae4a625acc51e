"""What a reader of an estimate must know: where the formulas are less certain, what does not run as its name says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peftcalc.memory.estimate.anatomy import Anatomy
from peftcalc.memory.estimate.model_state import is_expert_stack
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.kernels import SOURCE, compute_capability
from peftcalc.memory.model_config import has_own_layers, image_tokens, language_config
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.shapes import ModelShapes
from peftcalc.units import gib


def _kernel_notes(setting: StepSetup) -> Iterable[str]:
    """Where attention does not run as the option's name promises."""
    options, card = setting.options, setting.options.chosen_card
    if card and (said := card.precision_note(options.dtype)):
        yield said
    where = f" on {card.name}" if card else ""
    if "math" in setting.kernels and options.kernel == "auto":
        held = "float32" if setting.precision.attention == 4 else options.dtype
        yield (
            f"attention runs on torch's MATH kernel{where}, which keeps sequence × sequence: no fused kernel takes "
            f"{held} with these heads there ({SOURCE}); kernel= overrules it"
        )
    if options.attention == "flash" and not setting.written_out and compute_capability(card) < (8, 0):
        yield f"the flash-attention package needs compute capability 8.0 or later; it does not run{where}"
    if card and compute_capability(card)[0] in (9, 10) and set(setting.kernels) <= {"flash", "efficient"}:
        fused = setting.kernels[0]
        yield f"torch may choose cuDNN's attention{where}; it is taken to hold what the {fused} kernel holds"


def _choice_notes(setting: StepSetup) -> Iterable[str]:
    """Where a choice does less than its name promises, or has a price in bytes."""
    options, quantized = setting.options, setting.method.quantized
    if options.accumulation > 1 and (options.optimizer_in_backward or options.optimizer_offload == "gradients"):
        yield f"gradients of {options.accumulation:,} batches are added on the GPU, so they stay until the update"
    if quantized and options.base_format == "mxfp4":
        yield "transformers trains no MXFP4 base: it asks to make it dense first, which is LoRA over the dtype"
    if setting.dense_bytes and not options.checkpointing:
        yield (
            f"without checkpointing the dense weights of all layers, {gib(setting.dense_bytes)}, are kept for the "
            "backward pass: GPTQModel's torch kernel multiplies by them"
        )
    if quantized and options.base_format == "int8" and options.checkpointing:
        yield "bitsandbytes keeps the inputs of 8-bit layers beside autograd, so checkpointing does not free them"
    if options.kernels == "compiled":
        yield "what a compiled step keeps is the compiler's choice; it is counted as eager, which is more"


def estimate_notes(model: ModelShapes, body: Anatomy, setting: StepSetup) -> Iterable[str]:
    """What makes this estimate less certain."""
    config = settings(model)
    context = language_config(config).get("max_position_embeddings")
    if isinstance(context, int) and setting.options.sequence > context:
        yield f"{setting.options.sequence:,} tokens are more than this model's context of {context:,}"
    yield from _kernel_notes(setting)
    yield from _choice_notes(setting)
    if body.unknown:
        yield f"how {', '.join(dict.fromkeys(body.unknown))} are used is not known; their activations are left out"
    if has_own_layers(config):
        yield "its layers do more than attention and an MLP: expect an error of up to 30 %; simulate_memory knows them"
    if positions := config.get("max_source_positions"):
        yield (
            f"the encoder hears {positions:,} positions, whatever the sequence; layers are counted at the mean of both "
            "stacks: simulate_memory knows each"
        )
    elif body.t5 or config.get("is_encoder_decoder"):
        yield "encoder and decoder are taken to read equally many tokens"
    if count := setting.options.images:
        tokens = count * image_tokens(config)
        pictures = f"{count} image{'s' * (count > 1)}"
        yield f"each sequence holds {pictures}, {tokens:,} of its {setting.options.sequence:,} tokens"
    elif isinstance(config.get("vision_config"), Mapping) and not body.pieces:
        yield "the step reads text only: an image adds its own tokens to the sequence, and its encoder's work"
    if body.pieces:
        yield f"an image is {body.pieces:,} pieces, whatever the sequence"
    yield from _expert_notes(model, setting)
    if body.experts:
        yield "experts are assumed to share the tokens evenly; a router that does not needs no more memory in all"


def _expert_notes(model: ModelShapes, setting: StepSetup) -> Iterable[str]:
    """How many bytes of experts stay in half precision under a quantized method."""
    stacks = [g.repeats * t.numel for g in model.groups for t in g.tensors if is_expert_stack(t, g)]
    if not (setting.method.quantized and stacks and setting.options.experts == "float"):
        return
    size = setting.precision.dtype * sum(stacks)
    yield (
        f"bitsandbytes does not quantize fused experts: {sum(stacks):,} weights, {gib(size)}, stay in half precision; "
        "experts='4bit' is for a stack that does"
    )
    if setting.options.kbit_upcast:
        yield (
            f"peft's prepare_model_for_kbit_training would cast them to float32 as well, {gib(size)} more, and torch's "
            "grouped products do not take float32: a run must leave them as they are"
        )
