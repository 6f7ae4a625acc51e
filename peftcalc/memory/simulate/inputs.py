"""What goes into a traced step: token ids or images with labels, a mask where sequences are padded."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from peftcalc.memory.options import MemoryOptions


def training_inputs(model: Any, settings: Any, options: MemoryOptions) -> dict[str, torch.Tensor]:
    """The inputs of one batch by the names that the model's `forward` gives them.

    Raises:
        ValueError: a model that reads neither token ids nor images nor sound.
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    accepted = inspect.signature(whole.forward).parameters
    shape = (options.batch, options.sequence)
    if "input_ids" in accepted:
        inputs = {"input_ids": torch.zeros(shape, dtype=torch.long)}
        if options.masked:
            inputs["attention_mask"] = torch.ones(shape, dtype=torch.long)
        if "token_type_ids" in accepted:
            inputs["token_type_ids"] = torch.zeros(shape, dtype=torch.long)
        if options.images:
            inputs["pixel_values"] = _pictures(model, settings, options)
        if getattr(settings, "is_encoder_decoder", False) and "labels" not in accepted:
            inputs["decoder_input_ids"] = torch.zeros(shape, dtype=torch.long)
    elif "input_features" in accepted and hasattr(settings, "max_source_positions"):
        frames = 2 * settings.max_source_positions  # the first convolution but one halves them
        inputs = {"input_features": torch.zeros(options.batch, settings.num_mel_bins, frames)}
        if "labels" not in accepted:
            inputs["decoder_input_ids"] = torch.zeros(shape, dtype=torch.long)
    elif "pixel_values" in accepted:
        side, channels = getattr(settings, "image_size", 224), getattr(settings, "num_channels", 3)
        height, width = (side, side) if isinstance(side, int) else side
        inputs = {"pixel_values": torch.zeros(options.batch, channels, height, width)}
    else:
        raise ValueError(f"{type(whole).__name__} cannot be traced: it reads neither token ids nor images nor sound")
    if "labels" in accepted:
        one_each = "pixel_values" in inputs and "input_ids" not in inputs
        inputs["labels"] = torch.zeros(shape[:1] if one_each else shape, dtype=torch.long)
    return inputs


def _pictures(model: Any, settings: Any, options: MemoryOptions) -> torch.Tensor:
    """Pictures of a batch at the model's own size.

    Where their tokens stand is read from the values of the ids, which a trace does not have: a mask as large says it.
    """

    def somewhere(input_ids: Any, inputs_embeds: torch.Tensor, *others: Any, **named: Any) -> torch.Tensor:
        return torch.zeros_like(inputs_embeds[..., :1], dtype=torch.bool)

    for module in model.modules():
        if hasattr(module, "get_placeholder_mask"):
            module.get_placeholder_mask = somewhere
    seen = settings.vision_config
    count = options.batch * options.images
    return torch.zeros(count, getattr(seen, "num_channels", 3), seen.image_size, seen.image_size)


def step_notes(model_class: Any, settings: Any, options: MemoryOptions) -> tuple[str, ...]:
    """What a reader must know of a traced step: a sequence beyond the context, what stood in for what."""
    card = options.chosen_card
    said = card.precision_note(options.dtype) if card else ""
    notes = [f"{said}."] if said else []
    context = getattr(settings.get_text_config(), "max_position_embeddings", None)
    if isinstance(context, int) and options.sequence > context:
        notes.append(f"The sequence of {options.sequence:,} tokens is beyond the model's context of {context:,}.")
    accepted = inspect.signature(model_class.forward).parameters
    if "labels" not in accepted:
        notes.append("The model has no loss of its own: the mean of its output stands in for one.")
    if options.images:
        notes.append(f"Each sequence holds {options.images} images, whose tokens are among its {options.sequence:,}.")
    elif "pixel_values" in accepted and "input_ids" in accepted:
        notes.append("The step reads text only: an image adds its own tokens to the sequence, and its encoder's work.")
    if "input_features" in accepted and "input_ids" not in accepted:
        positions = getattr(settings, "max_source_positions", 0)
        notes.append(f"The encoder hears {positions:,} positions, whatever the sequence, which is that of the decoder.")
    elif "input_ids" not in accepted:
        notes.append("The model reads images: one batch is that many images, and the sequence is not used.")
    if options.attention != "eager" and not getattr(model_class, "_supports_sdpa", False):
        notes.append("transformers has only the eager attention for this model.")
    return tuple(notes)
