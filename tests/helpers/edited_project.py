"""A copy of the project's own code, to be edited, and what the commands find stale under it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigfusion.pipeline.digests.code import PROJECT

Edit = Callable[["EditedProject"], None]


@dataclass(frozen=True)
class EditedProject:
    """The packages in a folder of their own; ``root`` is what ``PYTHONPATH`` would name.

    ``before`` is what the edited files held, ``None`` if there were none.
    """

    root: Path
    before: dict[Path, str | None] = field(default_factory=dict)

    @classmethod
    def copied(cls, root: Path) -> EditedProject:
        shutil.copytree(
            PROJECT / "bigfusion", root / "bigfusion", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
        )
        weights = PROJECT / "bigfusion/extractors/weights/ferplus.safetensors"
        (root / "bigfusion/extractors/weights/ferplus.safetensors").symlink_to(weights)
        return cls(root)

    @property
    def files(self) -> list[Path]:
        return sorted((self.root / "bigfusion").rglob("*.py"))

    def path(self, inside: str) -> Path:
        """A file, by its place in the package."""
        return self.root / "bigfusion" / inside

    def add(self, inside: str, text: str) -> None:
        """Write a new file, or more into one."""
        path = self.path(inside)
        self._write(path, (path.read_text() if path.exists() else "") + text)

    def replace(self, inside: str, old: str, new: str) -> None:
        text = self.path(inside).read_text()
        assert old in text, f"{inside}: {old}"
        self._write(self.path(inside), text.replace(old, new, 1))

    def rewrite(self, change: Callable[[ast.Module], ast.Module]) -> int:
        """Parse every file, change its tree, and print it anew. Returns how many trees were changed."""
        edited = 0
        for path in self.files:
            tree = ast.parse(path.read_text())
            plain = ast.unparse(tree)
            text = ast.unparse(ast.fix_missing_locations(change(tree)))
            edited += text != plain
            self._write(path, text + "\n")
        return edited

    def change(self, name: str, inside: str = "") -> None:
        """Put another statement into the function or method of a name (``Class.method``), wherever it is defined.

        Where several have the name, ``inside`` is part of the path of the one that is meant.
        """
        changed = 0
        for path in (path for path in self.files if inside in path.as_posix()):
            text = path.read_text()
            if f"def {name.rpartition('.')[2]}(" not in text:  # to parse all files takes half a second
                continue
            tree = ast.parse(text)
            for node in self._named(tree, name):
                node.body.insert(bool(ast.get_docstring(node)), ast.parse("changed = 1").body[0])
                self._write(path, ast.unparse(ast.fix_missing_locations(tree)) + "\n")
                changed += 1
        assert changed == 1, f"{name}: {changed} definitions"

    @staticmethod
    def _named(tree: ast.Module, name: str) -> list[ast.FunctionDef]:
        owner, _, inside = name.rpartition(".")
        bodies = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
        body = bodies[0] if bodies else [] if owner else tree.body
        return [node for node in body if isinstance(node, ast.FunctionDef) and node.name == inside]

    def move(self, old: str, new: str) -> None:
        """Move a module (dotted, inside the package) and adjust all that name it."""
        there, here = (f"bigfusion.{name}" for name in (old, new))
        source, target = (self.path(f"{name.replace('.', '/')}.py") for name in (old, new))
        target.parent.mkdir(parents=True, exist_ok=True)
        self._write(target, source.read_text())
        self.before.setdefault(source, source.read_text())
        source.unlink()
        parent, _, last = there.rpartition(".")
        new_parent, _, new_last = here.rpartition(".")
        adjusted = 0
        for path in self.files:
            text = path.read_text()
            after = re.sub(rf"\b{re.escape(there)}\b", here, text)
            after = re.sub(
                rf"^(\s*)from {re.escape(parent)} import {last}$",
                rf"\1from {new_parent} import {new_last} as {last}",
                after,
                flags=re.MULTILINE,
            )
            if after != text:
                adjusted += 1
                self._write(path, after)
        assert adjusted

    def undo(self) -> None:
        """Take every edit back."""
        for path, text in self.before.items():
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        self.before.clear()

    def _write(self, path: Path, text: str) -> None:
        if path not in self.before:
            self.before[path] = path.read_text() if path.exists() else None
        path.write_text(text)

    def command(self, command: str, *arguments: str, code: int = 0) -> Any:
        """The JSON answer of a command that runs this very code, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "bigfusion.flows.cli", command, *arguments, "--json"],
            env=os.environ | {"PYTHONPATH": str(self.root), "XDG_CACHE_HOME": str(self.root / "cache")},
            cwd=self.root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)
