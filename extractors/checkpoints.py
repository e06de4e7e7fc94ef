"""Pretrained models by name: where their files lie, those files' digests, and their download.

A model is named in one of three ways: a folder; ``package:NAME/FOLDER``, a folder inside an installed package; or a
hub's ``owner/name`` with a revision. Weights must be safetensors: loading any other format would run a pickle. Code
that comes with a model is never run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bigfusion.extractors.files import Sha256, in_package
from bigfusion.pipeline.errors import ExtractionError

PACKAGE = "package:"

COMMIT = re.compile("[0-9a-f]{40}")

PROBE_SECONDS = 5.0
"""Seconds that the hub may take to answer a first question. Its client alone would retry for minutes."""

MODEL = ("config.json", "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
"""The files of a model's network. A folder may hold more weights, of adapters or in another precision."""
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Checkpoint:
    """A model by name. ``folder`` is where it lies; ``None`` means that it is on the hub.

    ``parts`` are patterns of the files that numbers depend on. Of each tuple in ``needed`` one file must be there.
    ``commit`` is the hub's commit if it is known; ``branch`` is what the user named (``None``: main). Loading reads
    files of the patterns in ``also`` too, and no number depends on them.

    ``optional``: a whole model may lack some of ``parts``. Then only the hub's list of its files tells whether those
    that a cache lacks are missing on the hub too, or were never downloaded.
    """

    what: str
    name: str
    parts: tuple[str, ...]
    needed: tuple[tuple[str, ...], ...]
    folder: Path | None
    commit: str | None = None
    branch: str | None = None
    also: tuple[str, ...] = ()
    optional: bool = False

    def digests(self, sha256: Sha256) -> dict[str, str]:
        """What identifies the weights: each file's digest, or the hub's name and commit."""
        if self.folder is None:
            return {"model": f"{self.name}@{self.commit or self.branch or 'main'}"}
        named = (self.folder / file for file in _indexed(self.folder))  # whatever they are called, they are read
        paths = {*files(self.folder, self.parts), *(path for path in named if path.is_file())}
        return {path.relative_to(self.folder).as_posix(): sha256(path) for path in sorted(paths)}

    def notes(self) -> tuple[str, ...]:
        """What a reader of a score should know: that a hub's model may change."""
        if self.folder is not None or self.branch is not None:
            return ()
        return (f"{self.what}: the revision of {self.name} is not pinned; set revision to a commit",)

    def fetched(self) -> Path:
        """The folder. A hub's model comes from the hub's cache if it is whole there, else it is downloaded.

        Raises:
            ExtractionError: it cannot be downloaded, its index is damaged, or the branch has moved since the commit was
                looked up.
        """
        if self.folder is not None:
            whole(self.folder, self.needed)  # a damaged index is said to be one
            return self.folder
        folder = self.cached() or self._downloaded()
        if self.commit not in (None, self.branch, folder.name):
            raise ExtractionError(
                f"{self.what} {self.name!r}: expected commit {self.commit}, found {folder.name}: the branch has moved;"
                " run the same command again, or name a commit in revision"
            )
        if lacking := lacks(folder, self.needed):
            raise ExtractionError(
                f"{self.what} {self.name!r}: expected {lacking} on the hub, found none; convert the model and "
                "name its folder"
            )
        return folder

    def cached(self) -> Path | None:
        """The hub's model in the hub's cache, if it is whole there."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(
                snapshot_download(
                    self.name,
                    revision=self.branch,
                    local_files_only=True,
                    allow_patterns=[*self.parts, *self.also, ADAPTER],
                )
            )
        except (LocalEntryNotFoundError, HFValidationError):  # the hub is asked next, and says what is wrong
            return None
        if not whole(folder, self.needed):
            return None
        return folder if not self.optional or self._holds(folder, _recorded(self.name, folder.name)) else None

    def _downloaded(self) -> Path:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # its HTTP library's

        try:
            # Asked first: without a hub, or a right to the files, the download returns what the cache has, if a part.
            info = HfApi().model_info(self.name, revision=self.branch, timeout=PROBE_SECONDS)
            folder = Path(
                snapshot_download(
                    self.name,
                    revision=self.branch,
                    allow_patterns=[*self.parts, *self.also, ADAPTER],
                    etag_timeout=PROBE_SECONDS,
                )
            )
        except (AnyHTTPError, OSError, ValueError) as error:  # no network, offline mode, a full disk, a wrong name
            raise not_had(error, f"{self.what} {self.name!r}", self.branch) from None
        if not self._holds(folder, [file.rfilename for file in info.siblings or ()]):
            raise ExtractionError(
                f"{self.what} {self.name!r}: expected all files that the hub lists, found fewer in {folder}; run the "
                "same command again, or download it whole and name its folder"
            )
        return folder

    def _holds(self, folder: Path, listed: Collection[str] | None) -> bool:
        """Whether a folder has every listed file that is read; if there is no list, nobody knows."""
        read = (*self.parts, *self.also, ADAPTER)
        return listed is not None and all(
            (folder / file).is_file() for file in listed if any(fnmatch(file, part) for part in read)
        )


def locate(
    what: str,
    name: str,
    revision: str | None,
    parts: tuple[str, ...],
    needed: tuple[tuple[str, ...], ...],
    also: tuple[str, ...] = (),
    optional: bool = False,
) -> Checkpoint:
    """The model that ``name`` means. Reads no weights, and asks the hub only for the commit of a branch.

    Raises:
        ExtractionError: the folder or package is not there, or lacks a file.
    """
    if name.startswith(PACKAGE):
        package, _, inside = name.removeprefix(PACKAGE).partition("/")
        folder = in_package(package, inside)
    else:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            if name.startswith(("/", ".", "~")) or name.count("/") != 1:
                raise ExtractionError(
                    f"{what} {name!r}: expected a folder, package:NAME/FOLDER or a hub's owner/name, found no such "
                    "folder; correct model"
                )
            commit = _commit(name, revision)
            return Checkpoint(what, name, parts, needed, None, commit, revision, also, optional)
    if lacking := lacks(folder, needed):
        raise ExtractionError(
            f"{what} {name!r}: expected {lacking} in the folder, found none; save the model and what prepares its "
            "input with save_pretrained()"
        )
    return Checkpoint(what, name, parts, needed, folder)


def files(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    """The files of a folder that match a pattern of ``parts``; a pattern may name a folder in it."""
    return sorted({path for part in parts for path in folder.glob(part) if path.is_file()})


def lacks(folder: Path, needed: tuple[tuple[str, ...], ...]) -> str:
    """The first of the needed files that is not in a folder; empty if all are."""
    absent = (one for one in needed if not any((folder / name).is_file() for name in one))
    return " or ".join(next(absent, ()))


def whole(folder: Path, needed: tuple[tuple[str, ...], ...]) -> bool:
    """Whether a folder holds all needed files, and every file that the index of the weights names.

    Raises:
        ExtractionError: the index is damaged.
    """
    return not lacks(folder, needed) and all((folder / name).is_file() for name in _indexed(folder))


def _indexed(folder: Path) -> list[str]:
    """The files that the index of the weights names; none if there is no index."""
    index = folder / INDEX
    if not index.is_file():
        return []
    files = read_json(index, "weights", folder.name).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise ExtractionError(
            f"weights {folder.name!r}: expected files in weight_map of {index}, found others; fetch the model anew"
        )
    return sorted(set(files.values()))


def not_had(
    error: Exception, model: str, revision: str | None, setting: str = "", expected: str = "to download it"
) -> ExtractionError:
    """Why the hub's ``model`` cannot be had, with the remedy. ``setting`` names the model, if it is known here."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):  # is a RepositoryNotFoundError too
        said = "expected a free model, found a gated one; log in to the hub"
    elif isinstance(error, RepositoryNotFoundError):
        said = "expected a model of the hub, found none; correct the name"
    elif isinstance(error, RevisionNotFoundError):
        named = f"{setting.removesuffix('model')}revision" if setting else "revision"
        said = f"expected revision {revision}, found none; correct {named}"
    elif isinstance(error, HFValidationError):
        said = "expected a hub's owner/name, found another form; correct it"
    else:
        remedy = f"set {setting} to its folder" if setting else "name its folder"
        said = f"expected {expected}, found: {_first_line(error)}; download it on a connected machine and {remedy}"
    return ExtractionError(f"{model}: {said}")


def _recorded(name: str, commit: str) -> list[str] | None:
    """The files of a hub's commit, as its client noted them when it downloaded a snapshot; ``None``: it never did."""
    try:
        from huggingface_hub import get_cached_repo_tree
        from huggingface_hub.errors import CachedRepoTreeNotFoundError
    except ImportError:  # clients before 1.23 note nothing
        return None
    try:
        return [file.path for file in get_cached_repo_tree(name, revision=commit)]
    except CachedRepoTreeNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _commit(name: str, revision: str | None) -> str | None:
    """The commit of a branch (default: main), from the hub's cache, else from the hub; unchanged if unknown.

    Two machines whose caches hold two states of a branch must not share features.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    try:
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
        return HfApi().model_info(name, revision=revision, timeout=PROBE_SECONDS).sha or revision
    except (AnyHTTPError, HFValidationError, OSError):  # loading the encoder will report what is wrong
        return revision


FETCHING = tuple(
    f"{__name__}:{name}"
    for name in (
        "ADAPTER", "COMMIT", "FETCHING", "INDEX", "OWN_CODE", "PACKAGE", "PROBE_SECONDS", "Checkpoint", "_auto_map",
        "_commit", "_first_line", "_indexed", "_recorded", "files", "lacks", "locate", "not_had", "quiet", "read_json",
        "refuse_own_code", "refuse_unfit", "whole",
    )
)  # fmt: skip
"""How a model is found, fetched or refused, for ``idle`` of an extractor: no number depends on it. The fingerprint
holds the digests of the model's files, or the hub's commit."""

ADAPTER = "adapter_config.json"
"""Is fetched with a model, so that it is refused wherever the model lies."""

OWN_CODE = (
    ("config.json", ("AutoModel",)),
    ("tokenizer_config.json", ("AutoTokenizer",)),
    ("preprocessor_config.json", ("AutoFeatureExtractor", "AutoImageProcessor")),
    ("processor_config.json", ("AutoFeatureExtractor", "AutoImageProcessor")),
)
"""Files that name code which comes with a model, and what they call it. The code of other heads is not asked for."""


def refuse_own_code(folder: Path, what: str, name: str) -> None:
    """Refuse a model whose authors compute with code that comes with it.

    Such code is never run. If transformers has a class of the same ``model_type``, it would compute something else.

    Raises:
        ExtractionError: a file of the folder names such code, or is damaged.
    """
    for file, parts in OWN_CODE:
        own = _auto_map(folder / file, what, name)
        if named := [part for part in parts if part in own]:
            raise ExtractionError(
                f"{what} {name!r}: expected a model of transformers' own classes, found code that comes with it "
                f"({named[0]} in {file}), which is never run; choose another model, or name a copy of its folder "
                "without auto_map if transformers' class computes the same"
            )


def refuse_unfit(folder: Path, what: str, name: str) -> None:
    """Refuse a model that would not be read as its authors read it, or only where some package is installed.

    Raises:
        ExtractionError: it comes with code, or with an adapter, or its weights lie in a file of another name.
    """
    refuse_own_code(folder, what, name)
    if (folder / ADAPTER).is_file():
        raise ExtractionError(
            f"{what} {name!r}: expected a model alone, found an adapter ({ADAPTER}), which transformers reads only if "
            "peft is installed; merge it into the weights (merge_and_unload) and name that folder"
        )
    config = folder / "config.json"
    if config.is_file() and (other := read_json(config, what, name).get("transformers_weights")):
        raise ExtractionError(
            f"{what} {name!r}: expected the weights in model.safetensors, found them in {other!r} "
            "(transformers_weights in config.json); save the model anew with save_pretrained()"
        )


def _auto_map(path: Path, what: str, name: str) -> set[str]:
    """What a file says to be made by code beside it. An old list means a tokenizer."""
    if not path.is_file():
        return set()
    content = read_json(path, what, name)
    inner = [one for one in content.values() if isinstance(one, dict)]  # processor_config.json nests its parts
    maps = [one.get("auto_map") or {} for one in (content, *inner)]
    return {part for one in maps for part in (one if isinstance(one, dict) else ["AutoTokenizer"])}


def read_json(path: Path, what: str, name: str, form: type = dict) -> Any:
    """The object, or the list, that a model's file holds.

    Raises:
        ExtractionError: it is damaged, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, form):
            return content
        found = "something else"
    except (OSError, ValueError, RecursionError) as error:
        found = _first_line(error)
    expected = "a list" if form is list else "an object"
    raise ExtractionError(f"{what} {name!r}: expected {expected} in {path}, found {found}; fetch the model anew")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing bars and advice; our own check of the weights is stricter."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
