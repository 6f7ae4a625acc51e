"""A grid of runs: what it asks for, its finished runs as records and in a file, their table and Pareto front, and maps.

`grid` options and values to settings · `finished` one run's record, and JSON lines · `sweep` the generator · `results`
means with intervals, and the front · `maps` the data of live maps.
"""
