"""Adapters as files in peft's format: `adapter_config.json` and `adapter_model.safetensors`.

`peft.PeftModel.from_pretrained` reads what is written here, and what peft writes is read here. Only JSON and
safetensors are read, never pickle. Files are taken for what they may be, damaged or hostile: everything is checked
before the module changes.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from peftcalc.adapters.attach import attach_filled
from peftcalc.adapters.files.adapter_config import (
    beside_peft,
    checked_beside_peft,
    config_of,
    method_of,
    read_object,
)
from peftcalc.adapters.files.whole_file import write_whole
from peftcalc.adapters.layer_choice import Choice, choose_layers
from peftcalc.adapters.layers.adapt import adapter_rank, scale_of
from peftcalc.adapters.layers.attention import LoRAAttention
from peftcalc.adapters.layers.experts import AdaptedParameter
from peftcalc.adapters.state import active_adapter, adapter_layers, adapter_tensors, adapters, bare
from peftcalc.checks import one_of
from peftcalc.methods import LoRA, Method
from peftcalc.methods.starts import changes_base
from peftcalc.outside_files import plain_file

CONFIG, TENSORS, BASE = "adapter_config.json", "adapter_model.safetensors", "peftcalc.json"
PREFIX = "base_model.model."
Shapes = dict[str, tuple[str, tuple[int, ...]]]


def save_adapter(module: nn.Module, folder: str | os.PathLike[str], adapter: str | None = None) -> Path:
    """Write an attached adapter (the active one) to `folder` in peft's format, and return the folder.

    A third file, `peftcalc.json`, tells what peft's format leaves out: how the base of QLoRA and QDoRA was quantized,
    and whether A is frozen. After `init="pissa"` the file belongs to the original base, as peft's does: on loading,
    the same part is taken out of it again.

    Raises:
        ValueError: nothing is attached, no adapter has this name, or it is full fine-tuning, which has no adapter.
    """
    adapter = one_of("adapter", adapter or active_adapter(module), adapters(module))
    method = adapters(module)[adapter]
    if not isinstance(method, LoRA):
        raise ValueError("full fine-tuning has no adapter to save; save the module's state_dict with safetensors")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layers = adapter_layers(module, adapter)
    with bare(module) as plain:
        method = choose_layers(plain, method).method
    tensors = {
        PREFIX + _peft_name(name, layers): tensor.detach().cpu().contiguous().clone()
        for name, tensor in adapter_tensors(module, adapter).items()
    }
    write_whole(folder / TENSORS, lambda path: save_file(tensors, path, metadata={"format": "pt"}))
    whole = [name for name, layer in layers.items() if not isinstance(layer, AdaptedParameter)]
    config = config_of(method, _targets(module, method, whole), module)
    write_whole(folder / CONFIG, lambda path: path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n"))
    if more := beside_peft(method):
        write_whole(folder / BASE, lambda path: path.write_text(json.dumps(more, indent=2) + "\n"))
    else:
        (folder / BASE).unlink(missing_ok=True)
    return folder


def load_adapter(module: nn.Module, folder: str | os.PathLike[str], adapter: str = "default") -> nn.Module:
    """Read an adapter in peft's format into the module and return the module (a single layer: the layer that wraps it).

    Where no adapter of this name is attached, the one that the file describes is attached; otherwise the attached one
    takes the file's values, if it has the same layers, shapes and scale. If it is merged, the new values are.

    Raises:
        ValueError: a file is missing, damaged, of another kind (pickle is not read) or does not fit the module, which
            is then as it was.
    """
    if not isinstance(folder, str | os.PathLike):
        raise ValueError(f"an adapter is read from a folder's path, got {folder!r}")
    folder = Path(folder)
    if not os.path.isfile(folder / TENSORS) and os.path.exists(folder / "adapter_model.bin"):
        raise ValueError(
            "adapter_model.bin is a pickle, which can run code, and is not read; convert it to safetensors"
        )
    method = method_of(read_object(folder / CONFIG), _beside_peft(folder / BASE))
    shapes = _shapes(folder / TENSORS)
    with bare(module) as plain:
        chosen = choose_layers(plain, method)
        _check_ranks(chosen, plain, shapes)
    if adapter not in adapters(module):
        return attach_filled(module, method, adapter, lambda tensors: _fill(tensors, folder / TENSORS, shapes, module))
    _check_start(method, adapters(module)[adapter], adapter)
    layers, patterns = adapter_layers(module, adapter), chosen.layers()
    for name, layer in layers.items():
        scale = scale_of(chosen.method, patterns.get(name, name))
        if not math.isclose(layer.scale, scale):
            raise ValueError(
                f"the file scales the update of {name} by {scale:g}, and adapter {adapter!r} by {layer.scale:g}"
            )
    _fill(adapter_tensors(module, adapter), folder / TENSORS, shapes, module)
    merged = [layer for layer in layers.values() if layer.merged_base is not None]
    for layer in merged:
        layer.unmerge()
    for layer in merged:
        layer.merge()
    return module


def _peft_name(name: str, layers: dict[str, Any]) -> str:
    """Our name of a tensor as peft writes it: a base's own bias lies one level deeper for each layer around it."""
    owner, _, last = name.rpartition(".")
    if last != "bias" or ".lora_" in name:
        return name
    path: list[str] = []
    written: list[str] = []
    for segment in owner.split("."):
        inside_attention = isinstance(layers.get(".".join(path)), LoRAAttention) and segment == "out_proj"
        path.append(segment)
        written.append(segment)
        within = ".".join(path)
        while within in layers or inside_attention:
            written.append("base_layer")
            within, inside_attention = f"{within}.base_layer", False
    return ".".join([*written, last])


def _our_name(name: str) -> str | None:
    """The reverse; None for the copies that peft writes twice."""
    if ".original_module." in name or ".modules_to_save." in name:
        return None
    name = name.removeprefix(PREFIX)
    if ".lora_" not in name:  # the adapter of an inner layer keeps the way to it
        name = name.replace(".base_layer.", ".")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def _shapes(path: Path) -> Shapes:
    """What a safetensors file says it holds: our names → its names and shapes. No tensor is read."""
    plain_file(path)
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    ours = {_our_name(name): (name, shape) for name, shape in found.items()}
    return {name: entry for name, entry in ours.items() if name is not None}


def _check_start(method: LoRA, attached: Method, adapter: str) -> None:
    """A start that changes the base makes an adapter that belongs to that base alone."""
    starts = {method.init, attached.init if isinstance(attached, LoRA) else "default"}
    if len(starts) > 1 and any(map(changes_base, starts)):
        raise ValueError(
            f"the file belongs to what init={method.init!r} leaves of the weights, and adapter {adapter!r} to another "
            "base; load it under another name"
        )


def _check_ranks(chosen: Choice, plain: nn.Module, shapes: Shapes) -> None:
    """The config's ranks are the tensors' ranks: a huge one in a small file would only make room for a flood."""
    for name, pattern in chosen.layers().items():
        if name == pattern:
            rank = adapter_rank(chosen.method, name, plain.get_submodule(name))
        else:  # one parameter of a module: a stack of experts has as many ranks
            parameter = plain.get_parameter(pattern)
            rank = adapter_rank(chosen.method, pattern, parameter)
            rank *= parameter.shape[0] if parameter.dim() == 3 else 1
        stored = shapes.get(f"{name}.lora_A.weight") or shapes.get(f"{name}.lora_embedding_A")
        if stored is None:
            raise ValueError(f"{TENSORS} lacks the adapter of {name!r}")
        if stored[1][:1] != (rank,):
            raise ValueError(f"{CONFIG} gives {name!r} rank {rank:,}, and its A in {TENSORS} has shape {stored[1]}")


def _fill(tensors: dict[str, nn.Parameter], path: Path, shapes: dict[str, Any], module: nn.Module) -> None:
    """Copy the file's values into `tensors`, once every name, shape and value has been checked."""
    missing = sorted(tensors.keys() - shapes.keys())
    if missing:
        raise ValueError(f"{path.name} lacks {_some(missing)}")
    for name, tensor in tensors.items():
        if shapes[name][1] != tuple(tensor.shape):
            raise ValueError(
                f"{name} has shape {shapes[name][1]} in {path.name} and {tuple(tensor.shape)} in the module"
            )
    try:
        with safe_open(path, "pt") as file:
            values = {name: file.get_tensor(shapes[name][0]) for name in shapes}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    for name in sorted(shapes.keys() - tensors.keys()):
        _check_unused(name, values.pop(name), module, path)
    for name, value in values.items():
        if not value.dtype.is_floating_point or not torch.isfinite(value).all():
            raise ValueError(f"{name} in {path.name} holds values that are not finite numbers")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(values[name])


def _check_unused(name: str, value: Tensor, module: nn.Module, path: Path) -> None:
    """peft adds the base's embedding to an adapter that targets it; the same values change nothing."""
    with bare(module) as plain:
        own = dict(plain.named_parameters(remove_duplicate=False)).get(name)
    if own is None or own.shape != value.shape or not torch.equal(own.detach().cpu(), value.to(own.dtype)):
        raise ValueError(f"{path.name} holds {name}, which does not belong to this adapter on this module")


def _beside_peft(path: Path) -> dict[str, Any]:
    return checked_beside_peft(read_object(path), path.name) if path.exists() else {}


def _targets(module: nn.Module, method: LoRA, names: list[str]) -> list[str]:
    """The last parts of the layers' names if these choose the same layers, otherwise the whole names."""
    suffixes = sorted({name.rpartition(".")[2] for name in names})
    with bare(module) as plain:
        try:
            same = choose_layers(plain, replace(method, targets=suffixes)).adapted == tuple(names)
        except ValueError:  # a suffix that also names something that cannot be adapted
            same = False
    return suffixes if same else names


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
