"""What a run costs the server beside its script: the loop is woken once for many calls, the theme is written once."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import NewSession
from streamlit.runtime import app_session
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.runtime import Runtime
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

from peftcalc.ui.server import gathered as gathering
from peftcalc.ui.server import warming
from peftcalc.ui.server.gathered import gathered
from peftcalc.ui.server.settings import sections_read_once, theme_written_once


class StillLoop:
    """A loop that does nothing by itself: what it is asked for is noted."""

    def __init__(self) -> None:
        self.woken: list[Callable[[], None]] = []
        self.later: list[Callable[[], None]] = []

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        self.woken.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        assert delay == gathering.PAUSE
        self.later.append(callback)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def get_debug(self) -> bool:
        return False


def test_the_loop_is_woken_once_for_what_comes_together() -> None:
    loop, heard = StillLoop(), []
    with gathered(loop):  # type: ignore[arg-type]
        for number in range(3):
            loop.call_soon_threadsafe(heard.append, number)  # type: ignore[call-arg]
        assert (len(loop.woken), heard) == (1, [])
        loop.woken.pop()()
        assert heard == [0, 1, 2]
        loop.call_soon_threadsafe(heard.append, 3)  # type: ignore[call-arg]
        assert (loop.woken, heard) == ([], [0, 1, 2])  # it looks by itself
        loop.later.pop()()
        assert heard == [0, 1, 2, 3]
        loop.later.pop()()  # nothing came: it sleeps
        assert loop.later == []
        loop.call_soon_threadsafe(heard.append, 4)  # type: ignore[call-arg]
        assert len(loop.woken) == 1
    assert heard == [0, 1, 2, 3, 4]  # at the end nothing is left
    assert "call_soon_threadsafe" not in vars(loop)


def test_a_call_between_the_last_look_and_sleep_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, heard = StillLoop(), []
    look = gathering._Hears.all

    def interrupted(hears: Any) -> bool:
        waited = look(hears)
        if not waited and not heard:
            hears(heard.append, "late")  # its thread believes that the loop looks
        return waited

    with gathered(loop):  # type: ignore[arg-type]
        loop.call_soon_threadsafe(lambda: None)
        loop.woken.pop()()
        monkeypatch.setattr(gathering._Hears, "all", interrupted)
        loop.later.pop()()
        assert heard == []
        assert loop.woken == []
        loop.later.pop()()
        assert heard == ["late"]


def test_threads_calls_are_as_asyncios_own() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")

    async def told() -> tuple[list[str], list[str]]:
        loop, heard, failed = asyncio.get_running_loop(), [], []
        loop.set_exception_handler(lambda _, what: failed.append(str(what["exception"])))

        def tell() -> None:
            name.set("Ada")
            loop.call_soon_threadsafe(lambda: heard.append(name.get()))
            loop.call_soon_threadsafe(heard.append, "never").cancel()
            loop.call_soon_threadsafe(int, "no number")
            loop.call_soon_threadsafe(heard.append, "last")

        with gathered(loop):
            await asyncio.to_thread(tell)
        return heard, failed

    heard, failed = asyncio.run(told())
    assert heard == ["Ada", "last"]
    assert len(failed) == 1
    assert "no number" in failed[0]


def test_a_loop_that_lets_nobody_replace_its_method_stays_as_it_is() -> None:
    class Closed(StillLoop):
        __setattr__ = object.__setattr__

        def __init__(self) -> None: ...

        @property
        def call_soon_threadsafe(self) -> str:  # type: ignore[override]
            return "its own"

    with gathered(Closed()):  # type: ignore[arg-type]
        assert Closed().call_soon_threadsafe == "its own"


def test_a_section_of_the_settings_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    look = config.get_options_for_section
    expected = look("theme.light")

    def counted(section: str) -> dict[str, Any]:
        looked.append(section)
        return look(section)

    monkeypatch.setattr(config, "get_options_for_section", counted)
    with sections_read_once():
        config.get_options_for_section("theme.light").clear()  # the caller's own
        assert config.get_options_for_section("theme.light") == expected
        assert looked == ["theme.light"]
        config._on_config_parsed.send()
        assert config.get_options_for_section("theme.light") == expected
        assert looked == ["theme.light"] * 2
    assert config.get_options_for_section is counted


THEME = {
    "theme": {"base": "light", "paddingTop": "3rem", "chartCategoricalColors": ["#808080"] * 10},
    "theme.light": {"base": None, "primaryColor": "#1c69bb"},
    "theme.sidebar": {"base": None, "primaryColor": None},
}


def written() -> NewSession:
    """A message with the theme, as Streamlit fills it."""
    message = NewSession()
    app_session._populate_theme_msg(message.custom_theme)
    app_session._populate_theme_msg(message.custom_theme.light, "theme.light")
    app_session._populate_theme_msg(message.custom_theme.sidebar, "theme.sidebar")
    return message


def test_the_theme_is_written_once_and_said_as_streamlit_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "get_options_for_section", lambda section: dict(THEME[section]))
    plain, expected = app_session._populate_theme_msg, written()
    assert expected.custom_theme.HasField("light")
    assert not expected.custom_theme.HasField("sidebar")
    times: list[str] = []
    monkeypatch.setattr(app_session, "_populate_theme_msg", lambda m, s="theme": (times.append(s), plain(m, s)))
    counted = app_session._populate_theme_msg
    with theme_written_once():
        for _ in range(2):
            assert written() == expected
        written().custom_theme.light.primary_color = "#000000"  # the caller's own
        assert written() == expected
        assert times == ["theme", "theme.light"]
        config._on_config_parsed.send()
        monkeypatch.setitem(THEME["theme.light"], "primaryColor", "#ffffff")
        assert written().custom_theme.light.primary_color == "#ffffff"
    assert app_session._populate_theme_msg is counted


def test_the_server_lives_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr("streamlit.runtime.get_instance", lambda: SimpleNamespace())
    monkeypatch.setattr(warming.sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr(warming.calls, "serve", nothing)
    monkeypatch.setattr(warming, "warm", nothing)

    def now() -> list[Any]:
        theme, script = app_session._populate_theme_msg, ScriptRunner._run_script_thread
        return [config.get_options_for_section, theme, script, AppSession.flush_browser_queue, Runtime._send_message]

    before = now()

    async def lives() -> list[bool]:
        loop = asyncio.get_running_loop()
        async with warming.while_idle(None):
            within = [one is other for one, other in zip(before, now(), strict=True)]
            assert "call_soon_threadsafe" in vars(loop)
        assert "call_soon_threadsafe" not in vars(loop)
        return within

    assert asyncio.run(lives()) == [False] * 5
    assert now() == before
