"""How long a training step takes on a card, what bounds it, and what a run costs at a price that the visitor gives."""
