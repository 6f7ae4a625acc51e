"""An existing adapter on a page: what it holds, and how far it can be cut."""
