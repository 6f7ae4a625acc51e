"""Figures of what others measured: errors by card, and quality against what it costs."""
