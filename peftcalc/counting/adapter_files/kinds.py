"""What the `peft_type`s and the starts of an adapter are, in a sentence each, as peft 0.21 knows them."""

from __future__ import annotations

import re

from peftcalc.checks import nearest

COUNTED = ("LORA", "ADALORA", "VERA")
"""The types whose parameters are counted here; DoRA is LORA with `use_dora`."""

OTHER_KINDS = {
    "ADAMSS": "AdaMSS, low-rank updates within clusters of a weight's singular directions",
    "ADAPTION_PROMPT": "LLaMA-Adapter: prompts in the upper layers, let in by a gate that starts at zero",
    "BEFT": "BEFT, a trained bias on the value projections and nothing else",
    "BOFT": "BOFT, weights turned by products of sparse orthogonal (butterfly) matrices",
    "BONE": "Bone, a block of shared numbers added to every weight; peft calls its successor MISS",
    "C3A": "C3A, updates that are circular convolutions, block by block",
    "CARTRIDGE": "Cartridge, a key and value cache that is trained and put in front of every text",
    "CPT": "context-aware prompt tuning: a prompt of labelled examples whose embeddings are trained within bounds",
    "DEFT": "DEFT, which takes a low-rank part out of each weight and puts a trained one in its place",
    "DELORA": "DeLoRA, a low-rank update whose direction and whose bounded strength are trained apart",
    "FOURIERFT": "FourierFT, updates given by a few trained coefficients of their Fourier transform",
    "FROD": "FRoD, trained sparse coefficients over projections that all layers share",
    "GLORA": "GLoRA, which scales and shifts both weights and biases by trained factors",
    "GRALORA": "GraLoRA, LoRA on every block of a weight that is cut into a grid",
    "HIRA": "HiRA, a low-rank matrix that multiplies the weight entry by entry",
    "HRA": "HRA, weights turned by a chain of trained reflections (Householder)",
    "IA3": "IA³, trained vectors that rescale keys, values and the inner activations of the feed-forward layers",
    "LILY": "Lily, low-rank factors that layers share and a router mixes",
    "LN_TUNING": "LayerNorm tuning: the normalization layers are trained, and no adapter is added",
    "LOHA": "LoHa, an update that is the entrywise product of two low-rank matrices",
    "LOKR": "LoKr, an update that is a Kronecker product of small matrices",
    "MISS": "MiSS, one small trained matrix per weight, repeated over its inputs",
    "MULTITASK_PROMPT_TUNING": "multitask prompt tuning: a prompt that tasks share, with a low-rank change for each",
    "OFT": "OFT, weights turned by trained orthogonal blocks",
    "OSF": "OSF, training within the weights' smaller singular directions while the largest stay fixed",
    "PEANUT": "PEANuT, a small network that computes the update from the weight itself",
    "POLY": "Poly, several LoRA adapters, mixed per task by a trained router",
    "PREFIX_TUNING": "prefix tuning: trained keys and values in front of every layer's own",
    "PROMPT_TUNING": "prompt tuning: trained embeddings in front of the text, while the model stays as it is",
    "PSOFT": "PSOFT, a trained rotation between two fixed low-rank factors of each weight",
    "PVERA": "PVeRA, VeRA whose vectors are drawn from a trained distribution",
    "P_TUNING": "p-tuning: a prompt whose embeddings a small trained encoder produces",
    "RANDLORA": "RandLoRA, trained diagonal mixtures of many fixed random low-rank matrices",
    "ROAD": "RoAd, trained rotations and scales of pairs of outputs",
    "SHADOW": "ShadowPEFT, a small network that runs beside the decoder and corrects the input of its blocks",
    "SHIRA": "SHiRA, a sparse choice of the weight's own entries, trained directly",
    "SUPERTUNING": "Super-Tuning, the entries of largest magnitude of each weight, trained directly",
    "TINYLORA": "TinyLoRA, a few trained numbers, projected through fixed tensors onto every weight",
    "TRAINABLE_TOKENS": "trainable tokens: some rows of the embedding are trained and nothing else; "
    "LORA counts them with trainable_token_indices",
    "UNILORA": "Uni-LoRA, one trained vector, projected onto the LoRA factors of all layers",
    "VBLORA": "VB-LoRA, low-rank factors put together from a bank of vectors that all layers share",
    "WAVEFT": "WaveFT, updates given by a few trained coefficients of their wavelet transform",
    "XLORA": "X-LoRA, finished LoRA adapters, mixed per token by a trained classifier",
}

STARTS = {
    "True": "A is random and B zero, so that training begins at the base model",
    "False": "A and B are both random: the adapter changes the model from the first step on (for tests)",
    "gaussian": "A is drawn from a normal distribution with deviation 1/r and B is zero",
    "eva": "A holds the main directions of the layers' inputs on some data (EVA) and B is zero",
    "olora": "A and B are the first part of the weight's QR decomposition (OLoRA), which is taken out of the base",
    "pissa": "A and B hold the weight's largest singular directions (PiSSA), which are taken out of the base",
    "corda": "A and B hold directions of the weight chosen by sample inputs (CorDA), which are taken out of the base",
    "loftq": "A and B begin as what quantization loses of the weight (LoftQ)",
    "orthogonal": "A and B begin orthogonal to each other, so that their product is zero",
    "lora_ga": "A and B hold the main directions of the first gradient (LoRA-GA), and the base is shifted to match",
    "mica": "B holds the weight's smallest singular directions and stays frozen (MiCA); only A is trained",
}
"""`init_lora_weights` of peft."""

TAKEN_FROM_THE_BASE = ("olora", "pissa", "corda", "lora_ga")
"""Starts after which the base is another one."""

_PISSA = re.compile(r"pissa(_niter_(\d{1,4}))?")


def kind_of(config_kind: object) -> str:
    """The `peft_type` that is counted here, in capitals.

    Raises:
        ValueError: another type, with a sentence on what it is; or none that peft knows, with the nearest.

    >>> kind_of("lora")
    'LORA'
    """
    kind = str(config_kind).upper().removeprefix("PEFTTYPE.")
    if kind in COUNTED:
        return kind
    wanted = "peft_type must be LORA (with use_dora for DoRA), ADALORA or VERA to be counted here"
    if kind in OTHER_KINDS:
        raise ValueError(f"{wanted}, got {kind}, which is {OTHER_KINDS[kind]}")
    near = nearest(kind, [*COUNTED, *OTHER_KINDS], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"{wanted}, got {config_kind!r}, which peft does not know{hint}")


def start_of(value: object) -> str:
    """The key of `STARTS` for a value of `init_lora_weights`, as peft reads it.

    Raises:
        ValueError: a value that peft does not know.

    >>> start_of("pissa_niter_16"), start_of(None), start_of("OLoRA")
    ('pissa', 'False', 'olora')
    """
    if value is None or isinstance(value, bool):
        return str(bool(value))
    text = str(value)
    if _PISSA.fullmatch(text):
        return "pissa"
    key = text.lower() if text.lower() in ("gaussian", "olora", "mica") else text
    if key in STARTS and key not in ("True", "False"):
        return key
    near = nearest(text, [*STARTS, "pissa_niter_16"], 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join([*list(STARTS)[:2], *(repr(name) for name in list(STARTS)[2:])])
    raise ValueError(f"init_lora_weights must be one of {known}, or 'pissa_niter_N', got {value!r}{hint}")
