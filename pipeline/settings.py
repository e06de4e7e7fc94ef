"""Frozen settings from layers of TOML: preset < the user's file < ``--set key=value``. An unknown key is an error."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bigfusion.pipeline.errors import SettingsError

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of every settings class: frozen, no unknown keys, enums as plain values in canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        SettingsError: the file is missing or is not TOML; the message names line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such settings file; make one with `bigfusion init DIR --preset meld` or name it with --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: expected TOML, found {error}; correct that line") from None


def parse_assignment(assignment: str) -> tuple[list[str], Any]:
    """``"train.epochs=3"`` -> ``(["train", "epochs"], 3)``; the value is TOML, or a bare string where it is not.

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
    """``over`` laid on ``base``: tables are merged key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


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
        SettingsError: the first thing that is wrong, with its key, what was expected and what was found.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        if first["type"] == "extra_forbidden":
            raise SettingsError(
                f"{origin}: unknown key {key}{more}; `bigfusion settings` lists the known ones"
            ) from None
        found = repr(first["input"])
        found = f", found {found if len(found) <= 80 else found[:77] + '...'}"
        if ", found " in first["msg"]:  # it says so itself, without the credentials
            found = ""
        raise SettingsError(f"{origin}: {key}: {first['msg']}{found}{more}") from None
