"""Pictures that live in the visitor's browser: what a hand can move without asking the server anything.

Plain ES modules without a build step or a dependency. `explorable.js` is the door: Streamlit loads it by its
declaration in `pyproject.toml`, `static.js` loads it for a page without a server. `shell.js` is the frame around every
view (`product.js`, `arrow.js`, …), `core.js` the arithmetic. In Python each view has a module of its name with one
function, which checks what goes out and what comes back; `mount.py` is the way through.
"""
