"""YuNet's file from the hub, if the user names the detector but no file. It is one release, checked by its SHA-256."""

from __future__ import annotations

from pathlib import Path

from bigfusion.extractors.files import Sha256
from bigfusion.pipeline.errors import ExtractionError

REPOSITORY, FILE = "opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


def fetch_yunet(sha256: Sha256) -> Path:
    """OpenCV's release of YuNet (MIT): from the hub's cache, else downloaded.

    Raises:
        ExtractionError: the file cannot be fetched, or is not the released one.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:
            path = Path(hf_hub_download(REPOSITORY, FILE, local_files_only=True))
        except LocalEntryNotFoundError:
            path = Path(hf_hub_download(REPOSITORY, FILE, etag_timeout=5))
    except (AnyHTTPError, OSError, ValueError) as error:  # no network, offline mode, a full disk
        found = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExtractionError(
            f"visual.detector 'yunet': expected to download {FILE}, found: {found}; fetch it on a connected machine "
            "and set visual.detector_path to it, or set visual.detector to 'centerface'"
        ) from None
    if sha256(path) != SHA256:
        raise ExtractionError(
            f"{path}: expected the YuNet of 2023 (SHA-256 {SHA256[:12]}...), found another; delete it and run again"
        )
    return path
