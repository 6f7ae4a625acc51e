"""Adapters as files in peft's format: its configuration, and the folder that holds it beside the tensors."""
