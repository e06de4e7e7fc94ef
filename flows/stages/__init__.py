"""The Prefect flows, named as in Prefect's UI."""
