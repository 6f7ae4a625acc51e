"""The sections of the page on direction and magnitude."""
