"""How a number of bytes grows with a batch or a sequence, solved rather than searched."""
