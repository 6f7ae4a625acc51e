"""What the story on the first page tells and shows: its scenes as data, and the numbers that travel with it."""
