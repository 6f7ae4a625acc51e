"""What an adapter holds: its keys, its size, its numbers by layer, and how far it can be cut."""
