"""A folder that truly refuses writes, for root as well."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Within this block nothing below ``folder`` can be written. Root gets a read-only mount, others the permissions.

    The test is skipped if root may not mount (a container without that right).
    """
    if os.geteuid() == 0:
        with _mounted(folder):
            yield
        return
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@contextmanager
def _mounted(folder: Path) -> Iterator[None]:
    bound = subprocess.run(["mount", "--bind", folder, folder], check=False, capture_output=True, text=True)
    if bound.returncode:
        pytest.skip(f"root may not mount here, and permissions do not bind root: {bound.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
