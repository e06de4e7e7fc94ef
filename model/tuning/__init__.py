"""The search for a network's settings, with the same budget for every network."""
