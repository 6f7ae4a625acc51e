"""A fine-tuning run from step to step, and what is kept of it.

`loop` the steps · `optimizer` its groups and their rates · `last_good` the weights before a divergence ·
`training_state` what the steps to come depend on, and its file · `run_folder` records, adapter and state on disk while
the run goes on.
"""
