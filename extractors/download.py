"""Whether a named model can be had, and how large its download is: asked before anything is computed.

Not part of an extractor: no vector depends on this file.
"""

from __future__ import annotations

from fnmatch import fnmatch

from bigfusion.extractors.checkpoints import PROBE_SECONDS, Checkpoint, not_had
from bigfusion.pipeline.errors import ExtractionError


def model_bytes(checkpoint: Checkpoint, setting: str) -> int:
    """Bytes that fetching a model would download; 0 if all of it lies on this machine. Loads nothing.

    Raises:
        ExtractionError: it lies nowhere here, and the hub does not answer, or has no such model in the form that is
            read. The error names ``setting``.
    """
    if checkpoint.folder is not None or checkpoint.cached() is not None:
        return 0
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    name = checkpoint.name
    try:
        info = HfApi().model_info(name, revision=checkpoint.branch, timeout=PROBE_SECONDS, files_metadata=True)
    except (AnyHTTPError, OSError, ValueError) as error:
        expected = "it in the hub's cache or on the hub"
        raise not_had(error, f"{setting} {name!r}", checkpoint.branch, setting, expected) from None
    there = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    for alternatives in checkpoint.needed:
        if not any(fnmatch(file, part) for file in there for part in alternatives):
            raise ExtractionError(
                f"{setting} {name!r}: expected {' or '.join(alternatives)} on the hub, found none; convert the model "
                f"and set {setting} to its folder"
            )
    read = (*checkpoint.parts, *checkpoint.also)
    lacking = (file for file in there if not isinstance(try_to_load_from_cache(name, file, revision=info.sha), str))
    return sum(there[file] for file in lacking if any(fnmatch(file, part) for part in read))
