"""What a stranger's configuration may cost: building ends by the work that is done, and the net is closed to it."""
