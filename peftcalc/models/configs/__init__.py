"""What a raw configuration means to transformers: its class, its fields, the parts of it that decide no shape."""
