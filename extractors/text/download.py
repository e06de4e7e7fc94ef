"""Whether an encoder can be had, and how large its download is: asked before anything is computed.

Not part of the extractor: no vector depends on this file.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from bigfusion.extractors.checkpoints import PROBE_SECONDS, _first_line
from bigfusion.extractors.text.pretrained import PARTS, Reference, _whole
from bigfusion.pipeline.errors import ExtractionError


def download_bytes(reference: Reference) -> int:
    """Bytes that loading the encoder would download; 0 where it lies on this machine, whole. Loads nothing.

    Raises:
        ExtractionError: it lies nowhere here, and the hub does not answer or has no such model.
    """
    if reference.folder is not None:
        return 0
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    name, revision = reference.name, reference.branch
    try:
        if _whole(Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=list(PARTS)))):
            return 0
    except LocalEntryNotFoundError:
        pass
    try:
        info = HfApi().model_info(name, revision=revision, timeout=PROBE_SECONDS, files_metadata=True)
    except RepositoryNotFoundError:
        raise ExtractionError(
            f"text.model {name!r}: expected a model of the hub, found none; correct the name"
        ) from None
    except (AnyHTTPError, OSError) as error:
        raise ExtractionError(
            f"text.model {name!r}: expected it in the hub's cache or on the hub, found: {_first_line(error)}; download "
            "it on a connected machine and set text.model to its folder"
        ) from None
    files = [file for file in info.siblings or () if any(fnmatch(file.rfilename, part) for part in PARTS)]
    return sum(file.size or 0 for file in files)
