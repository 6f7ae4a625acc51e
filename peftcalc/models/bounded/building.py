"""An end to building a model by the work that it really does, whatever the settings are called that ask for it.

    with bounded("the config of BertModel"):
        BertModel(config)                    # counted: every module and parameter that is registered in this thread

Thousands of settings decide how many modules a model has, in a few hundred architectures, alone and as products; only
what they all lead to can be counted. torch calls a hook for every module, parameter and buffer that it registers; the
hooks are put there once and look at a number of their own thread.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

from peftcalc.models.bounded.no_network import closed_network

MOST_REGISTERED = 200_000
"""Modules, parameters and buffers of one model. Llama 3.1 405B has 3,200 in its 126 layers."""
MOST_SECONDS = 10.0
"""Of this thread's own computing, so that a busy machine refuses nothing that an idle one builds."""

_EVERY = 256
"""Registrations between two looks at the clock."""

_here = threading.local()


class _Ended(BaseException):
    """Passes through every `except Exception` of a constructor."""


class _Work:
    def __init__(self, patience: float) -> None:
        self.registered = 0
        self.end = time.thread_time() + MOST_SECONDS
        self.patience, self.until = patience, time.monotonic() + patience
        self.reason = ""

    def count(self) -> None:
        """One thing more."""
        self.registered += 1
        if self.registered > MOST_REGISTERED:
            self._stop(f"has more than {MOST_REGISTERED:,} modules and parameters, the limit")
        if self.registered % _EVERY == 0:
            for limit, reached in (
                (MOST_SECONDS, time.thread_time() > self.end),
                (self.patience, time.monotonic() > self.until),
            ):
                if reached:
                    self._stop(f"takes longer to build than {limit:g} s, the limit")

    def _stop(self, reason: str) -> None:
        self.reason = reason
        raise _Ended


@contextlib.contextmanager
def bounded(what: str, patience: float = math.inf) -> Iterator[None]:
    """Within it, this thread builds no more than a model can have, and asks the net for nothing.

    Args:
        what: the beginning of the sentence: "the model of this config".
        patience: seconds that whoever waits for it has, whatever else the machine is doing.

    Raises:
        ValueError: one of the limits above was reached, or a request was made (it was refused, not sent).
    """
    if getattr(_here, "work", None) is not None:  # part of a larger build, which is bounded as a whole
        yield
        return
    _install()
    _here.work = work = _Work(patience)
    try:
        with closed_network() as asked:
            try:
                yield
            except (_Ended, Exception) as error:
                if isinstance(error, _Ended) or asked:
                    raise ValueError(f"{what} {work.reason or _ASKS}") from error
                raise
            if asked:  # and somebody went on without the answer: that is another model
                raise ValueError(f"{what} {_ASKS}")
    finally:
        _here.work = None


_ASKS = "takes a part from another repository (its backbone, or what _name_or_path names), and that is never fetched"


@cache
def _install() -> None:
    """The hooks, once and for good: taking them out again would break a registration that another thread is at."""
    from torch.nn.modules import module

    module.register_module_module_registration_hook(_registered)
    module.register_module_parameter_registration_hook(_registered)
    module.register_module_buffer_registration_hook(_registered)


def _registered(*_: Any) -> None:
    work = getattr(_here, "work", None)
    if work is not None:
        work.count()
