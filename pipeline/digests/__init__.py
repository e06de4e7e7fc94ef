"""Canonical digests of values, files and code. They decide whether something is stale."""
