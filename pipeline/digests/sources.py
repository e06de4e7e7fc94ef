"""The project's modules, split into definitions once. Processes share them; a file's stat shows whether it changed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.digests import definitions, imports, normal
from bigfusion.pipeline.digests.definitions import Module, take_apart
from bigfusion.pipeline.digests.imports import is_ours

SETTLED_NS = 2_000_000_000
"""A file that was modified less than this ago may change again without a new timestamp, so it is not remembered yet."""


def memory_of(root: Path) -> Path | None:
    """The folder that keeps what is known of the modules under ``root``; ``None`` if the user has no home."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return folder / "bigfusion" / f"code-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}"


class Sources:
    """The modules of this project under ``root``, in their state when they were first asked for.

    Two files in ``memory`` keep them: earlier questions with their answers, and every module split into definitions.
    Damaged files are replaced. If the files cannot be written, everything works without them.
    """

    def __init__(self, root: Path, memory: Path | None = None) -> None:
        self.root = root
        self._memory = memory_of(root) if memory is None else memory
        self._stats: dict[str, str | None] = {}
        self._modules: dict[str, Module | None] = {}
        self._paths: dict[str, str | None] = {}
        self._kept_modules: dict[str, Any] | None = None
        self._fresh: dict[str, Module] = {}

    def module(self, name: str) -> Module | None:
        """A module split into definitions; ``None`` if this project has no module of this name."""
        if name not in self._modules:
            self._modules[name] = self._take_apart(name)
        return self._modules[name]

    def _take_apart(self, name: str) -> Module | None:
        path = self._path(name)
        if path is None:
            return None
        if self._kept_modules is None:
            self._kept_modules = self._read("modules")
        kept = self._kept_modules.get(path)
        if isinstance(kept, dict) and kept.get("stat") == self._stat(path):
            with suppress(LookupError, TypeError, ValueError, AttributeError):  # damaged: split the module again
                return Module.of_plain(kept["module"])
        package = name.split(".") if path.endswith("/__init__.py") else name.split(".")[:-1]
        module = take_apart((self.root / path).read_bytes(), package, name)
        self._fresh[path] = module
        return module

    def _path(self, name: str) -> str | None:
        """Where a module lies, relative to the root."""
        if name not in self._paths:
            inside = name.replace(".", "/")
            places = (f"{inside}.py", f"{inside}/__init__.py") if is_ours(name) else ()
            self._paths[name] = next((place for place in places if self._stat(place)), None)
        return self._paths[name]

    def _stat(self, path: str) -> str | None:
        """The stat that changes when a file's content changes; ``None`` if there is no file."""
        if path not in self._stats:
            try:
                stat = os.stat(f"{self.root}/{path}")  # noqa: PTH116 - hundreds of them in each command
                found = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"
            except (OSError, ValueError):
                found = None
            self._stats[path] = found
        return self._stats[path]

    # Memory

    def remembered(self, key: str) -> dict[str, str] | None:
        """The stored answer to ``key``, if none of the files that it came from has changed, appeared or gone since."""
        kept = self._read("answers").get(key)
        try:
            return dict(kept["answer"]) if kept and kept["stats"] == self._digest(kept["files"]) else None
        except (TypeError, LookupError, ValueError):  # damaged
            return None

    def remember(self, key: str, answer: dict[str, str]) -> None:
        """Store an answer, and every module that was split for it."""
        now = time.time_ns()
        if any(abs(now - int(stat.split(":")[1])) < SETTLED_NS for stat in self._stats.values() if stat):
            return
        files = sorted(self._stats)
        answers = self._read("answers") | {
            key: {"files": files, "stats": self._digest(files), "answer": answer},
        }
        self._write("answers", answers)
        if self._fresh and self._kept_modules is not None:
            for path, module in self._fresh.items():
                self._kept_modules[path] = {"stat": self._stat(path), "module": module.plain()}
            self._fresh.clear()
            self._write("modules", self._kept_modules)

    def _digest(self, files: list[str]) -> str:
        return hashlib.sha256("\n".join(f"{path} {self._stat(path)}" for path in files).encode()).hexdigest()

    def _read(self, name: str) -> dict[str, Any]:
        if self._memory is None:
            return {}
        try:
            kept = json.loads((self._memory / f"{name}.json").read_bytes())
            if kept["version"] == _version():
                return dict(kept[name])
        except (OSError, ValueError, TypeError, LookupError):
            pass
        return {}

    def _write(self, name: str, value: dict[str, Any]) -> None:
        if self._memory is not None:
            with suppress(OSError):
                content = json.dumps({"version": _version(), name: value}, separators=(",", ":"))
                write_whole(self._memory / f"{name}.json", content.encode())


def _version() -> str:
    """The version of the memory: this Python's grammar, and the code that splits modules as it lies on disk."""
    files = [Path(str(module.__file__)) for module in (definitions, imports, normal)]
    files += [Path(__file__), Path(__file__).with_name("code.py")]
    stats = [(stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files)]
    return repr((sys.version_info[:3], stats))
