"""Pictures that live in the visitor's browser: what a hand can move without asking the server anything.

Plain ES modules without a build step or a dependency. `explorable.js` is the door: Streamlit loads it by its
declaration in `pyproject.toml`, `static.js` loads it for a page without a server. `shell.js` is the frame around every
view and what views share, `core.js` the arithmetic. In Python each view has a module of its name with one function,
which checks what goes out and what comes back; `mount.py` is the way through. What is explained there is not explained
again in the scripts, which every visitor loads.

`codes.js` holds what shows numbers in few bits (`Codes`, `Bits`), `adapters.js` what an adapter adds (`Block`,
`Arrow`), `product.js` the product and its scenes (`Product`, `Strips`), whose faces are in `faces.js`, `weights.js` a
run, `story.js` the story. A view is a class, named in `VIEWS`, which the frame asks for:

- `static check(data)`: what it needs of the data, checked, or a sentence that is thrown;
- `constructor(frame)`: its controls go into `frame.bar`, a legend into `frame.foot`;
- `receive(checked)`: new data, before the first layout and whenever the server asks something else;
- `more(data)`: may take what is new of data that it has, and say true: nothing is laid out anew;
- `get state()`: what the visitor has moved, names and numbers, texts or lists of numbers; it lies in the link;
- `set state(state)`: go there: undo, reset, a preset or a link; a sentence that it throws is shown;
- `layout(width)`: draw what stands still, for so many pixels, into `frame.stage`; `drawing` is the svg element;
- `paint()`: put the numbers in, at most once a frame, after `frame.draw()`;
- `get sentence()`: what the picture says now; it stands below and is read out when a hand lets go;
- `remove()`: end what it began outside its frame; may be absent.
"""
