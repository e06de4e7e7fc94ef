"""Splits a module into its top-level definitions: functions, classes with their methods, assignments."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bigfusion.pipeline.digests.imports import Binding, Function, Reference, bindings, imported, stored
from bigfusion.pipeline.digests.normal import NormalText, is_logging, is_type_checking, used_names

PARSER_TRIALS = 3
_VALIDATORS = {"model_validator", "field_validator", "validator", "root_validator"}
_NO_FIELDS = {"run_only", "model_config"}


@dataclass(frozen=True)
class Piece:
    """Code that counts as a unit: a function, a method, a class without its methods, or another statement.

    ``text`` is the digest of its normal text, in which ``references`` are numbered. ``hints`` are the names in
    annotations. ``imports`` are the modules that it imports when it runs.
    """

    name: str
    text: str
    references: tuple[Reference, ...] = ()
    hints: tuple[Reference, ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Class:
    """The parts that only a class has. ``bases`` are this project's classes or dotted names.

    ``bare`` is the class without fields and methods, if anything is left. ``validators`` are the methods that pydantic
    calls when it makes a value.
    """

    bases: tuple[Reference | str, ...]
    bare: Piece | None
    methods: tuple[Piece, ...]
    validators: tuple[str, ...]


@dataclass(frozen=True)
class Definition:
    """One top-level statement; ``kind`` is ``function``, ``class``, ``value`` or ``statement`` (which binds no
    name).
    """

    kind: str
    piece: Piece
    more: Class | None = None


@dataclass(frozen=True)
class Module:
    """A module's definitions, their names, the names that its imports bind, and the modules that they run."""

    definitions: tuple[Definition, ...]
    names: dict[str, tuple[int, ...]] = field(default_factory=dict)
    imports: dict[str, Reference] = field(default_factory=dict)
    runs: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The module in a form that JSON can hold."""
        return asdict(self)

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Module:
        """The module that :meth:`plain` gave, after it was stored as JSON."""
        return cls(
            tuple(_definition(one) for one in plain["definitions"]),
            {name: tuple(places) for name, places in plain["names"].items()},
            {name: _reference(target) for name, target in plain["imports"].items()},
            tuple(plain["runs"]),
        )


def take_apart(source: bytes, package: Sequence[str], module: str) -> Module:
    """The definitions of a module, from its source. ``package`` is the package that holds it."""
    statements = list(_statements(parsed(source).body))
    names: dict[str, Binding] = {}
    for node in statements:
        names |= dict.fromkeys(_bound(node), None)
    names = {name: (module, (name,)) for name in names}
    imports: dict[str, Binding] = {}
    for node in statements:
        imports |= bindings(node, package)
    names = imports | names
    stars = [(target[0], ()) for target in imports.values() if isinstance(target, tuple) and target[1] == ("*",)]
    definitions: list[Definition] = []
    places: dict[str, tuple[int, ...]] = {}
    for node in statements:
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        bound = _bound(node)
        for name in bound:
            places[name] = (*places.get(name, ()), len(definitions))
        definitions.append(_with(stars, _defined(node, bound, names, package)))
    ours = {name: target for name, target in imports.items() if isinstance(target, tuple)}
    outside = [node for node in statements if not isinstance(node, Function | ast.ClassDef)]
    runs = dict.fromkeys(name for node in outside for name in imported(node, package))
    return Module(tuple(definitions), places, ours, tuple(runs))


def _with(modules: Sequence[Reference], definition: Definition) -> Definition:
    """A definition of a module that imports all names of ``modules``. Those modules then count as a whole."""
    piece = definition.piece
    return (
        replace(definition, piece=replace(piece, references=(*piece.references, *modules))) if modules else definition
    )


def parsed(source: bytes) -> ast.Module:
    """The syntax tree of a module.

    CPython before 3.11.8 sums the parsing depth of all threads, and then rejects its own sum (gh-106905).
    """
    for _ in range(PARSER_TRIALS):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The top-level statements that an import runs and that can change a number."""
    for node in body:
        match node:
            case ast.If() if is_type_checking(node):
                yield from _statements(node.orelse)
                continue
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):  # as a script
                continue
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                continue
            case ast.Expr(value=value) | ast.Assign(value=value) if is_logging(value):
                continue
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                continue
            case ast.AnnAssign(value=None):
                continue
        yield node


def _bound(node: ast.stmt) -> tuple[str, ...]:
    """The names that a top-level statement defines; none if the statement is there for its effect."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.AugAssign | ast.Delete):
        return ()
    names = list(stored([node]))
    for part in ast.walk(node):
        if isinstance(part, ast.Import | ast.ImportFrom) and not isinstance(node, Function | ast.ClassDef):
            names += bindings(part, [])
    return tuple(dict.fromkeys(names))


def _defined(node: ast.stmt, bound: Sequence[str], names: dict[str, Binding], package: Sequence[str]) -> Definition:
    if isinstance(node, ast.ClassDef):
        return _class(node, names, package)
    text = NormalText(names, package, used_names([node]))
    references: list[Reference] = []
    if not isinstance(node, Function):  # in `try: import a.b as c` the definition itself imports
        for part in ast.walk(node):
            if isinstance(part, ast.Import | ast.ImportFrom):
                found = bindings(part, package).values()
                references += [target for target in found if isinstance(target, tuple)]
    name = ", ".join(bound) or "(statement)"
    kind = "function" if isinstance(node, Function) else "value" if bound else "statement"
    return Definition(kind, _piece(name, text.of(node), text, [node], package, references))


def _class(node: ast.ClassDef, names: dict[str, Binding], package: Sequence[str]) -> Definition:
    methods = [part for part in node.body if isinstance(part, Function)]
    body = [part for part in node.body if not isinstance(part, Function)]

    bare = [part for part in body if not (_is_field(part) or isinstance(part, ast.Pass) or _is_docstring(part))]

    def piece(nodes: Sequence[ast.stmt]) -> Piece:
        text = NormalText(names, package, used_names(nodes))
        return _piece(node.name, text.of_class(node, nodes), text, nodes, package)

    def method(part: Function) -> Piece:
        text = NormalText(names, package, used_names([part]))
        return _piece(f"{node.name}.{part.name}", text.of_method(part, node), text, [part], package)

    more = Class(
        bases=tuple(base for one in node.bases if (base := _base(one, names)) is not None),
        bare=piece(bare) if bare else None,
        methods=tuple(method(part) for part in methods),
        validators=tuple(f"{node.name}.{part.name}" for part in methods if _is_validator(part)),
    )
    return Definition("class", piece(body), more)


def _piece(
    name: str,
    written: str,
    text: NormalText,
    nodes: Sequence[ast.AST],
    package: Sequence[str],
    more: Sequence[Reference] = (),
) -> Piece:
    imports = dict.fromkeys(module for node in nodes for module in imported(node, package))
    references = (*text.references, *(one for one in more if one not in text.references))
    digest = hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()
    return Piece(name, digest, references, tuple(dict.fromkeys(text.hints)), tuple(imports))


def _base(node: ast.expr, names: dict[str, Binding]) -> Reference | str | None:
    """The class that a base class's expression names: ``Generic[T]`` is ``Generic``."""
    while isinstance(node, ast.Subscript):
        node = node.value
    chain = ast.unparse(node).split(".")
    binding = names.get(chain[0])
    if isinstance(binding, tuple):
        return binding[0], (*binding[1], *chain[1:])
    return ".".join([binding or chain[0], *chain[1:]])


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_field(node: ast.stmt) -> bool:
    """Whether a statement of a settings class declares a field or describes the fields."""
    if isinstance(node, ast.AnnAssign):
        constant = "ClassVar" in ast.unparse(node.annotation)
        return not constant or (isinstance(node.target, ast.Name) and node.target.id in _NO_FIELDS)
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id in _NO_FIELDS for target in node.targets
    )


def _is_validator(node: Function) -> bool:
    calls = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return any(ast.unparse(one).rpartition(".")[2] in _VALIDATORS for one in calls)


def _reference(plain: Sequence[Any]) -> Reference:
    return plain[0], tuple(plain[1])


def _read_piece(plain: dict[str, Any]) -> Piece:
    references, hints = (tuple(map(_reference, plain[name])) for name in ("references", "hints"))
    return Piece(plain["name"], plain["text"], references, hints, tuple(plain["imports"]))


def _definition(plain: dict[str, Any]) -> Definition:
    more = plain["more"]
    if more is not None:
        bases = tuple(base if isinstance(base, str) else _reference(base) for base in more["bases"])
        methods = tuple(map(_read_piece, more["methods"]))
        more = Class(bases, more["bare"] and _read_piece(more["bare"]), methods, tuple(more["validators"]))
    return Definition(plain["kind"], _read_piece(plain["piece"]), more)
