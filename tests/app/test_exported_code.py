"""What a page exports as code runs as it is, and prints the page's own numbers wherever its controls are moved."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest
from exported import Exports, counted, printed

import peftcalc as pc
from peftcalc import units
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.memory.options import CHOICES, SWITCHES
from peftcalc.ui.components.codes import codes_data, weights_of
from peftcalc.ui.pages import PAGES

SMALL = '{"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 500}'


@pytest.fixture
def exports(monkeypatch) -> Exports:
    return Exports(monkeypatch)


def memory_row(exports: Exports, label: str = "QLoRA"):
    table = exports.tables["fit"]
    return table[table["method"] == label].iloc[0]


MEMORY_CONTROLS = {
    "model": "openai-community/gpt2",
    "gpu": "T4",
    "rank": "64",
    "batch": "4",
    "sequence": "512",
    "checkpointing": "false",
    "method": "Full",
    "gpus": "4",
    "accumulation": "4",
    "chunk_size": "256",
    **{name: list(values)[-1] for name, values in CHOICES.items()},
    **{name: "true" for name in SWITCHES if name != "checkpointing"},
}
"""Each control of the page by its key, and a value that is not its default."""
ON_BY_DEFAULT = ("autocast", "adapters_float32", "kbit_upcast", "padding", "keep_outputs")
MEMORY_CONTROLS |= dict.fromkeys(ON_BY_DEFAULT, "false")
NEED_ANOTHER = {"gpus": {"sharding": "zero3"}, "sharding": {"gpus": "4"}, "padding": {"batch": "4"}}
"""What must stand beside a control for it to change anything."""
DRAWN_ELSEWHERE = {"tokens", "price", "model-hub", "memory-guess", "section"}
"""Controls that change what no snippet shows: hours and money, a guess, a model by name on the hub."""
OPEN = {"section": "the step", "table": "true", "terms": "true", "code": "true"}
"""The boxes of the page that are drawn when they are opened."""


def check_memory(exports: Exports, **query: str) -> tuple[str, str]:
    exports.open("memory", **OPEN, **query)
    out = printed(exports.code["estimate.py"])
    row = memory_row(exports, query.get("method", "QLoRA"))
    terms = exports.tables["terms"]
    assert f"allocated {row['allocated']}, {terms['bytes'].sum():,} bytes" in out
    assert f"needs {row['needs']}: {row['verdict']}" in out
    assert f"largest batch {row['largest batch']}, longest sequence {row['longest sequence']}" in out
    return out, exports.code["estimate.py"]


def test_memorys_code_prints_the_pages_numbers_after_several_controls_moved(exports):
    moved = {"batch": "4", "sequence": "512", "checkpointing": "false", "gpu": "T4", "optimizer": "sgd"}
    assert check_memory(exports, **moved)[0] != check_memory(exports)[0]


@pytest.mark.slow
@pytest.mark.parametrize("control", MEMORY_CONTROLS)
def test_memorys_code_follows_each_control(exports, control):
    beside = NEED_ANOTHER.get(control, {})
    before = check_memory(exports, **beside)[1]
    assert check_memory(exports, **beside, **{control: MEMORY_CONTROLS[control]})[1] != before


def test_every_control_of_the_memory_page_is_among_those_that_are_moved(exports):
    page = exports.open("memory", section="the step")
    kinds = ("select_slider", "selectbox", "toggle", "button_group", "number_input", "text_input")
    keys = {widget.key for kind in kinds for widget in page.get(kind) if widget.key}
    assert len(keys) > 20
    assert keys - DRAWN_ELSEWHERE == set(MEMORY_CONTROLS)


def test_memorys_code_has_a_pasted_configuration_in_it(exports):
    page = exports.open("memory", **OPEN)
    page.text_area(key="model-pasted").set_value(SMALL).run()
    out = printed(exports.code["estimate.py"])
    assert memory_row(exports)["allocated"] in out


@pytest.mark.parametrize(
    "query",
    [
        {"gpu": "T4", "priority": "memory", "tasks": "10", "batch": "2", "sequence": "512"},
        {"gpu": "V100 16GB", "model": "Qwen/Qwen2.5-0.5B", "priority": "quality"},
    ],
)
def test_the_advice_is_printed_with_the_pages_numbers(exports, query):
    page = exports.open("choose", **query)
    out = printed(exports.code["advice.py"])
    answer = "".join(element.proto.body for element in page.get("html"))
    needs = re.search(r": ([\d.]+) of [\d.]+ GiB", answer)
    method = re.search(r'class="large">(\w+)<', answer)
    assert needs
    assert method
    assert f"needs {needs[1]} " in out
    assert out.startswith(f"{method[1]}(")
    script = exports.code["finetune.py"]
    assert "DTYPE = torch.float16" in script
    assert f"per_device_train_batch_size={query.get('batch', 1)}," in script
    assert f"SEQUENCE = {query.get('sequence', 2048)}" in script
    assert "fp16: " + ("true" if method[1] != "Full" else "false") in exports.code["axolotl.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize("control", ["gpu", "priority", "tasks", "batch", "sequence", "model"])
def test_choosing_changes_the_code_with_each_control(exports, control):
    start = {"model": "openai-community/gpt2-large", "gpu": "RTX 4090", "batch": "16", "sequence": "1024"}
    moved = {
        "gpu": "T4",
        "priority": "memory",
        "tasks": "20",
        "batch": "1",
        "sequence": "256",
        "model": "Qwen/Qwen2.5-0.5B",
    }
    exports.open("choose", **start)
    before = dict(exports.code)
    exports.open("choose", **{**start, control: moved[control]})
    assert exports.code["advice.py"] != before["advice.py"]
    printed(exports.code["advice.py"])


def test_the_count_of_a_pasted_model_is_printed_by_its_code(exports):
    page = exports.open("parameters", section="a real model")
    page.text_area(key="model-pasted").set_value(SMALL).run()
    shown = re.sub(r"\D", "", next(m.help for m in page.metric if m.label == "Trained"))
    trained, _ = counted(printed(exports.code["lora_config.py"]))
    assert trained == int(shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        {"rank": "4"},
        {"alpha": "8"},
        {"method": "QDoRA"},
        {"dropout": "0.1"},
        {"rslora": "true"},
        {"pattern": r".*\.c_attn"},
        {"targets": "c_attn"},
        {"model": "google-t5/t5-small"},
    ],
    ids=lambda query: next(iter(query)),
)
def test_the_parameters_code_follows_each_control(exports, query):
    exports.open("parameters", section="a real model", model="openai-community/gpt2")
    before = dict(exports.code)
    exports.open("parameters", section="a real model", **{"model": "openai-community/gpt2", **query})
    for name in ("lora_config.py", "finetune.py"):
        assert exports.code[name] != before[name]
        ast.parse(exports.code[name])


def test_the_parameters_page_prints_one_matrix_and_the_update_by_hand(exports):
    page = exports.open("parameters", opened=("one-more",), section="one matrix", size=units.short_count(10**6), r="16")
    out = printed(exports.code["one_matrix.py"])
    shown = next(m.help for m in page.metric if m.label == "Trained by LoRA")
    assert out.split()[:2] == ["1000", re.sub(r"\D", "", shown)]
    from peftcalc.counting.worked_example import worked_example

    exports.open("parameters", opened=("hand-more",), hand="rank:2;alpha:2", numbers="3")
    assert printed(exports.code["update_by_hand.py"]).strip() == str(worked_example(rank=2, seed=3).adapted)
    exports.open("parameters", opened=("hand-more",), hand="rank:2;cells:0,1,1,7,1,0,2,-5,1,4,0,9", numbers="3")
    example = worked_example(rank=2, seed=3)
    example.B[1, 1], example.A[0, 2] = 7, -5
    assert printed(exports.code["update_by_hand.py"]).strip() == str(example.W + 1 / 2 * example.B @ example.A)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"noise": "2", "count": "16,384", "block": "128"},
        {"data": "Gaussian with outliers", "outlier": "100", "share": "1 %"},
        {"data": "Trained matrix", "matrix": "layers.1.mlp.up_proj", "formats": ["NF4", "int2 blocks"]},
    ],
    ids=["as it opens", "other numbers", "outliers", "trained"],
)
def test_the_ranking_is_printed_again(exports, query):
    exports.open("quantization", section="a matrix", picture="table and code", **query)
    out = printed(exports.code["quantization_error.py"])
    for row in exports.tables["quantization-error"].to_dict("records"):
        assert f"{row['format']} QuantizationError(" in out
        assert f"rmse={row['RMSE']!r}" in out
        assert f"max_abs={row['largest error']!r}" in out
        if "layer's output changes by, %" in row:
            assert f"output_error={row['layer' + chr(39) + 's output changes by, %'] / 100:.9g}"[:22] in out


def test_an_uploaded_file_is_read_by_its_name(tmp_path):
    from peftcalc.ui.quantization.as_code import ranking_code
    from peftcalc.ui.quantization.numbers import Choice

    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    np.save(tmp_path / "mine.npy", weight)
    from safetensors.numpy import save_file

    save_file({"w": weight}, tmp_path / "mine.safetensors")
    expected = pc.quantization_error(weight, "nf4", block_size=64)
    for name in ("mine.npy", "mine.safetensors"):
        text = ranking_code(Choice("Your file", matrix="w", file=name), 64, ["NF4"])
        assert f"rmse={expected.rmse!r}" in printed(text, tmp_path)


@pytest.mark.parametrize("x", ["0.1", "-3e-5", "inf", "nan", "1e30"])
def test_one_number_is_printed_in_every_format(exports, x):
    exports.open("quantization", bits=f"x:{x};absmax:5", opened=("bits-table", "bits-code"))
    out = printed(exports.code["one_number.py"])
    for row in exports.tables["one-number-in-every-format"].to_dict("records"):
        line = next(line for line in out.splitlines() if f"'{row['format']}'" in line)
        value = re.search(r"value=([^,]+)", line)
        assert value
        assert f"{float(value.group(1)):.9g}" == row["stored"]


def test_the_codes_of_dragged_weights_are_printed(exports):
    link = "format:int4;size:16;moved:20,8"
    exports.open("quantization", section="sixty-four weights", codes=link, opened=("codes-code",))
    data = codes_data()
    expected = pc.quantize(np.float32(weights_of(data, {"moved": [20, 8]})), "int4", block_size=16)
    out = printed(exports.code["weights.py"])
    assert str(expected.code_values()) in out
    assert str(expected.dequantize()) in out


def test_one_row_is_printed(exports):
    page = exports.open("dora", "arrow", arrow="x:-1;y:2.5")
    length, turn = (float(number) for number in re.findall(r"_change=([\d.e-]+)", printed(exports.code["one_row.py"])))
    shown = " ".join(formula.value for formula in page.latex)
    assert f"= {length:.4f}" in shown
    assert f"= {turn:.4f}" in shown


@pytest.mark.slow
@pytest.mark.parametrize("query", [{"decay": "0.3"}, {"norm": "column"}, {"relative": "true"}, {"base": "2"}], ids=str)
def test_the_moves_code_follows_each_control(exports, query):
    exports.open("dora", "moves", section="matrices")
    before = exports.code["moves.py"]
    exports.open("dora", "moves", section="matrices", **query)
    assert exports.code["moves.py"] != before


@pytest.mark.slow
def test_the_knock_outs_code_follows_its_teacher(exports):
    exports.open("dora", "knock", section="knock-out")
    before = exports.code["knock_out.py"]
    exports.open("dora", "knock", section="knock-out", teacher=TASKS["rank"].title)
    assert exports.code["knock_out.py"] != before


def test_the_scaling_is_printed(exports):
    page = exports.open("rank", "scaling", section="alpha", alpha="64", r="16", rslora="true")
    shown = next(metric.value for metric in page.metric if metric.label.startswith("Scaling"))
    assert f"{float(printed(exports.code['scaling.py'])):.6g}" == shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "fold", "query", "name"),
    [
        ("a known rank", "known", {"k": "8"}, "known_rank.py"),
        ("a known rank", "known", {"spectrum": "decaying"}, "known_rank.py"),
        ("dropout", "dropout", {"dropouts": "0.1"}, "dropout.py"),
    ],
    ids=str,
)
def test_the_rank_pages_code_follows_each_control(exports, section, fold, query, name):
    exports.open("rank", fold, section=section)
    before = exports.code[name]
    exports.open("rank", fold, section=section, **query)
    assert exports.code[name] != before


SECTIONS = {
    "dora": {"one arrow": "arrow", "matrices": "moves", "knock-out": "knock"},
    "rank": {"a known rank": "known", "alpha": "scaling", "dropout": "dropout"},
    "parameters": {"by hand": "hand-more", "one matrix": "one-more"},
    "findings": {
        "learning rate": "learning-rate",
        **{name: name for name in ("capacity", "alpha", "merging", "forgetting", "intruders", "starts", "layers")},
    },
}
"""Pages whose code is folded away, by section: the fold's name, or the key of an expander."""
GUESSES = {"learning rate": "rates", "alpha": "alpha-map"}
"""Questions of the findings that have another name than their section; the drawers open with the guess."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("path", "section"), [(path, name) for path, names in SECTIONS.items() for name in names])
def test_every_snippet_of_a_section_runs(exports, path, section, tmp_path):
    fold = SECTIONS[path][section]
    guess = GUESSES.get(section, section) if path == "findings" else ""
    exports.open(path, fold, opened=(fold,), guess=guess, section=section)
    assert exports.code
    for name, text in exports.code.items():
        if "from_pretrained" in text:
            continue  # run in tests/recipes on a small model
        assert printed(short(text), tmp_path).strip(), f"{name} prints nothing"


def short(text: str) -> str:
    """The same code with two steps in the place of however many it has, and maps of a single seed."""
    text = re.sub(r"(_map\()seeds=\d+", r"\1seeds=1, steps=2", text)
    text = re.sub(r"(finetune\(.*)seed=0\)", r"\1seed=0, steps=2)", text)
    return re.sub(r"steps=\d+", "steps=2", text)


WITH_CODE = {
    "quantization": {"section": "a matrix", "picture": "table and code"},
    "memory": OPEN,
    "parameters": {"section": "a real model"},
    "train": {"opened": ("fold-comparison",)},
}
"""Where a page has its code, when that is not in sight as it opens."""
WITHOUT_CODE = {"class"}
"""Pages that compute nothing of their own."""
WHOLE_PAGES = [e.path for e in PAGES if e.path and e.path not in WITHOUT_CODE]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", [path for path in WHOLE_PAGES if path in WITH_CODE or path not in SECTIONS])
def test_every_snippet_of_a_page_runs(exports, path, tmp_path):
    exports.open(path, **WITH_CODE.get(path, {}))
    assert exports.code
    for name, text in exports.code.items():
        if name.endswith(".yaml") or "from_pretrained" in text:
            continue  # the file is judged by its schema; what loads weights is run in tests/recipes on small models
        assert printed(short(text), tmp_path).strip(), f"{name} prints nothing"


def test_a_race_prints_its_comparison():
    from peftcalc.lab.race import Race

    race = Race("digits", ("lora", "dora"), rank=2, alpha=6, steps=2, learning_rate=0.00123456789)
    out = printed(race.to_code())
    assert "LoRA" in out
    assert "DoRA" in out
    assert "learning_rate=0.00123456789," in race.settings("lora", 0).to_code()
    assert len(printed(race.settings("lora", 0).to_code()).splitlines()) >= 2
