"""A classroom on one server: who sits in it, what is asked and answered, what everybody is sent to, what came of it. It
knows no lesson and no kind of work."""
