"""A project without Prefect: settings, workspace, corpus, cells, runs, promotion."""
