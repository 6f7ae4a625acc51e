"""The Train page's parts: its controls, its buttons, the picture of the run, and what can be taken away of it."""
