"""The places where Prefect looks for its settings, read without importing Prefect, which takes over a second."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

_VARIABLES = {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"}


def may_name_server() -> bool:
    """Whether any place that Prefect reads may name a server. False is certain. If True, ask Prefect itself."""
    if "prefect" in sys.modules or not _VARIABLES.isdisjoint(name.upper() for name in os.environ):
        return True
    home = next((value for name, value in os.environ.items() if name.upper() == "PREFECT_HOME"), "~/.prefect")
    if (Path(home).expanduser() / "profiles.toml").exists() or Path("prefect.toml").exists():
        return True
    return b"prefect" in _read(".env").lower() or _has_table(_read("pyproject.toml"))


def _read(name: str) -> bytes:
    return Path(name).read_bytes() if Path(name).is_file() else b""


def _has_table(pyproject: bytes) -> bool:
    try:
        return "prefect" in tomllib.loads(pyproject.decode()).get("tool", {})
    except ValueError:  # no valid TOML: Prefect will say what is wrong
        return True
