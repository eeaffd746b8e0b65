"""Baselines that explain themselves: by aspects, by generated text, by attention."""
