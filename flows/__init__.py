"""Prefect flows and the command line: thin layers over functions that run without Prefect."""
