"""A timer's question that is asked again before it was answered is not heard twice.

A part of a page that looks by itself is asked for by a timer in the browser, which does not wait for an answer: from a
server that is busy for two seconds it asks ten times for what is looked at five times a second. Streamlit answers each,
one after the other, when it has time at last, and a page that was left meanwhile would be answered in its old name.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

PATIENCE = 3.0
"""Seconds after which it is heard again: what Streamlit has forgotten is never answered."""
LARGEST = 200_000
"""Bytes of a question of a timer, which names what the browser holds already; larger ones are not read."""
LONGEST, MOST = 100, 200
"""Characters of a part's name, of which Streamlit makes 32, and parts that are remembered: a page has a few."""


class AskedOnce:
    """What the timers of one visitor's browser have asked, and have not been answered."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._short: set[str] = set()
        """Of runs that ended early for another, which goes on and does not name them."""

    def passes(self, message: bytes | None, now: float) -> bool:
        """Whether Streamlit shall hear it: False for what a timer has asked already.

        Args:
            message: from the browser.
            now: of `time.monotonic`.
        """
        if message is None or len(message) > LARGEST:
            return True
        try:
            asked = BackMsg.FromString(message).rerun_script
        except DecodeError:  # Streamlit says so
            return True
        if not (asked.is_auto_rerun and 0 < len(asked.fragment_id) <= LONGEST):
            return True
        if asked.fragment_id not in self._since and len(self._since) >= MOST:  # no browser's page
            self._since.clear()
        if now - self._since.get(asked.fragment_id, -PATIENCE) < PATIENCE:
            return False
        self._since[asked.fragment_id] = now
        return True

    def answered(self, finished: ForwardMsg) -> None:
        """A run has ended: of its fragments, or of the whole page; one that another follows has answered nothing."""
        fragments = set(finished.metadata.run.fragment_ids)
        if finished.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._short |= fragments
            return
        for fragment in fragments | self._short if fragments else list(self._since):
            self._since.pop(fragment, None)
        self._short.clear()
