"""Recommenders: plain single-replicate modules, one file per published model."""
