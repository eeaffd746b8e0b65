"""Tables, figures, claims and the page: reads results only, never trains."""
