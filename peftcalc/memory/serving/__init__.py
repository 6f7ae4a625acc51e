"""What it takes to serve a model that was fine-tuned: its weights, its adapters, and the cache of those who use it."""
