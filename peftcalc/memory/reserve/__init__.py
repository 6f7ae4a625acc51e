"""What torch's caching allocator reserves: a model of it, and a traced step played through it."""
