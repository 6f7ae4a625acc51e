"""A step on one of several GPUs: what a rank holds of the model, what it gathers, and what it reduces."""
