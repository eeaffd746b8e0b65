"""What a person starts: notebooks, the runner, the manifest, the page of a run."""
