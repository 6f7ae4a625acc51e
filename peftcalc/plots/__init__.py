"""Results in, figures out: for pages, notebooks and slides alike."""
