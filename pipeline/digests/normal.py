"""Writes a syntax tree as a text that contains what it computes and nothing else.

The text has no positions, docstrings, annotations, logging, or messages of errors and failures. Names of this project
are numbered in the order in which they appear (``«0»``) and listed beside the text. Other modules resolve them, so the
way of importing does not matter. ``ast.dump`` is not used: its text differs between Python versions, and an upgrade
must not make every feature stale.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bigfusion.pipeline.digests.imports import Binding, Function, Reference, bindings, is_ours, locals_of

_LOGS = {"log", "logger", "logging", "warnings"}
_WITH_MESSAGES = ("Error", "Exception", "Warning", "Failure", "Fault")
"""The last words of the names of classes that explain in a sentence why there is no result."""
_SILENT_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}


class NormalText:
    """Writes the trees of one module as text, and collects what they refer to.

    ``references`` have the order of their numbers in the text. ``hints`` are those that occur only in annotations.
    """

    def __init__(self, names: Mapping[str, Binding], package: Sequence[str], used: Iterable[str]) -> None:
        self.references: list[Reference] = []
        self.hints: list[Reference] = []
        self._names, self._package, self._used = names, package, set(used)
        self._scopes: list[tuple[bool, Mapping[str, Binding]]] = []

    def of(self, value: Any) -> str:
        """``value`` (a node, or what nodes hold) as text; empty if nothing in it counts."""
        if isinstance(value, list):
            texts = [self.of(item) for item in value if not (isinstance(item, ast.stmt) and self._is_idle(item))]
            return f"[{','.join(texts)}]" if texts else ""
        if not isinstance(value, ast.AST):
            return repr(value)
        write = getattr(self, f"_write_{type(value).__name__}", None)
        return write(value) if write else self._fields(value)

    def of_class(self, node: ast.ClassDef, body: Sequence[ast.stmt]) -> str:
        """The text of a class with ``body`` in place of its statements."""
        head = self._fields(node, {"body"})
        self._scopes.append((True, self._imports_of_class(node)))
        text = f"{head}{self.of(list(body))}"
        self._scopes.pop()
        return text

    def of_method(self, node: Function, owner: ast.ClassDef) -> str:
        """The text of one method, with names resolved as inside its class."""
        self._scopes.append((True, self._imports_of_class(owner)))
        text = self.of(node)
        self._scopes.pop()
        return text

    def _imports_of_class(self, node: ast.ClassDef) -> dict[str, Binding]:
        # Other names of a class do not count: ``scores = scores(...)`` in its body reads the module's name.
        return {name: binding for part in node.body for name, binding in bindings(part, self._package).items()}

    def hint(self, node: ast.AST | None) -> None:
        """Note the names in an annotation."""
        if node is None:
            return
        chain = _chain(node)
        if chain is not None:
            binding = self._lookup(chain[0])
            if isinstance(binding, tuple):
                self.hints.append((binding[0], (*binding[1], *chain[1:])))
            return
        for part in ast.iter_child_nodes(node):
            self.hint(part)

    def _fields(self, node: ast.AST, without: Iterable[str] = ()) -> str:
        texts = []
        for name in node._fields:
            value = getattr(node, name, None)
            if name in _SILENT_FIELDS or name in without or value is None:
                continue
            if text := self.of(value):
                texts.append(f"{name}={text}")
        return f"{type(node).__name__}({','.join(texts)})"

    # Names

    def _lookup(self, name: str) -> Binding:
        """What a name means at this place. A class's names are not visible inside its methods."""
        for depth, (is_class, names) in enumerate(reversed(self._scopes)):
            if name in names and not (is_class and depth):
                return names[name]
        return self._names.get(name)

    def _named(self, chain: Sequence[str]) -> str | None:
        """The text of a dotted name that is imported or defined in this module."""
        binding = self._lookup(chain[0])
        if binding is None:
            return None
        if isinstance(binding, str):
            return f"<{'.'.join([binding, *chain[1:]])}>"
        return self._numbered((binding[0], (*binding[1], *chain[1:])))

    def _numbered(self, reference: Reference) -> str:
        if reference not in self.references:
            self.references.append(reference)
        return f"«{self.references.index(reference)}»"

    def _write_Name(self, node: ast.Name) -> str:
        binds_here = not isinstance(node.ctx, ast.Load) and (not self._scopes or self._scopes[-1][0])
        return (None if binds_here else self._named([node.id])) or f"Name({node.id})"

    def _write_Attribute(self, node: ast.Attribute) -> str:
        chain = _chain(node)
        return (self._named(chain) if chain else None) or self._fields(node)

    # What does not count

    def _is_idle(self, node: ast.stmt) -> bool:
        """Whether a statement changes no number: nothing, a docstring, a log line, or an import whose names are
        used.
        """
        match node:
            case ast.Pass():
                return True
            case ast.Expr(value=value):
                return isinstance(value, ast.Constant) or is_logging(value)
            case ast.AnnAssign(value=None) if not (self._scopes and self._scopes[-1][0]):  # in a class it is a field
                self.hint(node.annotation)
                return True
            case ast.Import() | ast.ImportFrom():
                bound = bindings(node, self._package).items()
                return all(isinstance(target, tuple) or self._stands_for(name, target) for name, target in bound)
            case ast.If():
                return (is_type_checking(node) and not node.orelse) or (
                    all(map(self._is_idle, [*node.body, *node.orelse]))
                    and not any(isinstance(part, ast.Call | ast.NamedExpr | ast.Await) for part in ast.walk(node.test))
                )
        return False

    def _stands_for(self, name: str, target: Binding) -> bool:
        """Whether a library's name is in the text wherever it is used. If so, its import adds nothing."""
        return name in self._used and self._lookup(name) == target

    def _write_arg(self, node: ast.arg) -> str:
        self.hint(node.annotation)
        return node.arg

    def _write_AnnAssign(self, node: ast.AnnAssign) -> str:
        self.hint(node.annotation)
        if self._scopes and self._scopes[-1][0]:
            return f"Field({self._fields(node, {'annotation', 'simple'})})"
        return f"Assign(targets=[{self.of(node.target)}],value={self.of(node.value)})"

    def _write_Assert(self, node: ast.Assert) -> str:
        return self._fields(node, {"msg"})

    def _write_Raise(self, node: ast.Raise) -> str:
        if isinstance(node.exc, ast.Call):
            return f"Raise(exc={self._without_messages(node.exc)}{self.of(node.cause) if node.cause else ''})"
        return self._fields(node)

    def _write_Call(self, node: ast.Call) -> str:
        chain = _chain(node.func)
        if chain is not None and chain[-1].endswith(_WITH_MESSAGES):
            return self._without_messages(node)
        match chain, node.args:
            case [*_, "import_module"], [ast.Constant(value=str(module))] if is_ours(module):
                return self._numbered((module, ()))
        return self._fields(node)

    def _without_messages(self, node: ast.Call) -> str:
        arguments = [self.of(argument) for argument in node.args if not _is_message(argument)]
        keywords = [f"{one.arg}={self.of(one.value)}" for one in node.keywords if not _is_message(one.value)]
        return f"Call(func={self.of(node.func)},args=[{','.join([*arguments, *keywords])}])"

    # Scopes

    def _write_FunctionDef(self, node: Function) -> str:
        self.hint(node.returns)
        head = [self.of(node.decorator_list), self.of(node.args.defaults), self.of(node.args.kw_defaults)]
        self._scopes.append((False, locals_of(node, self._package)))
        text = [self._parameters(node.args), self.of(node.body)]
        self._scopes.pop()
        return f"{type(node).__name__}({node.name},{','.join([*head, *text])})"

    _write_AsyncFunctionDef = _write_FunctionDef

    def _write_Lambda(self, node: ast.Lambda) -> str:
        head = [self.of(node.args.defaults), self.of(node.args.kw_defaults)]
        self._scopes.append((False, locals_of(node, self._package)))
        text = [self._parameters(node.args), self.of(node.body)]
        self._scopes.pop()
        return f"Lambda({','.join([*head, *text])})"

    def _parameters(self, node: ast.arguments) -> str:
        return self._fields(node, {"defaults", "kw_defaults"})

    def _write_ClassDef(self, node: ast.ClassDef) -> str:
        return self.of_class(node, node.body)


def is_logging(node: ast.expr) -> bool:
    """Whether an expression is a call like ``log.info(...)``."""
    chain = _chain(node.func) if isinstance(node, ast.Call) else None
    return chain is not None and len(chain) > 1 and chain[0] in _LOGS


def is_type_checking(node: ast.If) -> bool:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    chain = _chain(node.test)
    return chain is not None and chain[-1] == "TYPE_CHECKING"


def used_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Every name that ``nodes`` read."""
    for node in nodes:
        yield from (part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load))


def _chain(node: ast.AST) -> list[str] | None:
    """The parts of ``a.b.c``; ``None`` if it does not begin with a name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else None


def _is_message(node: ast.AST) -> bool:
    """Whether an expression is text: a string, an f-string, a sum of texts, or a choice between two texts."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, right=right):
            return _is_message(left) or _is_message(right)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_message(body) and _is_message(orelse)
        case ast.Call(func=ast.Attribute(value=value)):
            return _is_message(value)
    return False
