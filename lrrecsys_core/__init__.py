"""LR-Recsys, reproduced: LLM-written contrastive explanations inside a deep recommender."""

__version__ = "0.1.0"
