"""Explanations: prompts, the LLMs that answer them, and the store that keeps the answers."""
