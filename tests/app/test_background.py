"""Work that would keep others waiting: the same answers from a worker's kinds, through JSON, as from the core."""

from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.testing.v1 import AppTest

from peftcalc.doctor.strangers import inspect_given
from peftcalc.doctor.work import inspect_job, inspection_from_json
from peftcalc.lab.stored_runs import stored_run
from peftcalc.plots.work import FIGURES, curves_asked, figure_job
from peftcalc.ui import background
from peftcalc.ui.pages import PAGES
from peftcalc.ui.server import warming
from peftcalc.units import for_json

CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["c_attn"]}


def page() -> None:
    """A page that shows what two formats make of numbers: few here, many or a file's in a worker."""
    import io

    import numpy as np
    import streamlit as st

    from peftcalc.ui.quantization import numbers as data

    st.session_state["found"] = found = {}
    for count in (1 << 14, 1 << 20):
        choice = data.Choice("Gaussian", count, seed=3)
        found[count] = data.compared(choice, 64, {"NF4": (16, 64)}, None)
    buffer = io.BytesIO()
    np.save(buffer, np.ones((4, 4), np.float32))
    file = data.Choice("Your file", matrix="a.npy", digest="0", file="a.npy")
    found["file"] = data.compared(file, 64, {"int8 per tensor": (64,)}, buffer.getvalue())


def test_many_numbers_and_files_are_quantized_by_a_worker_once_and_few_at_once(work_at_once: list[str]) -> None:
    from peftcalc.quant import quantization_error
    from peftcalc.quant.samples import gaussian

    test = AppTest.from_function(page, default_timeout=60).run()
    assert not test.exception
    assert work_at_once == ["compare_formats"] * 2
    assert not test.run().exception
    assert len(work_at_once) == 2  # kept by content, for every visitor
    found = test.session_state["found"]
    numbers = gaussian(1 << 20, seed=3).reshape(1024, -1)
    assert found[1 << 20].rows[0].rmse == quantization_error(numbers, "nf4", block_size=64).rmse
    assert found[1 << 14].points().keys() == found[1 << 20].points().keys() == {("NF4", 16), ("NF4", 64)}
    assert found["file"].rows[0].sqnr_db == float(
        "inf"
    )  # ones are their own absmax: nothing is lost, and JSON has null
    assert isinstance(found["file"].pictures()["int8 per tensor"].places, np.ndarray)


def test_an_inspection_comes_back_as_the_doctor_made_it(tmp_path: Path) -> None:
    pasted = json.dumps(CONFIG)
    (_, _, []), (_, _, [told]) = inspect_job({"pasted": pasted, "base": "openai-community/gpt2"}, tmp_path)
    found = inspection_from_json(json.loads(json.dumps(for_json(told))))
    expected = inspect_given(pasted, None, "openai-community/gpt2")
    assert found.trainable == expected.trainable == 294_912
    assert (found.method, found.faults, found.notes) == (expected.method, expected.faults, expected.notes)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_from_what_json_says_of_it(name: str, tmp_path: Path) -> None:
    asked = {
        "curves": curves_asked(stored_run("names").board),
    }[name]
    file_format = "png" if name == "curves" else "svg"
    parameters = json.loads(json.dumps({"figure": name, "theme": "dark", "format": file_format, **asked}))
    for _ in figure_job(parameters, tmp_path):
        pass
    content = (tmp_path / f"figure.{file_format}").read_bytes()
    assert content.startswith(b"\x89PNG") if file_format == "png" else b"#12161f" in content


def test_a_file_is_made_when_it_is_asked_for_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def made(*given) -> background.Made:
        asked.append(given[1:3])
        return background.Made({}, {"figure.png": b"png"})

    monkeypatch.setattr(background, "from_worker", made)
    monkeypatch.setattr(background.live, "visitor", lambda: "ada")
    button = background.when_asked("figure", lambda: {"figure": "curves"}, "figure.png")
    assert asked == []
    assert button() == b"png"
    assert asked == [("figure", {"figure": "curves"})]


def test_a_server_that_rests_opens_each_of_its_pages_and_tabs_once_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, closed, rests = [], [], iter([True, True, *[False] * 99])
    visitors = {}

    def connect(client, user_info) -> int:
        visitors[len(visitors)] = client
        return len(visitors) - 1

    def ask(session, message) -> None:
        opened.append((message.rerun_script.page_name, message.rerun_script.query_string))
        if len(opened) == 2:
            raise RuntimeError("a page that fails")
        if message.rerun_script.page_name == warming.LAST:
            for label in ("first", "and second"):
                tab = ForwardMsg()
                tab.delta.add_block.tab.label = label
                visitors[session].write_forward_msg(tab)
        visitors[session].write_forward_msg(ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY))

    async def busy() -> bool:
        return next(rests)

    monkeypatch.setattr(warming, "_busy", busy)
    monkeypatch.setattr(warming, "queue", lambda: None)
    aside = []
    monkeypatch.setattr(warming, "set_aside", lambda: aside.append(len(opened)))
    runtime = SimpleNamespace(connect_session=connect, handle_backmsg=ask, close_session=closed.append)
    asyncio.run(warming.warm(runtime))  # pyright: ignore[reportArgumentType]
    assert sorted(opened[:-1]) == sorted((entry.path, "") for entry in PAGES)
    assert opened[-2:] == [(warming.LAST, ""), (warming.LAST, "section=and+second")]
    assert closed == list(visitors)
    assert aside == [len(opened)]  # once, when all is loaded


def test_a_job_done_here_bounds_no_process_of_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = []
    monkeypatch.setattr(resource, "setrlimit", lambda *given: bounds.append(given))
    asked = {"figure": "curves", "theme": "dark", "format": "svg", **curves_asked(stored_run("names").board)}
    list(figure_job(asked, tmp_path))
    assert bounds == []
