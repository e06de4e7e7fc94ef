"""A corpus's JSON files, with errors that name the file and what was expected in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bigfusion.pipeline.errors import CorpusError


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        CorpusError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; set corpus.root to the folder that holds it") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: expected JSON, found {str(error).splitlines()[0]}") from None


def entries(holder: Any, key: str, path: Path) -> list[dict[str, Any]]:
    """The objects in the list ``key`` of an object.

    Raises:
        CorpusError: there is no such list, or it holds anything but objects.
    """
    found = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise CorpusError(f"{path}: expected a list {key!r} of objects, found {str(found)[:60]}")
    return found


def mapping(holder: Any, key: str, path: Path) -> dict[str, dict[str, Any]]:
    """The objects in the object ``key`` of an object, by name.

    Raises:
        CorpusError: there is none, or it holds anything but objects.
    """
    found = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise CorpusError(f"{path}: expected an object {key!r} of objects, found {str(found)[:60]}")
    return found
