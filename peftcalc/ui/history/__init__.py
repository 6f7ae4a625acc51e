"""Runs that outlive their tab: kept while they go on, listed, and shown again."""
