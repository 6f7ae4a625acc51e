"""The adapter's section of the Parameters page: what it shows is what the core says, and strangers stay outside."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from adapter_files import BASE, CONFIG, TENSORS, edit_config, peft_load, write_adapter
from adapter_hub import Hub, adapter_hub
from streamlit.testing.v1 import AppTest

import peftcalc as pc
from peftcalc.doctor.strangers import from_hub, inspect_given, smaller_adapter
from peftcalc.models import hub
from peftcalc.ui.doctor import example_adapter, upload

pytestmark = pytest.mark.usefixtures("work_at_once")

PAGE = Path(__file__).parents[2] / "pages" / "parameters.py"
MINIMAL = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["c_attn"]}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_adapter(tmp_path / "saved")
    return tmp_path / "saved"


def opened(config: str, content: bytes | None = None) -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.query_params["section"] = "your adapter"
    page.session_state["adapter-tables"] = True
    page.run()
    page.text_area(key="adapter-config").set_value(config)
    if content is not None:
        page.file_uploader(key="adapter-file").upload(TENSORS, content, "application/octet-stream")
    page.run()
    assert not page.exception
    return page


def test_it_opens_with_an_example_that_is_sound_and_learned_something(work_at_once: list[str]) -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.query_params["section"] = "your adapter"
    page.run()
    assert not page.exception
    assert not page.error
    assert work_at_once == []  # known files need no worker
    found = example_adapter.inspection()
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["Method"] == "LoRA"
    assert next(m.help for m in page.metric if m.label == "Trained").startswith(f"{found.stored_parameters:,} ")
    assert found.sound
    assert len(found.layers) == 28
    assert min(layer.frobenius_norm for layer in found.layers) > 0.1
    assert [message.value for message in page.success] == ["Every check that needs no base model passed."]


def test_a_pasted_config_is_counted_on_its_base() -> None:
    page = opened(json.dumps(MINIMAL | {"base_model_name_or_path": "openai-community/gpt2"}))
    assert not page.error
    trained = [m for m in page.metric if m.label == "Trained"][-1]
    assert trained.help == "294,912 parameters"


def test_an_uploaded_file_is_measured(saved: Path) -> None:
    expected = pc.inspect_adapter(saved, base=BASE)
    page = opened((saved / CONFIG).read_text(), (saved / TENSORS).read_bytes())
    assert not page.error
    assert any("Every check that needs no base model passed." in message.value for message in page.success)
    table = next(frame.value for frame in page.dataframe if "frobenius norm" in frame.value.columns)
    assert list(table["frobenius norm"]) == [layer.frobenius_norm for layer in expected.layers]
    slider = next(s for s in page.select_slider if s.label == "Cut to rank")
    slider.set_value(slider.options[1]).run()
    lost = next(c.value for c in page.caption if "Eckart" in c.value)
    assert f"{100 * expected.within(2):.2f} %" in lost


def test_the_smaller_adapter_is_one_that_peft_loads(saved: Path, tmp_path: Path) -> None:
    archive = smaller_adapter((saved / CONFIG).read_text(), (saved / TENSORS).read_bytes(), 2)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(tmp_path / "small")
    peft_load(tmp_path / "small")
    small = pc.inspect_adapter(tmp_path / "small", base=BASE)
    pc.cut_adapter(saved, 2, tmp_path / "cut")
    assert small.layers == pc.inspect_adapter(tmp_path / "cut", base=BASE).layers


@pytest.mark.parametrize(
    ("config", "content"),
    [
        ("{", None),
        ("[]", None),
        ("<script>alert(1)</script>", None),
        (json.dumps(MINIMAL | {"r": "![x](http://example.invalid)"}), None),
        ("", b"PK\x03\x04 pickle"),
        ("", b"GGUF" + bytes(60)),
        ("", bytes(3)),
        (json.dumps(MINIMAL), b'{"a": 1}' + bytes(60)),
    ],
)
def test_what_cannot_be_read_is_a_sentence(config: str, content: bytes | None) -> None:
    page = opened(config, content)
    assert page.error
    assert all("<script>" not in error.value and "![x]" not in error.value for error in page.error)


def test_no_file_of_the_server_and_no_hub_is_asked(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> Path:
        raise AssertionError(args)

    monkeypatch.setattr(hub, "download_file", refuse)
    secret = tmp_path / "config.json"
    secret.write_text(json.dumps(BASE))
    for base in (str(secret), str(tmp_path), "someone/model", "../base", 7):
        edit_config(saved, base_model_name_or_path=base)
        found = inspect_given((saved / CONFIG).read_text(), (saved / TENSORS).read_bytes(), None)
        assert (found.base, found.trainable) == (None, None)
        assert found.sound


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path) -> Iterator[Hub]:
    edit_config(saved, base_model_name_or_path="someone/else")
    with adapter_hub(monkeypatch, tmp_path / "hub") as running:
        running.files = {name: (saved / name).read_bytes() for name in (CONFIG, TENSORS)}
        yield running


def named(hub_id: str) -> AppTest:
    upload.by_hub_id.clear()
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.query_params["section"] = "your adapter"
    page.session_state["adapter-tables"] = True
    page.run()
    page.text_input(key="adapter-hub").set_value(hub_id).run()
    assert not page.exception
    return page


def test_an_adapter_is_looked_up_by_its_hub_id_and_measured_by_a_worker(
    server: Hub, saved: Path, work_at_once: list[str]
) -> None:
    page = named("someone/tiny-lora")
    assert not page.error
    assert server.names == {CONFIG, TENSORS}
    assert all("/someone/tiny-lora/" in line for line in server.asked)  # its base, which it names, is not asked for
    assert work_at_once == ["inspect"]
    table = next(frame.value for frame in page.dataframe if "frobenius norm" in frame.value.columns)
    assert list(table["frobenius norm"]) == [one.frobenius_norm for one in pc.inspect_adapter(saved, base=BASE).layers]
    assert "inspect_adapter('someone/tiny-lora')" in page.code[-1].value
    asked = len(server.asked)
    page.selectbox(key="adapter-base").set_value("openai-community/gpt2").run()
    assert len(server.asked) == asked  # what was looked up is kept


def test_of_a_larger_adapter_on_the_hub_the_header_is_read(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    header = 8 + int.from_bytes(server.files[TENSORS][:8], "little")
    config, content, about = from_hub("someone/tiny-lora", 2 * header)
    assert content == server.files[TENSORS][:header]
    assert about.length == len(server.files[TENSORS])
    found = inspect_given(config, content, None, about)
    assert found.stored_parameters
    assert found.layers == ()
    assert any("only its header was read" in note for note in found.notes)


def test_what_is_no_hub_id_is_a_sentence_and_asks_nothing(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    page = named("/etc/passwd")
    assert page.error
    for name in ("../base", "~/adapter", "a/b/c", "<script>", "someone"):
        with pytest.raises(ValueError, match=r"\S"):
            from_hub(name, 100)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # the switch that forbids it for models
    page.text_input(key="adapter-hub").set_value("someone/tiny-lora").run()
    assert any("OFFLINE" in error.value for error in page.error)
    assert server.asked == []


def test_a_flood_of_tensors_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftcalc.doctor.strangers.MOST_TENSORS", 7)
    with pytest.raises(ValueError, match="8 tensors; at most 7"):
        inspect_given("", (saved / TENSORS).read_bytes(), None)


def test_a_hub_id_beside_what_was_given_is_not_silently_left_out() -> None:
    page = opened(json.dumps(MINIMAL | {"base_model_name_or_path": "openai-community/gpt2"}))
    assert not any("looked up" in note.value for note in page.info)
    page.text_input(key="adapter-hub").set_value("some/adapter").run()
    assert any("without it some/adapter is looked up" in note.value.replace("\\", "") for note in page.info)
