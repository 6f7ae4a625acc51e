"""A page of views for the browser tests: two products and an arrow in Streamlit, and what the server knows of them."""

import json

import streamlit as st

from peftcalc.counting.worked_example import worked_example
from peftcalc.ui.components.arrow import arrow
from peftcalc.ui.components.mount import set_state
from peftcalc.ui.components.product import product

if __name__ == "__main__":  # Streamlit's name for a script; pytest imports the file to look for doctests
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    st.title("Views")
    example = worked_example(rank=3, seed=1)
    st.button("Again")
    st.button("Rank 3", on_click=set_state, args=("product", {"rank": 3}))
    known = {
        "product": product(example.W, example.B, example.A, rank=2, key="product"),
        "other": product(example.W, example.B, example.A, rank=1, key="other", link=False),
        "arrow": arrow(key="arrow"),
        "runs": st.session_state["runs"],
    }
    st.code(json.dumps(known), language=None)
