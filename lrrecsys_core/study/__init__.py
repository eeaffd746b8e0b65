"""One run: its rows as cells, kept, resumed and served."""
