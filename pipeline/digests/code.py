"""Digests of code, as syntax trees: comments, formatting and docstrings change nothing, a changed helper three imports
away does.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).absolute().parents[3]
PACKAGES = ("bigfusion",)

PARSER_TRIALS = 3


@cache
def code_digests(module: str, root: Path = PROJECT) -> dict[str, str]:
    """Digest by file of ``module`` and every module of this project that it reaches by import.

    Keys are POSIX paths relative to ``root`` (``extractors/faces.py``), the folder that holds the packages.

    Raises:
        ModuleNotFoundError: ``module`` is not a module under ``root``.
    """
    if _source(module, root) is None:
        raise ModuleNotFoundError(f"no module {module} under {root}")
    digests: dict[str, str] = {}
    waiting = list(_with_packages(module))
    while waiting:
        path = _source(waiting.pop(), root)
        if path is None or (key := path.relative_to(root).as_posix()) in digests:
            continue
        tree = _parsed(path.read_bytes())
        digests[key] = hashlib.sha256(normalised(tree).encode()).hexdigest()
        package = list(path.relative_to(root).parent.parts)
        waiting.extend(_imported(tree, package))
    return dict(sorted(digests.items()))


def _parsed(source: bytes) -> ast.Module:
    """The syntax tree of a module.

    CPython before 3.11.8 counts the depth of all threads' parsing together, and complains of its own count (gh-106905).
    """
    for _ in range(PARSER_TRIALS):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def normalised(tree: ast.AST) -> str:
    """A syntax tree as text, without positions, docstrings and empty fields.

    Not ``ast.dump``: its text differs between Python versions, and an upgrade must not make every feature stale.
    """
    if isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(tree):
        tree.body = tree.body[1:]
    return _text(tree)


def _text(value: Any) -> str:
    if isinstance(value, ast.AST):
        fields = ((name, getattr(value, name, None)) for name in value._fields if name not in ("kind", "type_comment"))
        inner = ",".join(
            f"{name}={normalised(field) if isinstance(field, ast.AST) else _text(field)}"
            for name, field in fields
            if field is not None and field != []
        )
        return f"{type(value).__name__}({inner})"
    if isinstance(value, list):
        return "[" + ",".join(normalised(item) if isinstance(item, ast.AST) else _text(item) for item in value) + "]"
    return repr(value)


def _has_docstring(tree: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = tree.body[0] if tree.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _source(module: str, root: Path) -> Path | None:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return None
    as_module = root.joinpath(*parts).with_suffix(".py")
    as_package = root.joinpath(*parts, "__init__.py")
    return as_module if as_module.is_file() else as_package if as_package.is_file() else None


def _imported(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Names of every module that an import statement anywhere in ``tree`` may reach, its packages included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _with_packages(name)


def _with_packages(module: str) -> Iterator[str]:
    """``a.b.c`` -> ``a``, ``a.b``, ``a.b.c``: importing a module runs its packages too."""
    parts = module.split(".")
    return (".".join(parts[: end + 1]) for end in range(len(parts)))
