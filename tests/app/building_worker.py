"""The worker that builds models, with configurations that hang, swell and crash for the tests."""

import os
import time
from functools import partial

from peftcalc.jobs.worker import prepare, serve
from peftcalc.models import work


def build(parameters, folder):
    """As the room's own, but for what a test asks."""
    step = parameters["config"].get("peftcalc_test")
    if step == "hang":
        yield 0, 0.0, []
        time.sleep(600)
    if step == "crash":
        yield 0, 0.0, []
        os._exit(11)
    if step == "swell":
        yield 0, 0.0, []
        work.bound_memory(2**30)
        bytearray(2**31)
    yield from work.build_job(parameters, folder)


if __name__ == "__main__":
    serve({**work.KINDS, "build": build}, partial(prepare, [work]))
