"""What learns: small real tasks, the training loop, comparisons and races, and runs that are stored.

No torch is needed for what pages hold (`tasks/task`, `run_settings`, `records`, `race`, `race_results`, `stored_runs`).
"""
