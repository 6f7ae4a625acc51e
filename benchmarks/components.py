"""What a view costs: from the pointer's event to the drawn frame in Chromium, and a mount on the server.

    python benchmarks/components.py

Drags in headless Chromium without Streamlit. A frame's time runs from the pointer's event to the first task after that
frame was drawn; a task above 50 ms is counted as long. The server's figure is processor time
of the mounts in one run of a script, a button's beside them. Trust ratios: the machine is shared.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from playwright.sync_api import sync_playwright
from served_app import CHROMIUM, CHROMIUM_FLAGS
from views import Views, served_views

from peftcalc.counting.worked_example import worked_example
from peftcalc.ui.components.arrow import arrow_data
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.product import product_data

MOVES = 240
WATCH = """() => {
  window.times = [];
  window.long = 0;
  new PerformanceObserver(list => { window.long += list.getEntries().length; }).observe({ entryTypes: ['longtask'] });
  let began = null;
  addEventListener('pointermove', () => {
    if (began !== null) return;
    began = performance.now();
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { window.times.push(performance.now() - began); began = null; };
      port2.postMessage(0);
    });
  }, true);
}"""


MOUNT = """
import time
import streamlit as st
from peftcalc.counting.worked_example import worked_example
from peftcalc.ui.components.arrow import arrow
from peftcalc.ui.components.product import product
example = worked_example(rank=5)
began = time.process_time()
for i in range(20):
    {line}
st.session_state["spent"] = time.process_time() - began
"""
MOUNTS = {
    "product 5 × 5": "product(example.W, example.B, example.A, rank=3, key=f'k{i}')",
    "arrow": "arrow(key=f'k{i}')",
    "a button": "st.button('one', key=f'k{i}')",
}


def views() -> dict[str, tuple[Mapping[str, Any], str]]:
    """Data and the part to drag, of each view."""
    example = worked_example(rank=5)
    random = np.random.default_rng(0)
    maps = random.normal(size=(64, 64)), random.normal(size=(64, 16)), random.normal(size=(16, 64))
    return {
        "nothing moves": (payload("arrow", arrow_data()), ""),
        "product 5 × 5": (payload("product", product_data(example.W, example.B, example.A, rank=3)), "B2,0"),
        "product 64 × 64": (payload("product", product_data(*maps, rank=16)), "A"),
        "arrow": (payload("arrow", arrow_data()), "lora"),
    }


def frames() -> None:
    """Drag each view and print what its frames cost."""
    with served_views() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        for name, (data, spot) in views().items():
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            shown = Views(page, url)
            shown.show(data)
            # The first line is the browser's and the machine's own: a drag on the page's ground.
            box = shown.spot(spot).bounding_box() if spot else {"x": 600, "y": 700, "width": 0, "height": 0}
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            page.evaluate(WATCH)
            metrics = page.context.new_cdp_session(page)
            metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
            before = spent(metrics)
            for i in range(MOVES):
                page.mouse.move(x + 40 * math.sin(i / 9), y + 60 * math.sin(i / 7))
            work = (spent(metrics) - before) / MOVES
            page.mouse.up()
            times, long = page.evaluate("() => [window.times, window.long]")
            print(f"{name:16}  {described(times)}  {long} long, {work:4.1f} ms of processor time a move")
            page.close()
        browser.close()


def spent(metrics: Any) -> float:
    """Milliseconds of processor time that the page's main thread has spent on all its tasks."""
    told = {one["name"]: one["value"] for one in metrics.send("Performance.getMetrics")["metrics"]}
    return 1000 * told["TaskDuration"]


def described(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=20)
    return f"median {statistics.median(times):5.1f} ms, p95 {cuts[-1]:5.1f}"


def mounts() -> None:
    """Processor time of a mount inside a run of the script, by Streamlit's own test bench."""
    from streamlit.testing.v1 import AppTest

    for name, line in MOUNTS.items():
        page = AppTest.from_string(MOUNT.format(line=line), default_timeout=60)
        times = []
        for _ in range(9):
            page.run()
            times.append(page.session_state["spent"] / 20)
        print(f"{name:16}  {1000 * min(times):.2f} ms of the server a mount")


def main() -> None:
    parts: dict[str, Callable[[], None]] = {"frames": frames, "mounts": mounts}
    for name in sys.argv[1:] or parts:
        parts[name]()
    print("bytes of data:", {name: len(json.dumps(data)) for name, (data, _) in views().items()})


if __name__ == "__main__":
    main()
