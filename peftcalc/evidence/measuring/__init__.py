"""A training step on a visitor's own card: `device` · `real_model` · `real_step` · `readings` (one row of evidence)."""
