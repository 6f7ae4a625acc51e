"""The sections of the page on rank, alpha and dropout."""
