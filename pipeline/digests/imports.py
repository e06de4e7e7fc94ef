"""What the names in a module mean: its definitions, imports of this project, imports of libraries, or locals."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

PACKAGES = ("bigfusion",)
"""The packages of this project; all others are libraries."""

Reference = tuple[str, tuple[str, ...]]
"""A module of this project and a dotted name that is looked up in it."""
Binding = Reference | str | None
"""The meaning of a name: something of this project, a library's dotted name, or ``None`` for a local variable."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_ours(module: str) -> bool:
    """Whether a module is one of this project's."""
    return module.partition(".")[0] in PACKAGES


def bindings(node: ast.stmt, package: Sequence[str]) -> dict[str, Binding]:
    """The names that an import statement binds. Relative imports start at ``package``, which holds the module."""
    found: dict[str, Binding] = {}
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            target = alias.name if alias.asname else name
            found[name] = (target, ()) if is_ours(target) else target
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, package)
        for alias in node.names:
            ours = is_ours(base)
            found[alias.asname or alias.name] = (base, (alias.name,)) if ours else f"{base}.{alias.name}"
    return found


def imported(node: ast.AST, package: Sequence[str]) -> Iterator[str]:
    """The modules of this project that import statements in ``node`` may run, including their packages."""
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            names = [alias.name for alias in part.names]
        elif isinstance(part, ast.ImportFrom):
            base = _base(part, package)
            names = [base, *(f"{base}.{alias.name}" for alias in part.names)]
        else:
            continue
        for name in filter(is_ours, names):
            parts = name.split(".")
            yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def _base(node: ast.ImportFrom, package: Sequence[str]) -> str:
    above = package[: len(package) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def stored(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """The names that statements bind in their own scope."""
    for node in nodes:
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        yield from stored(list(ast.iter_child_nodes(node)))


def locals_of(node: Function | ast.Lambda, package: Sequence[str]) -> dict[str, Binding]:
    """The names that a function binds, and what they mean; without those that it declares ``global`` or
    ``nonlocal``.
    """
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found: dict[str, Binding] = dict.fromkeys(one.arg for one in every if one is not None)
    if isinstance(node, ast.Lambda):
        return found
    found |= dict.fromkeys(stored(node.body))
    outer = {name for part in within(node) if isinstance(part, ast.Global | ast.Nonlocal) for name in part.names}
    for part in within(node):
        if isinstance(part, ast.Import | ast.ImportFrom):
            found |= bindings(part, package)
    return {name: binding for name, binding in found.items() if name not in outer}


def within(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes below ``scope`` that belong to it rather than to a function or class inside it."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            yield from within(node)
