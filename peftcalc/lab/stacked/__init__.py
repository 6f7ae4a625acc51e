"""K runs of one small architecture in one graph: what a small model's step costs is nearly all overhead, paid once.

`which` says what can be stacked, and with what · `rows` the trained numbers, a row a model · `layers` K linear layers
in the place of one · `stack` the steps · `engine` runs of any kind, stacked where they can be, to their ends.
"""
