"""Time of a page's full rerun on the server, beside a bare Streamlit page's, through Streamlit's own test bench.

    python benchmarks/pages.py [--repeats 15]

Each page is opened once, which fills its caches, and then run again and again; runs of all pages are interleaved. What
a move costs, which reruns no more than its fragment, is in `classroom.py` (on the server) and in `moves_in_browser.py`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from peftcalc.ui.pages import PAGES

ROOT = Path(__file__).parents[1]
BARE = 'import streamlit as st\nst.title("bare")\nst.select_slider("Rank", [1, 2, 4])\n'


def on_the_server(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        files = {"a bare page": bare, **{entry.title: ROOT / "pages" / entry.file for entry in PAGES}}
        pages = {name: AppTest.from_file(str(file), default_timeout=120).run() for name, file in files.items()}
        seconds: dict[str, list[float]] = {name: [] for name in pages}
        for _ in range(repeats):
            for name, page in pages.items():
                started = time.perf_counter()
                page.run()
                seconds[name].append(time.perf_counter() - started)
    report(list(seconds.items()))


def report(rows: list[tuple[str, list[float]]]) -> None:
    print(f"{'page':<14} {'median ms':>10} {'lowest':>8} {'highest':>8}")
    for name, times in rows:
        low, middle, high = min(times), statistics.median(times), max(times)
        print(f"{name:<14} {1000 * middle:>10.0f} {1000 * low:>8.0f} {1000 * high:>8.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    on_the_server(parser.parse_args().repeats)


if __name__ == "__main__":
    main()
