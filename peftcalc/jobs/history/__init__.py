"""A memory for runs: one SQLite file a user, written by one thread a process, read by whoever asks. It knows no kind of
work: settings, records and results are whatever JSON can hold."""
