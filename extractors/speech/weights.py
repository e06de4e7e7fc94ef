"""Where the weights of a speech model lie, and what identifies them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bigfusion.extractors.checkpoints import PACKAGE, _commit, not_had
from bigfusion.extractors.files import Sha256, in_package
from bigfusion.pipeline.errors import ExtractionError

WHISPER = ("model.bin", "config.json", "tokenizer.json", "vocabulary.*", "preprocessor_config.json")
"""The files of a Whisper for CTranslate2."""
NEEDED = ("model.bin", "config.json", "tokenizer.json")


@dataclass(frozen=True)
class Weights:
    """A model by name. ``folder`` is where it lies; ``None``: on the hub, at ``revision`` if that is known."""

    name: str
    folder: Path | None
    revision: str | None = None

    def digests(self, sha256: Sha256, patterns: tuple[str, ...]) -> dict[str, str]:
        """What identifies the weights: the digest of each file, or the hub's name and commit."""
        if self.folder is None:
            return {"model": f"{self.name}@{self.revision or 'main'}"}
        return {path.name: sha256(path) for path in files(self.folder, patterns)}


def files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """The files of a folder that have one of these names."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def whisper(name: str, revision: str | None) -> Weights:
    """The Whisper that a setting names. Reads no weights. It asks the hub only for the commit of a branch.

    Raises:
        ExtractionError: the folder or package is not there, or holds no Whisper for CTranslate2.
    """
    folder = local(name)
    if folder is None:
        if name.startswith(("/", ".", "~")) or name.count("/") != 1:
            raise ExtractionError(
                f"predict.speech_model {name!r}: expected a folder, package:NAME/FOLDER or a hub's owner/name, found "
                "no such folder; correct the path"
            )
        return Weights(name, None, _commit(name, revision))
    there = {path.name for path in files(folder, WHISPER)}
    if missing := [part for part in NEEDED if part not in there]:
        raise ExtractionError(
            f"predict.speech_model {name!r}: expected a Whisper for CTranslate2, found no {missing[0]} in the folder; "
            "name a folder that ct2-transformers-converter or a download of a faster-whisper model made"
        )
    return Weights(name, folder)


def speaker_folder(name: str) -> Path:
    """The folder of the weights that tell voices apart.

    Raises:
        ExtractionError: it is not there.
    """
    folder = local(name)
    if folder is None:
        raise ExtractionError(
            f"predict.speaker_model {name!r}: expected a folder or package:NAME/FOLDER, found no such folder; "
            "correct the path"
        )
    return folder


def local(name: str) -> Path | None:
    """The folder that a name means; ``None`` if it is none.

    Raises:
        ExtractionError: the name means a package that is not installed, or does not hold the folder.
    """
    if name.startswith(PACKAGE):
        package, _, inside = name.removeprefix(PACKAGE).partition("/")
        return in_package(package, inside)
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


def fetched(weights: Weights) -> Path:
    """The folder of the weights; the hub's are downloaded unless its cache holds them.

    Raises:
        ExtractionError: they cannot be downloaded.
    """
    if weights.folder is not None:
        return weights.folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    patterns = list(WHISPER)
    try:
        folder = Path(
            snapshot_download(weights.name, revision=weights.revision, allow_patterns=patterns, local_files_only=True)
        )
        if not _missing(folder):
            return folder
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    try:
        folder = Path(snapshot_download(weights.name, revision=weights.revision, allow_patterns=patterns))
    except (AnyHTTPError, OSError, ValueError) as error:
        model = f"predict.speech_model {weights.name!r}"
        raise not_had(error, model, weights.revision, "predict.speech_model") from None
    if missing := _missing(folder):
        raise ExtractionError(
            f"predict.speech_model {weights.name!r}: expected a Whisper for CTranslate2, found no {missing[0]} on the "
            "hub or, without a connection, in its cache; name another, for instance Systran/faster-whisper-small, or a "
            "whole download's folder"
        )
    return folder


def _missing(folder: Path) -> list[str]:
    """Files without which other words, or none, would be heard: a cache may hold a part of a model."""
    return [part for part in NEEDED if not (folder / part).is_file()]
