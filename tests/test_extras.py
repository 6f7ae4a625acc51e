"""What a bare installation answers, and that what needs more says so in one line with the command that installs it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from blocked import EXTRAS, without

from peftcalc.lazy import INSTALL, MissingExtra, explained
from peftcalc.models.catalogue import catalogue_ids

LAB = "pip install 'peftcalc[lab]'"
MODEL = "meta-llama/Llama-3.2-1B"
SAMPLE = catalogue_ids()[::24]
MISSING = tuple(package for package in EXTRAS if package not in ("numpy", "safetensors"))
"""What an installation without extras lacks, and two packages more that can be done without."""


def test_every_bundled_model_is_counted_and_sized_without_any_extra():
    code = """
from peftcalc.models.catalogue import catalogue_ids
ids = catalogue_ids()
answer = {i: [pc.count(i, pc.LoRA(rank=8)).trainable, pc.estimate_memory(i, pc.QLoRA(rank=8)).total] for i in ids}
"""
    answers = without(EXTRAS, code)
    assert tuple(answers) == catalogue_ids()
    assert all(trainable > 0 and size > 0 for trainable, size in answers.values())


FIT_AND_ADVISE = """
answer = {}
for model in MODELS:
    advice = pc.advise(model, "A100 80GB")
    answer[model] = [[f.method.name for f in pc.fit(model, "A100 80GB")], [f.method.name for f in advice.fits]]
    assert advice.method.name in answer[model][1] and advice.reasons
"""


@pytest.mark.parametrize("models", [SAMPLE, pytest.param(catalogue_ids(), marks=pytest.mark.slow)], ids=["some", "all"])
def test_bundled_models_are_fitted_and_advised_without_any_extra(models):
    answers = without(EXTRAS, f"MODELS = {models!r}\n{FIT_AND_ADVISE}")
    assert tuple(answers) == models
    for fitted, advised in answers.values():
        assert set(fitted) <= set(advised)  # on stacked experts advice adapts the attention, and nothing is refused
        assert {"full", "lora", "qlora"} <= set(fitted)


COMMANDS = {
    "count": (0, [MODEL, "--method", "dora"]),
    "memory": (1, ["meta-llama/Llama-3.1-8B", "--gpu", "T4"]),
    "speed": (0, [MODEL, "T4", "--examples", "1000", "--price", "2"]),
    "fit": (0, [MODEL, "T4", "--sequence", "512"]),
    "advise": (0, [MODEL, "T4"]),
    "models": (0, ["llama"]),
    "square": (0, ["--parameters", "4e9"]),
}


def test_the_commands_answer_without_any_extra_as_with_all():
    calls = [[name, *words, *extra] for name, (_, words) in COMMANDS.items() for extra in ([], ["--json"])]
    code = f"answer = [terminal(*words) for words in {calls!r}]"
    bare = without(EXTRAS, code)
    assert bare == without((), code)
    for (name, *words), (exit_code, out, err) in zip(calls, bare, strict=True):
        assert (exit_code, err) == (COMMANDS[name][0], ""), name
        assert json.loads(out) if "--json" in words else out


@pytest.mark.slow
def test_the_commands_answer_for_every_model_without_any_extra():
    code = """
from peftcalc.models.catalogue import catalogue_ids
answer = {}
for model in catalogue_ids():
    for words in (["count", model], ["memory", model, "--gpu", "T4"], ["fit", model, "T4"], ["advise", model, "T4"]):
        for extra in ([], ["--json"]):
            code, out, err = terminal(*words, *extra)
            if code not in (0, 1) or err or not out:
                answer[" ".join([*words, *extra])] = err
"""
    assert without(EXTRAS, f"answer = {{}}{code}") == {}


NEEDS = {
    ("count", "CONFIG"): "a config outside the catalogue needs torch: " + LAB,
    ("memory", "CONFIG", "--json"): "a config outside the catalogue needs torch: " + LAB,
    ("fit", "CONFIG", "T4"): "a config outside the catalogue needs torch: " + LAB,
    ("advise", "CONFIG", "T4"): "a config outside the catalogue needs torch: " + LAB,
    ("memory", MODEL, "--simulate"): "a simulation needs torch: " + LAB,
    ("measure", MODEL): "a measurement needs torch: " + LAB,
    ("quantize", "--normal", "8x8"): "this command needs torch: " + LAB,
    ("train", "--steps", "1"): "this command needs torch: " + LAB,
    ("sweep", "--steps", "1"): "a sweep needs torch: " + LAB,
    ("count", "owner/model"): "a hub id needs huggingface_hub: pip install huggingface_hub",
    ("app",): "the app needs streamlit: pip install 'peftcalc[app]'",
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "g.json"
    path.write_text(json.dumps({"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 16}))
    return str(path)


def test_a_command_that_needs_an_extra_says_so_in_one_line(config):
    calls = [[config if word == "CONFIG" else word for word in words] for words in NEEDS]
    answers = without(MISSING, f"answer = [terminal(*words) for words in {calls!r}]")
    for (name, *_), sentence, (code, out, err) in zip(NEEDS, NEEDS.values(), answers, strict=True):
        assert (code, out, err) == (2, "", f"peftcalc {name}: {sentence}\n")


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_half_of_what_an_unknown_config_needs_is_not_enough(config, package):
    code, out, err = without((package,), f"answer = terminal('count', {config!r})")
    sentence = f"a config outside the catalogue needs {package}: {LAB}"
    assert (code, out, err) == (2, "", f"peftcalc count: {sentence}\n")


NAMES = {
    "pc.finetune('names', pc.LoRA())": "peftcalc.finetune needs torch: " + LAB,
    "pc.compare('names', seeds=1)": "a comparison needs torch: " + LAB,
    "pc.attach": "peftcalc.attach needs torch: " + LAB,
    "pc.load_adapter": "peftcalc.load_adapter needs torch: " + LAB,
    "pc.quantize": "peftcalc.quantize needs torch: " + LAB,
    "pc.simulate_memory('gpt2', pc.LoRA())": "a simulation needs torch: " + LAB,
    "pc.load_model({'model_type': 'gpt2'})": "a config outside the catalogue needs torch: " + LAB,
    "pc.catalogue()": "the catalogue as a table needs pandas: pip install pandas",
    "pc.gpus()": "the cards as a table needs pandas: pip install pandas",
    "pc.count('gpt2', pc.LoRA()).by_kind": "the count as a table needs pandas: pip install pandas",
    "pc.count('gpt2', pc.LoRA()).by_module": "the count as a table needs pandas: pip install pandas",
    "pc.LoRA().to_peft()": "a peft.LoraConfig needs peft: " + LAB,
    "pc.QLoRA().to_bitsandbytes()": "a transformers.BitsAndBytesConfig needs torch: " + LAB,
    "pc.read_adapter_config({'peft_type': 'LORA', 'r': 8, 'base_model_name_or_path': 'gpt2'})": (
        "an adapter config without target_modules needs peft: " + LAB
    ),
}


def test_a_name_that_needs_an_extra_says_so():
    code = f"answer = [said(lambda code=code: eval(code)) for code in {list(NAMES)!r}]"
    for name, answer in zip(NAMES, without(MISSING, code), strict=True):
        assert answer == ["MissingExtra", True, NAMES[name]], name


def test_a_task_says_what_it_needs():
    code = "answer = said(lambda: list(pc.finetune('digits', pc.LoRA(), steps=1)))"
    assert without(("sklearn",), code) == ["MissingExtra", True, "the task digits needs sklearn: " + LAB]


def test_what_no_extra_brings_is_not_explained():
    with pytest.raises(ModuleNotFoundError) as raised, explained("this"):
        import peftcalc_has_no_such_module  # noqa: F401  # pyright: ignore[reportMissingImports]
    assert not isinstance(raised.value, MissingExtra)


def test_the_commands_that_install_are_the_projects_own():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    brings = {name: {_distribution(one) for one in some} for name, some in project["optional-dependencies"].items()}
    always = {_distribution(one) for one in project["dependencies"]}
    distributions = {"sklearn": "scikit-learn", "altair": "streamlit"}  # the second brings the first
    for package, target in INSTALL.items():
        extra = re.fullmatch(r"'peftcalc\[(\w+)\]'", target)
        wanted = always | brings.get(extra.group(1), set()) if extra else always
        assert distributions.get(package, package) in wanted, package


def _distribution(requirement: str) -> str:
    return re.split(r"[<>=\[ ]", requirement)[0]
