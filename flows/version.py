"""The version of what is installed."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The installed version of bigfusion."""
    try:
        return metadata.version("bigfusion")
    except metadata.PackageNotFoundError:
        return "(source tree)"
