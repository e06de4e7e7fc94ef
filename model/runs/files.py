"""Files of a run. Each is complete or absent, is checked when it is read, and is never a pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.words import reason

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """Base of the frozen records that a run's JSON files hold; an unknown key or a NaN is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def write_file(path: Path, content: bytes, before: Callable[[], object] = lambda: None) -> None:
    """Write a file completely or not at all. ``before`` is called when it is on the disk, before it gets its name.

    Raises:
        TrainingError: the folder cannot be written (full disk, permissions).
    """
    try:
        write_whole(path, content, before)
    except OSError as error:
        raise TrainingError(
            f"{path}: could not be written ({error.strerror}); make room or correct the permissions, then run again"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN and infinities are refused."""
    write_file(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value of a JSON file of a run.

    Raises:
        TrainingError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected this file, found none; train the run first") from None
    except ValueError as error:
        raise TrainingError(f"{path}: expected JSON, found {error}; train the run again") from None


def write_record(path: Path, record: Record) -> None:
    """Write a record as indented JSON."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path, kind: type[R]) -> R:
    """The record that a JSON file of a run holds.

    Raises:
        TrainingError: the file is missing, is not JSON, or holds something else.
    """
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        raise TrainingError(
            f"{path}: {key}: {reason(first['msg'])}; it was written by another version of bigfusion,"
            " train the run again"
        ) from None
