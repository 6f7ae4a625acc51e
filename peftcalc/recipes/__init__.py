"""What leaves the tool: code for a method and a model."""
