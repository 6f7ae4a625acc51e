"""The front door: `streamlit run app.py`.

The app is an `st.App` whose script lives in `peftcalc/ui/`, not beside `pages/`: a `pages` folder beside the script
would switch on Streamlit's automatic pages, and a link into a cold server would run a page without its frame.
"""

from pathlib import Path

import streamlit as st

import peftcalc.ui
from peftcalc.ui import front, warming

app = st.App(Path(peftcalc.ui.__file__).with_name("router.py"), lifespan=warming.while_idle, routes=front.routes())
