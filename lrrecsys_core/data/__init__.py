"""Records: loading, validating, splitting and simulating them."""
