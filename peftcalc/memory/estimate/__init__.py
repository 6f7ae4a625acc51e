"""The bytes of a training step in closed form: every term with its formula and source."""
