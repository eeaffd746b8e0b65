"""Where answers come from: endpoints, batch files, models in process."""
