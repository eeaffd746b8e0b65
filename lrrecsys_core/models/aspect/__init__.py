"""Baselines that read or predict aspects of items."""
