"""A project's workspace: its settings, its files, and the lock that lets only one command work on it."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

from pydantic import Field, field_validator

from bigfusion.pipeline.atomic import write_once
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import HeldError, SettingsError, StoreError
from bigfusion.pipeline.settings import Settings
from bigfusion.pipeline.store import bucket
from bigfusion.pipeline.store.folder import Place
from bigfusion.pipeline.store.store import Store

log = logging.getLogger("bigfusion")


ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:/|s3:", re.IGNORECASE)
"""The beginnings of addresses, which are not folders."""
REMEDY = "name a folder that can: --set workspace.path=FOLDER"
"""The remedy if a workspace's folder cannot be written."""
_POLL_SECONDS = 0.5
_held: set[Path] = set()


class WorkspaceSettings(Settings):
    """Where a project keeps the files that it makes."""

    path: Path = Field(default=Path("work"), description="manifest, runs, logs, the store unless `store` names one")
    store: str | None = Field(
        default=None, description="shard folder, or s3://bucket/prefix; may be shared between machines"
    )
    store_cache_gib: float = Field(default=20, ge=0, description="of a bucket's shards that this machine keeps")
    cache: Path | None = Field(
        default=None, description="this machine's own folder for index and digests, where the workspace is shared"
    )
    url: str | None = Field(default=None, description="where a web server shows the workspace; links in Prefect's UI")

    @field_validator("store", mode="before")
    @classmethod
    def _place(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith(bucket.SCHEME):
            bucket.address(value)
        elif isinstance(value, str | Path) and ADDRESS.match(str(value)):
            raise ValueError("expected a folder or s3://bucket/prefix")
        return str(value) if isinstance(value, Path) else value


class Workspace:
    """Where a project's files lie. Folders and files are made only when they are needed."""

    def __init__(self, settings: WorkspaceSettings) -> None:
        self.folder = settings.path
        self.store_folder: Place = self.folder / "store"
        if settings.store is not None:
            self.store_folder = settings.store if settings.store.startswith(bucket.SCHEME) else Path(settings.store)
        self._cache_bytes = int(settings.store_cache_gib * 2**30)
        self.manifest = self.folder / "manifest.parquet"
        self.source = self.folder / "source.json"
        self.runs = self.folder / "runs"
        self.current = self.folder / "current.json"
        self.prefect_home = self.folder / "prefect"
        self.cache = self.folder  # files of this machine alone
        if settings.cache is not None:  # many workspaces may share it
            self.cache = settings.cache / digest(str(self.folder.absolute()))[:16]
        self.index = self.cache / "index.sqlite"

    @staticmethod
    @cache
    def of(settings: WorkspaceSettings) -> Workspace:
        """The workspace of these settings. A process makes it once."""
        return Workspace(settings)

    def identity(self) -> str:
        """A name that tells this workspace from others on the same shards. It is the same from every machine and path.

        A copy of the workspace has another identity, because its ``id`` is another file.

        Raises:
            StoreError: the workspace cannot be written.
        """
        path = self.folder / "id"
        try:
            if not path.exists():
                write_once(path, uuid.uuid4().hex.encode())
            return digest([path.read_text(), path.stat().st_ino])[:16]
        except OSError as error:
            raise StoreError(
                f"{path}: the workspace's id cannot be read or written ({error.strerror}); correct the permissions"
            ) from error

    def store(self) -> Store:
        """The feature store, with its index brought up to date. The index lies here even if the shards do not."""
        return Store(self.store_folder, self.index, self._cache_bytes)

    def digests(self) -> FileDigests:
        """SHA-256 digests of files, cached by the files' stat."""
        return FileDigests(self.cache / "digests.sqlite")

    def holder(self) -> str | None:
        """The process that works on this workspace now, if any."""
        return holder(self.folder)

    @contextmanager
    def exclusive(self, patience: float = math.inf) -> Iterator[None]:
        """Hold the lock of this workspace. Waits while another command holds it, as :func:`exclusive` does."""
        with exclusive(self.folder, REMEDY, patience):
            yield


def holder(folder: Path) -> str | None:
    """The process that holds a folder's lock (:func:`exclusive`) now, if any."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return (folder / "lock").read_text().strip() or "?"
    return None


@contextmanager
def exclusive(folder: Path, remedy: str, patience: float = math.inf) -> Iterator[None]:
    """Hold the lock of a folder, which is made if it is missing. Waits while another process holds it.

    The lock of a killed process is free at once. Taking it again within the same process, for instance by a flow within
    a command, does nothing.

    Raises:
        SettingsError: the folder cannot be written; the message ends with ``remedy``.
        HeldError: another process holds it for longer than ``patience`` seconds.
    """
    if folder in _held:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be written ({error.strerror}); {remedy}") from error
    with file:
        _lock(file, folder, patience)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)


def _lock(file: TextIO, folder: Path, patience: float) -> None:
    deadline, said = time.monotonic() + patience, False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "?"
        if time.monotonic() > deadline:
            raise HeldError(f"{folder}: process {holder} is at work on it; wait until it has ended")
        if not said:
            log.warning("waiting for process %s, which works on %s", holder, folder)
            said = True
        time.sleep(_POLL_SECONDS)


def relative(path: Path) -> str:
    """``path`` as a person in the current folder would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
