"""How results draw and tell themselves in a notebook: `result.plot()` and the table that Jupyter shows."""
