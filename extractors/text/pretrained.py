"""Pretrained encoders: where their files lie, the digests of those files, and how to load them.

An encoder is named in one of three ways: a folder; ``package:NAME/FOLDER``, a folder inside an installed package; or a
hub's ``owner/name`` with a revision. Weights must be safetensors: loading any other format would run a pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.extractors.checkpoints import PACKAGE, PROBE_SECONDS, _commit, _first_line, quiet
from bigfusion.extractors.files import Sha256, in_package
from bigfusion.pipeline.errors import ExtractionError

if TYPE_CHECKING:
    import torch

PARTS = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "dict.txt",
    "bpe.codes",
    "*.spm",
    "*.model",
)
"""The files on which an encoder's numbers depend. Other files, such as a model card or a pickle, change nothing."""


@dataclass(frozen=True)
class Reference:
    """An encoder by name. ``folder`` is where it lies; ``None`` means that it is on the hub.

    ``revision`` is the hub's commit if it is known; ``branch`` is what the user named (``None``: main).
    """

    name: str
    revision: str | None
    folder: Path | None
    branch: str | None = None

    def digests(self, sha256: Sha256) -> dict[str, str]:
        """What identifies the weights: each file's digest, or the hub's id and revision."""
        if self.folder is None:
            return {"model": f"{self.name}@{self.revision or 'main'}"}
        return {path.name: sha256(path) for path in _parts(self.folder)}


def locate(name: str, revision: str | None) -> Reference:
    """The encoder that ``name`` means. Reads no weights. It asks the hub only for the commit of a branch.

    Raises:
        ExtractionError: the folder or package is not there, or holds no encoder.
    """
    if name.startswith(PACKAGE):
        package, _, inside = name.removeprefix(PACKAGE).partition("/")
        folder = in_package(package, inside)
    else:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            if name.startswith(("/", ".", "~")) or name.count("/") != 1:
                raise ExtractionError(
                    f"text.model {name!r}: expected a folder, package:NAME/FOLDER or a hub's owner/name, found no such "
                    "folder; correct the path"
                )
            return Reference(name, _commit(name, revision), None, revision)
    found = {path.name for path in _parts(folder)}
    if "config.json" not in found or not any(part.endswith(".safetensors") for part in found):
        raise ExtractionError(
            f"text.model {name!r}: expected config.json and *.safetensors in the folder, found "
            f"{', '.join(sorted(found)) or 'neither'}; save the model with save_pretrained()"
        )
    return Reference(name, revision, folder)


def _parts(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and any(fnmatch(path.name, part) for part in PARTS)
    )


def load(reference: Reference, dtype: torch.dtype) -> tuple[Any, Any]:
    """The encoder in evaluation mode, on the CPU, and its tokenizer.

    Raises:
        ExtractionError: it cannot be loaded, or is not an encoder with all its weights; the message says what to do.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    # Load by branch name, so that the hub's cache knows the branch's commit next time without asking the hub.
    folder = reference.folder or _fetch(reference.name, reference.branch)
    if reference.folder is None and reference.revision not in (None, reference.branch, folder.name):
        raise ExtractionError(
            f"text.model {reference.name!r}: expected commit {reference.revision}, found {folder.name}: the branch has "
            "moved; run the same command again, or name a commit in text.revision"
        )
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, report = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        found = _first_line(error)
        raise ExtractionError(
            f"text.model {reference.name!r}: expected a transformers encoder, found: {found}; choose another model"
        ) from None
    absent = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if absent or report["mismatched_keys"]:
        first = absent[0] if absent else str(next(iter(report["mismatched_keys"])))
        raise ExtractionError(
            f"text.model {reference.name!r}: expected all of the encoder's weights, found {first} absent or of another "
            "shape; fetch the model anew"
        )
    return model.eval(), tokenizer


def _fetch(name: str, revision: str | None) -> Path:
    """The hub's encoder as a local folder: from the hub's cache if it is complete there, else downloaded."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=list(PARTS)))
        if _whole(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        raise ExtractionError(
            f"text.model {name!r}: expected a hub's owner/name, found another form; correct it"
        ) from None
    try:
        info = HfApi().model_info(name, revision=revision, timeout=PROBE_SECONDS)
        if not any(file.rfilename.endswith(".safetensors") for file in info.siblings or ()):
            raise ExtractionError(
                f"text.model {name!r}: expected safetensors weights on the hub, found none; convert the model and name "
                "its folder"
            )
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(PARTS)))
    except GatedRepoError:
        raise ExtractionError(
            f"text.model {name!r}: expected a free model, found a gated one; log in to the hub"
        ) from None
    except RepositoryNotFoundError:
        raise ExtractionError(
            f"text.model {name!r}: expected a model of the hub, found none; correct the name"
        ) from None
    except RevisionNotFoundError:
        raise ExtractionError(
            f"text.model {name!r}: expected revision {revision}, found none; correct text.revision"
        ) from None
    except (AnyHTTPError, OSError) as error:  # no network, offline mode, a full disk
        found = _first_line(error)
        raise ExtractionError(
            f"text.model {name!r}: expected to download it, found: {found}; download it on a connected machine and set "
            "text.model to its folder"
        ) from None


def _whole(folder: Path) -> bool:
    """Whether a snapshot holds configuration, tokenizer and every file of the weights."""
    index = folder / "model.safetensors.index.json"
    weights = {"model.safetensors"}
    if index.is_file():
        weights = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "vocab.txt"))
    return tokenizer and (folder / "config.json").is_file() and all((folder / name).is_file() for name in weights)
