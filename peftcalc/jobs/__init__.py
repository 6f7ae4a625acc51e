"""Work for many visitors: one fair line, worker processes, limits. It knows no kind of work: rooms offer theirs."""
