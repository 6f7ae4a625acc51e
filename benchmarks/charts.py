"""Processor time that each chart costs the server in a rerun, through Streamlit's own test bench.

    python benchmarks/charts.py [--repeats 15]

`chart` is the whole of it: the plot function and `show.chart`, of specifications that are kept; `first` is the same
with nothing kept. `altair` builds the same chart with Altair and hands it to `st.altair_chart`, which is what every
chart of the pages did before: the ratio of the two is what holds on any machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))


def script(repeats: int) -> None:
    import time

    import streamlit as st
    from sample_charts import sample_charts

    from peftcalc.plots.chart import specification
    from peftcalc.ui import show

    def seconds(draw) -> float:
        started = time.thread_time()
        with st.empty():
            draw()
        return time.thread_time() - started

    times = st.session_state.setdefault("times", {})
    for name, make in sample_charts().items():
        specification.cache_clear()
        mine = times.setdefault(name, {"first": [], "chart": [], "altair": []})
        built = make().to_altair()
        mine["first"].append(seconds(lambda make=make: show.chart(make(), "")))
        for _ in range(repeats):
            mine["chart"].append(seconds(lambda make=make: show.chart(make(), "")))
        mine["altair"].append(seconds(lambda built=built: st.altair_chart(type(built).from_dict(built.to_dict()))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    app = AppTest.from_function(script, args=(repeats,), default_timeout=600).run()
    if app.exception:
        raise SystemExit(app.exception[0].message)
    print(f"{'chart':<22} {'chart ms':>9} {'first':>7} {'altair':>7}")
    for name, found in app.session_state["times"].items():
        kept, first, altair = (1000 * statistics.median(found[key]) for key in ("chart", "first", "altair"))
        print(f"{name:<22} {kept:>9.2f} {first:>7.1f} {altair:>7.1f}")


if __name__ == "__main__":
    main()
