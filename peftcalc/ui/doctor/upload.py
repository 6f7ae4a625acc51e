"""What a visitor pasted and uploaded, read and cut by the workers of `background`."""

from __future__ import annotations

from collections.abc import Callable

from peftcalc.doctor.report import AdapterInspection
from peftcalc.doctor.work import ARCHIVE, inspection_from_json
from peftcalc.ui import background


def inspected(pasted: str, content: bytes | None, base: str | None) -> AdapterInspection:
    """What the doctor says of a pasted config (may be empty), an uploaded file (may be None) and a catalogue's base.

    Raises:
        ValueError: damaged, of another format, or too many tensors.
    """
    return background.remembered(
        "inspect",
        {"pasted": pasted, "base": base},
        lambda made: inspection_from_json(made.record),
        "Reading the adapter …",
        None if content is None else {"tensors": content},
    )


def smaller_adapter(pasted: str, content: bytes, rank: int) -> Callable[[], bytes]:
    """The two files of the smaller adapter as a zip archive, for a button: they are made when it is pressed."""
    return background.when_asked("cut", lambda: {"pasted": pasted, "rank": rank}, ARCHIVE, {"tensors": content})
