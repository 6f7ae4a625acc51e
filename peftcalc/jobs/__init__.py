"""Work for many visitors: one fair line, worker processes, limits, a history, a classroom. It knows no kind of work."""
