"""Frozen settings from layers of TOML: preset < the user's file < ``--set key=value``. An unknown key is an error."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.nearest import did_you_mean
from bigfusion.pipeline.words import reason

S = TypeVar("S", bound="Settings")
_NAMED = 4

FIRST_DEFAULTS = Path(__file__).with_name("first_defaults.json")
"""Every setting's first default, by ``Class.field``; ``make defaults`` adds what is missing."""


class Settings(BaseModel):
    """Base class of all settings: frozen, no unknown keys, enums as plain values in canonical JSON.

    Settings named in ``run_only`` change how the work is done, never the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    run_only: ClassVar[frozenset[str]] = frozenset()
    named_as: ClassVar[str] = ""
    """The class whose first defaults hold, if this one adds no setting to it."""

    def numbers(self) -> dict[str, Any]:
        """The settings that change numbers and differ from their first default, as plain values. These are digested.

        A new setting at its default is left out, so earlier results stay up to date. A default that is changed later
        differs from the first default, so it is included.
        """
        plain = self.model_dump(mode="json")
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            number = value.numbers() if isinstance(value, Settings) else plain[name]
            if name not in self.run_only and not self._is_first(name, number):
                found[name] = number
        return found

    def code_entries(self) -> Iterator[str]:
        """The settings class and the classes of the settings in it, as entries for :func:`code_digests`.

        If a class chooses code by its ``kind``, it names that code here as well.
        """
        yield f"{type(self).__module__}:{type(self).__qualname__}"
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Settings):
                yield from value.code_entries()

    @classmethod
    def _is_first(cls, name: str, number: Any) -> bool:
        """Whether a value is the first default of a setting.

        A tag (``kind``) never counts as one, so it is always included.
        """
        field, key = cls.model_fields[name], f"{cls.named_as or cls.__name__}.{name}"
        if len(get_args(field.annotation)) == 1 and get_args(field.annotation) == (number,):
            return False
        first = first_defaults()
        if key in first:
            return bool(first[key] == number)
        return not field.is_required() and bool(cls.present_default(name) == number)

    @classmethod
    def present_default(cls, name: str) -> Any:
        """A setting's present default, as a plain value."""
        default = cls.model_fields[name].get_default(call_default_factory=True)
        return default.numbers() if isinstance(default, Settings) else to_jsonable_python(default)


@cache
def first_defaults() -> dict[str, Any]:
    """Each setting's first default, by ``Class.field``, if the setting had one when it was added."""
    return dict(json.loads(FIRST_DEFAULTS.read_bytes()))


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        SettingsError: the file is missing or is not TOML; the message names line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such settings file; make one with `bigfusion init my-meld --preset meld` or name it with"
            " --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: expected TOML, found {error}; correct that line") from None


def parse_assignment(assignment: str) -> tuple[list[str], Any]:
    """``"train.epochs=3"`` -> ``(["train", "epochs"], 3)``.

    The value is TOML, or a bare string if it is not valid TOML.

    Raises:
        SettingsError: there is no ``=`` or no key.
    """
    key, separator, value = assignment.partition("=")
    if not separator or not key.strip():
        raise SettingsError(f"--set {assignment!r}: expected key=value, for instance --set train.epochs=20")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return [part.strip() for part in key.split(".")], parsed


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``: tables are merged key by key; everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables by dotted key."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def assign(table: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """``table`` with every ``key=value`` of ``assignments`` laid on it, in order."""
    for assignment in assignments:
        keys, value = parse_assignment(assignment)
        layer: Any = value
        for key in reversed(keys):
            layer = {key: layer}
        table = merge(table, layer)
    return dict(table)


def validate(kind: type[S], table: Mapping[str, Any], origin: str) -> S:
    """``table`` as an instance of ``kind``.

    Raises:
        SettingsError: what is wrong, each with its key, what was expected and what was found.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        told = [_told(kind, table, one) for one in wrong[:_NAMED]]
        more = f" (and {len(wrong) - _NAMED} more)" if len(wrong) > _NAMED else ""
        raise SettingsError(f"{origin}: {'; '.join(dict.fromkeys(told))}{more}") from None


def _told(kind: type[BaseModel], table: Mapping[str, Any], error: ErrorDetails) -> str:
    """One thing that is wrong."""
    key, which = _key(error["loc"], table, error["type"] == "missing")
    if error["type"] == "extra_forbidden":
        near = did_you_mean(key, sorted({*known_keys(kind)} - {key}))
        return f"unknown key {key}{which}; `bigfusion settings` lists the known ones{near}"
    if error["type"] == "missing":
        return f"{key}{which}: expected a value, found none"
    found = repr(error["input"]["kind"] if error["type"] == "unknown_kind" else error["input"])
    found = f", found {found if len(found) <= 80 else found[:77] + '...'}"
    if ", found " in error["msg"]:  # the error says so itself, without the credentials
        found = ""
    return f"{key}{which}: {_expected(error)}{found}"


_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "tuple_type": "a list in brackets",
    "list_type": "a list in brackets",
}
"""What pydantic's kinds of error expect, as a person says it."""


def _expected(error: ErrorDetails) -> str:
    if error["type"] in _EXPECTED:
        return f"expected {_EXPECTED[error['type']]}"
    said = reason(error["msg"])
    rest = said.removeprefix("Input should be ")
    if rest == said:
        return said
    return f"expected {'a number ' if rest.startswith(('greater', 'less')) else ''}{rest}"


def _key(place: Sequence[Any], table: Any, missing: bool) -> tuple[str, str]:
    """The dotted key of an error. If a table's class depends on its kind, the kind as well."""
    keys: list[str] = []
    kind = ""
    for index, part in enumerate(place):
        if isinstance(table, Mapping) and part not in table and not (missing and index == len(place) - 1):
            kind = f" ({'.'.join([*keys, 'kind'])} = {part!r})"  # pydantic puts the kind between the keys
            continue
        keys.append(str(part))
        try:
            table = table[part]
        except (TypeError, KeyError, IndexError):
            table = None
    return ".".join(keys) or "(top level)", kind


def known_keys(kind: type[BaseModel], table: str = "") -> Iterator[str]:
    """The dotted keys of a settings class. A table with several kinds (corpora) has the keys of all kinds."""
    for name, field in kind.model_fields.items():
        yield f"{table}{name}"
        for found in _tables(field.annotation):
            yield from known_keys(found, f"{table}{name}.")


def _tables(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for part in get_args(annotation) for found in _tables(part)]
