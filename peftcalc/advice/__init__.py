"""A method for what matters to somebody, with its reasons."""
