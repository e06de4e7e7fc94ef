"""Media files -> samples and frames, on the clock of their timestamps."""
