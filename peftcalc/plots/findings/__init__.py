"""Figures of the claims that are tried again here."""
