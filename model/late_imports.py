"""Modules that other libraries import, and that no network uses, are imported when they are first looked into."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType


class Late(MetaPathFinder):
    """Finds a module where it is, and has it loaded when the first of its names is looked up."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's place, with a loader that waits."""
        if fullname != self.module:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = LazyLoader(found.loader)
        return found


def import_late(module: str) -> Late:
    """Put the import of a module off to its first use. Returns the finder that does so.

    Source: the documentation of :class:`importlib.util.LazyLoader`.
    """
    finder = Late(module)
    sys.meta_path.insert(0, finder)
    return finder
