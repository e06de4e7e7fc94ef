"""A run's tensors with their facts, in one safetensors file. Reading verifies every byte."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bigfusion.model.runs.files import write_file
from bigfusion.pipeline.errors import TrainingError

_HEADER = "bigfusion"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """Write tensors and the JSON facts that belong to them as one safetensors file; returns their checksum."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False)
    checksum = _checksum(tensors, text)
    # one key: safetensors writes several keys in a varying order, and equal runs must give equal bytes
    header = json.dumps({"facts": text, "sha256": checksum}, ensure_ascii=False)
    write_file(path, save(tensors, metadata={_HEADER: header}))
    return checksum


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Read and verify a file of :func:`write_tensors`: its tensors, facts and checksum.

    Raises:
        TrainingError: the file is missing, not safetensors, or its content differs from its checksum.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected this file, found none; train the run first") from None
    except (SafetensorError, ValueError) as error:
        raise TrainingError(f"{path}: expected safetensors, found {error}; delete it and train again") from None
    text, checksum = header.get("facts", "{}"), header.get("sha256", "")
    if _checksum(tensors, text) != checksum:
        raise TrainingError(f"{path}: its content differs from its checksum (damaged); delete it and train again")
    facts: dict[str, Any] = json.loads(text)
    return tensors, facts, checksum


def count_numbers(path: Path) -> int:
    """How many numbers the tensors of a file hold. Only the header is read.

    Raises:
        TrainingError: the file is missing or not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected this file, found none; train the run first") from None
    except SafetensorError as error:
        raise TrainingError(f"{path}: expected safetensors, found {error}; delete it and train again") from None


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over names, types, shapes and bytes, in the names' order, and the facts."""
    sha256 = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
