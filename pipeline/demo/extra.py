"""The packages that only the demo needs. They are loaded when the demo is made; an error names a missing one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bigfusion.pipeline.errors import CorpusError


def require(package: str) -> Any:
    """The imported ``package`` of the extra ``demo``.

    Raises:
        CorpusError: it is not installed; the message holds the command that installs it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise CorpusError(
            f"demo corpus: expected the package {package}, found {error}; run pip install -e '.[demo]'"
        ) from None
