"""The front door: `streamlit run app.py`.

The app is an `st.App` whose script lives in `peftcalc/ui/`, not beside `pages/`: a `pages` folder beside the script
would switch on Streamlit's automatic pages, and a link into a cold server would run a page without its frame.
"""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

import peftcalc.ui
from peftcalc.ui.server import front, warming
from peftcalc.ui.server.one_piece import OnePiece

app = st.App(
    Path(peftcalc.ui.__file__).with_name("router.py"),
    lifespan=warming.while_idle,
    routes=front.routes(),
    middleware=[Middleware(OnePiece)],
)
