"""A run's report for people: one self-contained HTML page, and the results table as plain text."""
