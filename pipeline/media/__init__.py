"""From media files to samples and frames, on the clock of their timestamps."""
