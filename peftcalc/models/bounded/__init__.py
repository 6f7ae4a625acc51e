"""What a stranger's configuration may cost: an end to building by the work that is done, and a closed door to the net."""
