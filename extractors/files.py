"""Files that an extractor's numbers depend on (inside an installed package or in a folder), and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from bigfusion.pipeline.errors import ExtractionError

FACE_WEIGHTS = Path(__file__).parent / "weights" / "ferplus.safetensors"
"""The DenseNet's weights that come with the project; their card lies beside them."""

Sha256 = Callable[[Path], str]
"""A file's SHA-256 in hex; callers may pass one that remembers."""


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hex.

    Not shared with :mod:`digests.digest`: a change there must not make every feature stale.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_package(package: str, inside: str) -> Path:
    """A file or folder of an installed package, found without importing it.

    Raises:
        ExtractionError: the package is not installed, or does not hold it.
    """
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise ExtractionError(f"package {package}: expected it to be installed, found none; pip install {name}")
    path = Path(spec.submodule_search_locations[0], *PurePosixPath(inside).parts)
    if ".." in PurePosixPath(inside).parts or not path.exists():
        raise ExtractionError(f"package {package}: expected {inside} in it, found none; install another version of it")
    return path
