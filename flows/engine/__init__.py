"""Everything about Prefect itself: its configuration, server, workers and pages."""
