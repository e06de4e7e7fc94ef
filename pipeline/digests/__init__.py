"""Canonical digests of values, files and code: what decides whether something is stale."""
