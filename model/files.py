"""Files of a run: whole or not there at all, checked on reading, never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipeline.atomic import write_whole
from pipeline.digest import canonical
from pipeline.errors import TrainingError

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """Base of the frozen records that a run's JSON files hold; an unknown key or a NaN is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole.

    Raises:
        TrainingError: the folder cannot be written (full disk, permissions).
    """
    try:
        write_whole(path, content)
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
            f"{path}: {key}: {first['msg']}; it was written by another version of bigfusion, train the run again"
        ) from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """Write tensors and the JSON facts that belong to them as one safetensors file; returns their checksum."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = canonical(facts).decode()
    checksum = _checksum(tensors, text)
    write_file(path, save(tensors, metadata={"facts": text, "sha256": checksum}))
    return checksum


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Tensors, facts and checksum of a file of :func:`write_tensors`; every byte was verified.

    Raises:
        TrainingError: the file is missing, not safetensors, or its content differs from its checksum.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected this file, found none; train the run first") from None
    except SafetensorError as error:
        raise TrainingError(f"{path}: expected safetensors, found {error}; delete it and train again") from None
    text, checksum = header.get("facts", "{}"), header.get("sha256", "")
    if _checksum(tensors, text) != checksum:
        raise TrainingError(f"{path}: its content differs from its checksum (damaged); delete it and train again")
    facts: dict[str, Any] = json.loads(text)
    return tensors, facts, checksum


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over names, types, shapes and bytes, in the names' order, and the facts."""
    sha256 = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
