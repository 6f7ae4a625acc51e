"""One term of the estimate: how many bytes, by which formula, and where the formula comes from.

Symbols of the formulas: T tokens of one forward pass (batch · sequence), S sequence, L layers, h width of the hidden
states, H attention heads, d width of a head, K heads of keys and values, f width of the MLP, V vocabulary, r rank,
N parameters; and bytes of one number: e of the dtype, a of the hidden states, p of a matrix product's result, q of what
attention keeps, g of an adapter's weight, i of what an adapter keeps of its input.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTOGRAD = "what autograd keeps, read from transformers' and torch's code and checked against the traced step"
PEFT = "peft 0.21, tuners/lora/layer.py and bnb.py"
PEFT_DORA = "peft 0.21, tuners/lora/dora.py; DoRA paper, section 4.3"
QLORA = "QLoRA paper, section 3; bitsandbytes 0.50, functional.quantize_4bit"
EXPERTS = "transformers 5.23, integrations/bitsandbytes.py: only nn.Linear and Conv1D are replaced"
KBIT = "peft 0.21, utils/other.py, prepare_model_for_kbit_training"
ADAM = "torch.optim.AdamW; ZeRO paper (arXiv:1910.02054), section 3.1"
ADAM_8BIT = "8-bit Optimizers paper (arXiv:2110.02861), section 2.1; bitsandbytes.optim"
ZERO = "ZeRO paper (arXiv:1910.02054), section 5"
FSDP = "PyTorch FSDP paper (arXiv:2304.11277), sections 3.2 and 4"
DDP = "PyTorch DDP paper (arXiv:2006.15704), section 3.2; torch 2.13, distributed/csrc/c10d/reducer.cpp"
FSDP_HOOKS = "torch 2.4 to 2.13, distributed/fsdp/_runtime_utils.py, _register_post_backward_reshard_only_hook"
CHECKPOINT = "torch.utils.checkpoint; Chen et al. 2016 (arXiv:1604.06174)"
FORWARD = "transformers 4.48 to 5.23, models/llama/modeling_llama.py, LlamaForCausalLM.forward"
LOSS = "transformers, loss/loss_utils.py, ForCausalLMLoss; torch's cross_entropy keeps log-probabilities"
DISENTANGLED = "He et al. 2021 (arXiv:2006.03654), equation 4; transformers 5.23, modeling_deberta_v2.py"
FLASH = "FlashAttention-2 (arXiv:2307.08691), algorithm 1: output and one log-sum-exp a row are kept"
CACHE = "torch, aten/src/ATen/autocast_mode.cpp, cached_cast: cleared when the outermost autocast is left"
MATH = "torch, aten/src/ATen/native/transformers/attention.cpp, _scaled_dot_product_attention_math"
CUBLAS = "torch, aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize"
SOFTMAX = "torch, aten/src/ATen/native/cuda/SoftMax.cu, softmax_backward_cuda_out"
LIGER = "Liger Kernel (arXiv:2410.10989), section 3.2"
LIGER_CHUNK = "Liger Kernel, ops/fused_linear_cross_entropy.py: the next power of two of T / ⌈V/h⌉"
LIGER_NORM = "Liger Kernel (arXiv:2410.10989), section 3.1; ops/rms_norm.py keeps input and root"
LIGER_MLP = "Liger Kernel (arXiv:2410.10989), section 3.1; ops/swiglu.py keeps gate and up, in place backward"
ADAFACTOR = "Adafactor (arXiv:1804.04235), section 3; transformers 5.23, optimization.py"
IN_BACKWARD = "LOMO (arXiv:2306.09782), section 3.1; torch, Tensor.register_post_accumulate_grad_hook"
HOST_OPTIMIZER = "torchao, optim/cpu_offload.py, CPUOffloadOptimizer"
HOST_ACTIVATIONS = "torchtune, training/_activation_offloading.py; TRL, models/activation_offloading.py"
INT8 = "LLM.int8 (arXiv:2208.07339), section 2.1; bitsandbytes 0.50, autograd/_functions.py, MatMul8bitLt"
GPTQ = "GPTQ (arXiv:2210.17323); GPTQModel, nn_modules/qlinear/torch.py multiplies by the dense weight"
AWQ = "AWQ (arXiv:2306.00978); transformers 5.23 trains it through GPTQModel"
MXFP4 = "OCP Microscaling Formats 1.0, section 5.2; transformers 5.23, integrations/mxfp4.py"
TRL = "TRL 0.22, models/utils.py, peft_module_casting_to_bf16; TRL 1.14, trainer/sft_trainer.py"


@dataclass(frozen=True)
class Term:
    """A summand of the breakdown.

    >>> Term("gradients", "gradients of the adapters", "4 · N", 4096, ADAM).bytes
    4096
    """

    part: str
    """The part of the breakdown that it belongs to (`peftcalc.memory.records.PARTS`)."""
    name: str
    """What it is, in words."""
    formula: str
    """In the symbols of this module."""
    bytes: int
    source: str
