"""Training many replicates of one model in one pass."""
