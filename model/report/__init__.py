"""A run for people: one self-contained HTML page, and its results table as plain text."""
