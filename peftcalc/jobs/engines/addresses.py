"""What may stand after `--scheduler`: the address of a Dask scheduler, or how many workers to start here.

Dask's parts speak pickle, by which whoever is heard can run anything as the user whose process it is. So what leaves
this machine needs TLS with certificates of one's own; without them a scheduler is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from peftcalc.checks import whole_number

SCHEDULER, CERTIFICATES = "PEFTCALC_SCHEDULER", "PEFTCALC_CERTIFICATES"
"""Variables by which a server of the app is told."""
MOST_LOCAL = 64
FORMS = "tls://host:8786, tcp://127.0.0.1:8786 on this machine, local:4 (Dask with four workers here) or crew:4"
PICKLE = (
    "Dask speaks pickle, by which whoever reaches the scheduler can run any program as you: outside this machine only "
    "tls:// with certificates is taken"
)


@dataclass(frozen=True)
class Address:
    """Where work is carried out.

    Attributes:
        kind: "crew", worker processes of this machine; "local", a Dask scheduler that is started here; "dask", one
            that is there.
        workers: of those that are started here.
        url: of one that is there.
        certificates: the folder of `certificates.make`, for tls.
    """

    kind: str
    workers: int = 0
    url: str = ""
    certificates: Path | None = None


def address(text: str, certificates: str | Path | None = None) -> Address:
    """What an address means.

    Raises:
        ValueError: it is none, it would send pickle through a network, or TLS lacks its certificates.

    >>> address("local:4")
    Address(kind='local', workers=4, url='', certificates=None)
    >>> address("tcp://10.0.0.5:8786")
    Traceback (most recent call last):
    ValueError: tcp://10.0.0.5:8786 is refused: Dask speaks pickle, by which whoever reaches the scheduler can run any \
program as you: outside this machine only tls:// with certificates is taken
    """
    kind, _, rest = text.partition(":")
    if kind in ("local", "crew"):
        if not rest.isdecimal():
            raise ValueError(f"--scheduler {kind}: must be followed by a number of workers, as {kind}:4, got {text!r}")
        return Address(kind, whole_number("the number of workers", int(rest), 1, MOST_LOCAL))
    host = _host(text, kind)
    if kind == "tcp":
        if not _is_this_machine(host):
            raise ValueError(f"{text} is refused: {PICKLE}")
        return Address("dask", url=text)
    if certificates is None:
        raise ValueError(
            f"{text} needs --certificates FOLDER (or {CERTIFICATES}), the folder that `python -m peftcalc cluster "
            "certificates FOLDER` has made"
        )
    return Address("dask", url=text, certificates=Path(certificates))


def from_environment(variables: Mapping[str, str] = os.environ) -> Address | None:
    """What the variables of this process say; None for the crew of this machine, as many as it bears."""
    text = variables.get(SCHEDULER, "")
    return address(text, variables.get(CERTIFICATES) or None) if text else None


def _host(text: str, kind: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if kind not in ("tcp", "tls") or not host or not port or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"--scheduler must be {FORMS}, got {text!r}")
    return host


def _is_this_machine(host: str) -> bool:
    """True for an address of loopback; a name is looked up, and all it stands for must be."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(one == "::1" or str(one).startswith("127.") for one in found)
