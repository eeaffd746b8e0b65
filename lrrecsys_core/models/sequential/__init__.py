"""Baselines that read the user's last items in order."""
