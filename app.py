"""The front door: `streamlit run app.py`.

The app is an `st.App` whose script lives in `peftcalc/ui/`, not beside `pages/`: a `pages` folder beside the script
would switch on Streamlit's automatic pages, and a link into a cold server would run a page without its frame.
"""

import streamlit as st

app = st.App("peftcalc/ui/router.py")
