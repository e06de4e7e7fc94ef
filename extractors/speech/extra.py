"""The packages of the extra ``speech``. They are loaded when they are needed; an error names a missing one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bigfusion.pipeline.errors import ExtractionError


def require(module: str) -> Any:
    """The imported ``module`` of the extra ``speech``.

    Raises:
        ExtractionError: it is not installed; the message holds the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ExtractionError(
            f"no transcript: expected the package {module.partition('.')[0]} to make one, found {error}; "
            "run pip install 'bigfusion[speech]', or give subtitles"
        ) from None
