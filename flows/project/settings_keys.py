"""Every key of a settings file with its default, its allowed values and its meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bigfusion.flows.project.settings import Project

_BOUNDS = {Gt: "above", Ge: "at least", Lt: "below", Le: "at most"}


def keys() -> list[dict[str, Any]]:
    """Every key of a settings file, in the order of the tables."""
    return list(_keys(Project, ""))


def _keys(kind: type[BaseModel], table: str) -> Iterator[dict[str, Any]]:
    """The keys of a settings class. Tables come last, as TOML needs it."""
    tables = {name: found for name, field in kind.model_fields.items() if (found := _tables(field.annotation))}
    for name, field in kind.model_fields.items():
        if name not in tables:
            yield {"key": f"{table}{name}", "default": _default(field), "meaning": _meaning(field)}
    for name, found in tables.items():
        if len(found) == 1:
            yield from _keys(found[0], f"{table}{name}.")
        else:
            default = kind.model_fields[name].default
            default = json.dumps(default.kind) if hasattr(default, "kind") else "to be given"
            yield from _of_several(found, f"{table}{name}.", default)


def _of_several(kinds: list[type[BaseModel]], table: str, default: str) -> Iterator[dict[str, Any]]:
    """The keys of a table that may be of several kinds. A key that some kinds lack names the kinds that have it."""
    words = [next(_choices(kind.model_fields["kind"].annotation)) for kind in kinds]
    yield {"key": f"{table}kind", "default": default, "meaning": ", ".join(words)}
    having: dict[str, list[str]] = {}
    defaults: dict[str, set[str]] = {}
    found: dict[str, dict[str, Any]] = {}
    for word, kind in sorted(
        zip(words, kinds, strict=True), key=lambda one: one[0] != default
    ):  # the default kind first
        for one in _keys(kind, table):
            found.setdefault(one["key"], one)
            having.setdefault(one["key"], []).append(word)
            defaults.setdefault(one["key"], set()).add(one["default"])
    for key, one in found.items():
        if key != f"{table}kind":
            kinds_only = f"of {', '.join(having[key])}" if len(having[key]) < len(kinds) else ""
            others = f"the default is that of {having[key][0]}, others have theirs" if len(defaults[key]) > 1 else ""
            yield one | {"meaning": "; ".join(part for part in (one["meaning"], kinds_only, others) if part)}


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that a field may hold: one, or one for each kind."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for part in get_args(annotation) for found in _tables(part)]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "to be given"
    return "none" if value is None else json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else str(value)


def _meaning(field: FieldInfo) -> str:
    choices = ", ".join(dict.fromkeys(_choices(field.annotation)))
    bounds = " and ".join(
        f"{_BOUNDS[type(part)]} {getattr(part, type(part).__name__.lower())}"
        for part in field.metadata
        if type(part) in _BOUNDS
    )
    return "; ".join(part for part in (field.description or "", choices, bounds) if part)


def _choices(annotation: Any) -> Iterator[str]:
    """The allowed words of a field (from a Literal or an Enum)."""
    if get_origin(annotation) is Literal:
        yield from (json.dumps(word) for word in get_args(annotation) if isinstance(word, str))
    elif get_origin(annotation) in (Union, UnionType, tuple):
        for part in get_args(annotation):
            yield from _choices(part)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (json.dumps(word.value) for word in annotation)
