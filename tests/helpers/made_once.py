"""Folders of files that are dear to make: made once a process, and written anew for each test that wants one."""

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def made_once(make: Callable[..., Any]) -> Callable[..., Path]:
    """A function that fills a folder like ``make(folder, ...)``, which runs once for the same other arguments.

    It returns the folder. Each caller's files are its own to change.
    """

    @cache
    def contents(*arguments: Any, **named: Any) -> dict[str, bytes]:
        with TemporaryDirectory() as name:
            folder = Path(name)
            make(folder, *arguments, **named)
            files = [path for path in folder.rglob("*") if path.is_file()]
            return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    @wraps(make)
    def write(folder: Path, *arguments: Any, **named: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents(*arguments, **named).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    return write
