"""An empty Prefect database, copied instead of built.

Prefect builds the database of a new home by all migrations of its history, some five seconds of a core. The first one
that this user's Prefect of this version builds is kept, before any run is in it, in the user's cache folder.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from bigfusion.pipeline.atomic import write_whole

DATABASE = "prefect.db"


def template() -> Path:
    """Where the empty database of this version of Prefect is kept."""
    import prefect

    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "bigfusion" / f"prefect-{prefect.__version__}.db"


def lay(home: Path) -> bool:
    """Give a new home an empty database if one is kept. Returns whether the server will have to build one."""
    if (home / DATABASE).exists():
        return False
    try:
        content = template().read_bytes()
        if not _is_whole(content):
            return True
        write_whole(home / DATABASE, content)
    except OSError:  # none yet, or no home folder: it is built
        return True
    return False


def keep(home: Path) -> None:
    """Keep the empty database that a server has just built in a new home; without a place to keep it, do nothing."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / DATABASE
            with closing(sqlite3.connect(home / DATABASE)) as source, closing(sqlite3.connect(copied)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = delete")  # one file, without a write-ahead log
            write_whole(template(), copied.read_bytes())
    except (OSError, sqlite3.Error):
        return


def _is_whole(content: bytes) -> bool:
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(content)
            whole = database.execute("PRAGMA quick_check").fetchone()
            runs = database.execute("SELECT count(*) FROM flow_run").fetchone()
            return (whole, runs) == (("ok",), (0,))
    except sqlite3.Error:
        return False
