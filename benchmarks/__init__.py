"""Measurements against the straightforward way of doing the same; ``python -m benchmarks`` runs them all."""
