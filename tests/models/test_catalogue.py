"""The bundled catalogue: published totals, names, and the promise that nothing heavy is imported to answer for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peftcalc.models.catalogue import (
    SHAPES_FOLDER,
    catalogue,
    catalogue_entry,
    catalogue_id,
    catalogue_ids,
    catalogue_shapes,
    shapes_file,
)

ROOT = Path(__file__).parents[2]

# Typed from model cards (safetensors totals), the authors' tables and print_trainable_parameters; not from the data.
PUBLISHED = {
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "huggyllama/llama-7b": 6_738_415_616,
    "huggyllama/llama-65b": 65_285_660_672,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "microsoft/phi-2": 2_779_683_840,
    "microsoft/phi-4": 14_659_507_200,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-7b": 8_537_680_896,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-3-4b-pt": 4_300_079_472,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "tiiuae/falcon-7b": 6_921_720_704,
    "facebook/opt-6.7b": 6_658_473_984,
    "EleutherAI/pythia-70m": 70_426_624,
    "EleutherAI/pythia-12b": 11_846_072_320,
    "EleutherAI/gpt-j-6b": 6_050_882_784,
    "EleutherAI/gpt-neox-20b": 20_554_567_680,
    "bigscience/bloom-560m": 559_214_592,
    "bigscience/bloom": 176_247_271_424,
    "openai-community/gpt2": 124_439_808,
    "openai-community/gpt2-xl": 1_557_611_200,
    "allenai/OLMo-2-1124-7B": 7_298_617_344,
    "deepseek-ai/DeepSeek-V2-Lite": 15_706_484_224,
    "google-bert/bert-base-uncased": 109_514_298,
    "FacebookAI/roberta-large": 355_412_057,
    "microsoft/deberta-v3-base": 183_831_552,
    "google-t5/t5-base": 222_903_552,
    "google/flan-t5-base": 247_577_856,
    "openai/whisper-large-v2": 1_543_304_960,
    "google/vit-base-patch16-224": 86_567_656,
}

# One model at least of every family that the issue asks for.
FAMILIES = [
    "Llama 1", "Llama 2", "Llama 3", "Llama 3.1", "Llama 3.2", "Llama 3.3", "Mistral", "Mixtral", "Phi", "Phi-3",
    "Phi-4", "Qwen2", "Qwen2.5", "Qwen3", "Gemma", "Gemma 2", "Gemma 3", "SmolLM2", "TinyLlama", "Falcon", "OPT",
    "Pythia", "GPT-2", "GPT-J", "GPT-NeoX", "BLOOM", "OLMo 2", "Granite", "StableLM", "DeepSeek", "BERT",
    "RoBERTa", "DeBERTa", "T5", "Flan-T5", "Whisper", "ViT", "GPT-3",
]  # fmt: skip


COLUMNS = (
    "family", "parameters", "layers", "hidden_size", "heads", "kv_heads", "vocab_size", "context", "architecture",
    "licence", "source",
)  # fmt: skip


def test_at_least_sixty_models_of_every_family_asked_for():
    table = catalogue()
    assert len(table) >= 60
    assert set(FAMILIES) <= set(table["family"])
    for name in ("microsoft/phi-1_5", "microsoft/phi-2", "microsoft/Phi-3.5-mini-instruct", "microsoft/phi-4"):
        assert name in table.index


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_the_count_is_the_published_one(name: str, published: int):
    assert catalogue_shapes(name).total == published == catalogue_entry(name).parameters


def test_every_row_is_confirmed_and_its_shapes_add_up_to_it():
    for name in catalogue_ids():
        entry = catalogue_entry(name)
        assert entry.confirmed, name
        assert entry.source, name
        assert catalogue_shapes(name).total == entry.parameters, name


def test_a_count_that_differs_is_not_confirmed():
    entry = catalogue_entry("openai-community/gpt2")
    assert not replace(entry, published=entry.published + 1).confirmed
    rounded = catalogue_entry("gpt-3-175b")
    assert rounded.published_digits == 4
    assert not replace(rounded, published=174_700_000_000).confirmed


def test_the_table_has_one_row_a_model_and_the_named_columns():
    table = catalogue()
    assert table.index.name == "id"
    assert table.index.is_unique
    assert not table.isna().any().any()
    assert set(COLUMNS) <= set(table.columns)
    llama = table.loc["meta-llama/Llama-3.1-8B"]
    assert (llama.layers, llama.hidden_size, llama.heads, llama.kv_heads, llama.head_dim) == (32, 4096, 32, 8, 128)
    assert (llama.vocab_size, llama.context, llama.architecture) == (128_256, 131_072, "LlamaForCausalLM")
    gemma = table.loc["google/gemma-7b"]
    assert gemma.head_dim * gemma.heads != gemma.hidden_size
    assert table.loc["tiiuae/falcon-7b"].kv_heads == 1


def test_the_table_is_the_callers_own():
    table = catalogue()
    table.loc["openai-community/gpt2", "parameters"] = 0
    assert catalogue().loc["openai-community/gpt2", "parameters"] == 124_439_808


def test_gpt3_gives_the_lora_papers_counts():
    """LoRA paper, table 15: query and value, rank 1 → 4.7M, rank 8 → 37.7M."""
    shapes = catalogue_shapes("gpt-3-175b")
    adapted = [group for _, group in shapes.modules() if group.suffix in ("q_proj", "v_proj")]
    assert len(adapted) == 2 * 96
    per_rank = sum(group.in_features + group.out_features for group in adapted)
    assert (per_rank, 8 * per_rank) == (4_718_592, 37_748_736)


@pytest.mark.parametrize(
    ("typed", "model_id"),
    [
        ("meta-llama/llama-3.1-8b", "meta-llama/Llama-3.1-8B"),
        ("  Llama-3.1-8B ", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-4k-instruct"),
        ("gpt2", "openai-community/gpt2"),
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
        ("GPT-3", "gpt-3-175b"),
    ],
)
def test_a_model_is_found_by_what_people_type(typed: str, model_id: str):
    assert catalogue_id(typed) == model_id
    assert catalogue_shapes(typed).id == model_id


def test_an_unknown_name_is_answered_with_the_nearest():
    assert catalogue_id("nobody/nothing") is None
    with pytest.raises(ValueError, match=r"'meta-llama/Llama-3.1-9B' is not in the catalogue .*Llama-3\.1-8B"):
        catalogue_shapes("meta-llama/Llama-3.1-9B")
    with pytest.raises(ValueError, match="None is not in the catalogue"):
        catalogue_entry(None)  # type: ignore[arg-type]


def test_no_name_belongs_to_two_models():
    claimed: dict[str, str] = {}
    for model_id in catalogue_ids():
        for name in (model_id, *catalogue_entry(model_id).aliases):
            assert claimed.setdefault(name.lower(), model_id) == model_id, name


def test_the_data_holds_the_listed_models_and_stays_small():
    present = set(SHAPES_FOLDER.iterdir())
    assert present == {shapes_file(model_id) for model_id in catalogue_ids()}
    assert sum(path.stat().st_size for path in present) < 500_000


def test_shapes_are_stored_once_a_layer_and_read_back_whole():
    shapes = catalogue_shapes("meta-llama/Llama-3.1-405B")
    assert len(shapes.groups) < 20
    assert type(shapes).from_dict(json.loads(json.dumps(shapes.to_dict()))) == shapes


def test_an_answer_imports_nothing_heavy():
    code = (
        "import sys; from peftcalc.models.catalogue import catalogue_shapes\n"
        "assert catalogue_shapes('meta-llama/Llama-3.1-8B').total == 8030261248\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'matplotlib', 'streamlit'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


QUICK = [
    "openai-community/gpt2",
    "meta-llama/Llama-3.2-1B",
    "google/flan-t5-small",
    "google/vit-base-patch16-224",
    "Qwen/Qwen1.5-MoE-A2.7B",
]


@pytest.mark.parametrize("name", QUICK)
def test_the_shipped_shapes_equal_a_fresh_build(name: str, builder):
    facts = {facts.entry["id"]: facts for facts in builder.read_facts()}[name]
    assert builder.build(facts) == (catalogue_entry(name), catalogue_shapes(name))


@pytest.mark.slow
def test_all_shipped_shapes_equal_a_fresh_build(builder):
    built = {facts.entry["id"]: builder.build(facts) for facts in builder.read_facts()}
    assert set(built) == set(catalogue_ids())
    for name, model in built.items():
        assert model == (catalogue_entry(name), catalogue_shapes(name)), name


def test_a_wrong_fact_stops_the_script(builder):
    facts = next(facts for facts in builder.read_facts() if facts.entry["id"] == "openai-community/gpt2")
    wrong_total = facts.card | {"total": facts.card["total"] + 1}
    with pytest.raises(ValueError, match=r"does not add up to the card's total from 124,439,808"):
        builder.build(replace(facts, card=wrong_total))
    with pytest.raises(ValueError, match="built 117,351,936 parameters, published 124,439,808"):
        builder.build(replace(facts, config=facts.config | {"n_layer": 11}))


def test_a_card_that_counts_more_says_what():
    """Safetensors totals of the hub: buffers, second copies and heads that training leaves out are named."""
    assert catalogue_entry("gpt2").note == (
        "The card's total of 137,022,720 also counts 12 causal masks of 1024 × 1024 (12,582,912)."
    )
    assert "684,531,386,000" in catalogue_entry("deepseek-ai/DeepSeek-V3").note


@pytest.fixture(scope="module")
def builder():
    """`scripts/build_catalogue.py` as a module."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("build_catalogue", ROOT / "scripts" / "build_catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
