"""Where Prefect looks for its settings, looked at without importing it, which takes a second and more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_VARIABLES = {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"}
_FILES = (".env", "prefect.toml", "pyproject.toml")


def may_name_server() -> bool:
    """Whether any place that Prefect reads may name a server. False is certain; on True Prefect itself must say."""
    if "prefect" in sys.modules or not _VARIABLES.isdisjoint(name.upper() for name in os.environ):
        return True
    home = next((value for name, value in os.environ.items() if name.upper() == "PREFECT_HOME"), "~/.prefect")
    return (Path(home).expanduser() / "profiles.toml").exists() or any(_speaks_of_prefect(name) for name in _FILES)


def _speaks_of_prefect(name: str) -> bool:
    try:
        return Path(name).exists() and b"prefect" in Path(name).read_bytes().lower()
    except OSError:
        return True
