"""Where the bytes go: `estimate/` in closed form, `simulate/` by tracing the step, and beside them the cards, what fits
on them, serving, and the allowances for what no tensor explains.
"""
