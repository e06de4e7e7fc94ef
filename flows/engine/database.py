"""An empty Prefect database, copied instead of built.

For a new home Prefect builds its database with all migrations of its history, which takes about five seconds of a core.
The first database that this version of Prefect builds is kept in the user's cache folder, before it holds any run.
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
    """Copy the kept database into a new home, if there is one. Returns whether the server must build a database.

    A file without a byte is none: SQLite makes one as soon as somebody looks into a database that is not there.
    """
    if _holds_anything(home / DATABASE):
        return False
    try:
        content = template().read_bytes()
        if not _is_whole(content):
            return True
        write_whole(home / DATABASE, content)
    except OSError:  # no database is kept, or there is no home folder: the server builds one
        return True
    return False


def keep(home: Path) -> None:
    """Keep the empty database that a server has just built in a new home. If no folder can hold it, do nothing."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / DATABASE
            with closing(sqlite3.connect(home / DATABASE)) as source, closing(sqlite3.connect(copied)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = delete")  # one file, without a write-ahead log
            write_whole(template(), copied.read_bytes())
    except (OSError, sqlite3.Error):
        return


def free_slots(home: Path) -> None:
    """Free every slot of a concurrency limit in a home's database. Nobody but this process may use the home.

    A server keeps the leases of its slots in memory. If it is killed under a training, its database counts the slot as
    taken for ever, and every later training would wait for it.
    """
    if not _holds_anything(home / DATABASE):  # to look into it would make it, and no database would be copied
        return
    try:
        with closing(sqlite3.connect(home / DATABASE, timeout=60)) as database, database:
            database.execute("UPDATE concurrency_limit_v2 SET active_slots = 0 WHERE active_slots > 0")
    except sqlite3.Error:  # a database that the server has still to build
        return


def _holds_anything(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _is_whole(content: bytes) -> bool:
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(content)
            whole = database.execute("PRAGMA quick_check").fetchone()
            runs = database.execute("SELECT count(*) FROM flow_run").fetchone()
            return (whole, runs) == (("ok",), (0,))
    except sqlite3.Error:
        return False
