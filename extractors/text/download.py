"""Whether an encoder can be had and may be read, and how large its download is: asked before anything is computed.

Not part of the extractor: no vector depends on this file.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bigfusion.extractors import checkpoints
from bigfusion.extractors.checkpoints import INDEX, PROBE_SECONDS, _first_line, _recorded, not_had, read_json
from bigfusion.extractors.text.pretrained import PARTS, Reference, _whole
from bigfusion.pipeline.errors import ExtractionError

log = logging.getLogger("bigfusion")

_SAY_SO = (*(file for file, _ in checkpoints.OWN_CODE), checkpoints.ADAPTER)
"""Files that say whether an encoder is read as its authors read it."""
_BESIDE = tuple(part for part in PARTS if part != "*.safetensors")
"""The files beside the weights. Without some of them an encoder can be loaded all the same, and reads other tokens."""
_FAST = ("tokenizer.json", "tokenizer_config.json")
"""All that a fast tokenizer needs."""
_MIXED = ("big_bird", "convbert", "fnet", "funnel", "mobilebert", "nystromformer", "reformer", "yoso")
"""Types of models that let padding, or what was read before, into a sentence."""
_BOTH = (
    "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "fsmt", "led", "longt5", "m2m_100", "marian", "mbart",
    "mt5", "mvp", "nllb-moe", "pegasus", "pegasus_x", "plbart", "prophetnet", "switch_transformers", "t5", "t5gemma",
    "umt5",
)  # fmt: skip
"""Types of models that are encoder and decoder, also if their configuration does not say so."""


def download_bytes(reference: Reference, pooling: str = "mean") -> int:
    """Bytes that loading the encoder would download; 0 where it lies on this machine, whole. Loads nothing.

    Raises:
        ExtractionError: it lies nowhere here, and the hub does not answer or has no such model; or it is not fit to be
            read with ``pooling``.
    """
    refuse_unfit(reference, pooling)
    if reference.folder is not None:
        return 0
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    name, revision = reference.name, reference.branch
    cached = _loadable(reference)
    recorded = None if cached is None else _recorded(name, cached.name)
    if cached is not None and _holds(cached, recorded):
        return 0
    try:
        commit = revision if cached is None else cached.name
        info = HfApi().model_info(name, revision=commit, timeout=PROBE_SECONDS, files_metadata=True)
    except (AnyHTTPError, OSError, ValueError) as error:
        if cached is not None and recorded is None and _is_fast(cached):
            _warn_unlisted(name)
            return 0
        if cached is not None:
            raise _in_part(name, _first_line(error)) from None
        expected = "it in the hub's cache or on the hub"
        raise not_had(error, f"text.model {name!r}", revision, "text.model", expected) from None
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if cached is None:
        return sum(sizes[file] for file in _of(sizes, PARTS))
    return sum(sizes[file] for file in _of(sizes, _BESIDE) if not (cached / file).is_file())


def complete(reference: Reference) -> None:
    """Fetch the files beside the weights that the hub's cache lacks, if it holds enough of the encoder to load it.

    Raises:
        ExtractionError: it lacks one that cannot be fetched; or nobody knows whether it does, and it has no whole fast
            tokenizer.
    """
    if reference.folder is None and (cached := _loadable(reference)) is not None:
        _complete(reference.name, cached)


@cache
def _complete(name: str, folder: Path) -> None:
    """Once in a process: each chunk of cells asks for it."""
    recorded = _recorded(name, folder.name)
    if _holds(folder, recorded):
        return
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    listed, found = None, "fewer files than the hub lists"
    try:
        info = HfApi().model_info(name, revision=folder.name, timeout=PROBE_SECONDS)
        listed = [file.rfilename for file in info.siblings or ()]
        # Also if the cache holds all of them: the list is kept, and the hub is not asked again.
        snapshot_download(name, revision=folder.name, allow_patterns=list(_BESIDE), etag_timeout=PROBE_SECONDS)
    except (AnyHTTPError, OSError, ValueError) as error:
        found = _first_line(error)
    if listed is None and recorded is None and _is_fast(folder):
        _warn_unlisted(name)
    elif not _holds(folder, listed):
        raise _in_part(name, found)


def _in_part(name: str, found: str) -> ExtractionError:
    return ExtractionError(
        f"text.model {name!r}: expected all files that the hub lists, found a cache that may lack some, and of the hub:"
        f" {found}; run the same command once with a connection, or download it whole and set text.model to its folder"
    )


@cache
def _warn_unlisted(name: str) -> None:
    """Once in a process: the plan and each chunk of cells ask for it."""
    log.warning(
        "text.model %r: expected the hub's list of its files, found none; the cache holds tokenizer.json and"
        " tokenizer_config.json, and is taken as whole. Run the same command once with a connection to be sure",
        name,
    )


def _is_fast(folder: Path) -> bool:
    return all((folder / file).is_file() for file in _FAST)


def _holds(folder: Path, listed: Collection[str] | None) -> bool:
    """Whether a folder has every listed file beside the weights; if there is no list, nobody knows."""
    return listed is not None and all((folder / file).is_file() for file in _of(listed, _BESIDE))


def _of(files: Iterable[str], parts: tuple[str, ...]) -> list[str]:
    return [file for file in files if any(fnmatch(file, part) for part in parts)]


def _loadable(reference: Reference) -> Path | None:
    """The snapshot in the hub's cache, if it has configuration, weights and some vocabulary."""
    cached = _cached(reference, PARTS)
    return cached if cached is not None and _is_whole(cached, reference.name) else None


def _is_whole(folder: Path, name: str) -> bool:
    try:
        return _whole(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExtractionError(
            f"text.model {name!r}: expected the weights' index in {folder / INDEX}, found: {_first_line(error)}; "
            f"remove {folder.parents[1]} and run the same command again"
        ) from None


def refuse_unfit(reference: Reference, pooling: str = "mean") -> None:
    """Refuse an encoder that would not be read as its authors read it (:func:`checkpoints.refuse_unfit`).

    Or one whose vectors depend on what is read beside them, or of which ``pooling`` takes nothing of a sentence. Not in
    the extractor, whose code is in every text cell's fingerprint. The files that say so are fetched if they are not
    here. If they cannot be, loading the encoder says so.

    Raises:
        ExtractionError: it is one.
    """
    folder = reference.folder or _cached(reference, _SAY_SO)
    if folder is not None and (folder / "config.json").is_file():
        _refuse_unfit(folder, reference.name, pooling)
        return
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    name = reference.name
    with TemporaryDirectory() as aside:  # a cache that holds a part of a model confuses others
        try:
            commit = HfApi().model_info(name, revision=reference.branch, timeout=PROBE_SECONDS).sha
            snapshot_download(name, revision=commit, allow_patterns=list(_SAY_SO), local_dir=aside)
        except (AnyHTTPError, OSError, ValueError):
            return
        _refuse_unfit(Path(aside), name, pooling)


def _refuse_unfit(folder: Path, name: str, pooling: str) -> None:
    checkpoints.refuse_unfit(folder, "text.model", name)
    config = read_json(folder / "config.json", "text.model", name) if (folder / "config.json").is_file() else {}
    kind = config.get("model_type")
    if config.get("is_encoder_decoder") or kind in _BOTH:
        raise ExtractionError(
            f"text.model {name!r}: expected an encoder or a decoder, found {kind}, which is both; choose another model"
        )
    if kind == "xlnet":
        raise ExtractionError(
            f"text.model {name!r}: expected an encoder that says how many tokens it reads, found {kind}, which does"
            ' not; choose another model, or [text.NAME] kind = "transformer"'
        )
    if pooling == "cls":
        refuse_decoder(folder, "text.model", name)
    if kind in _MIXED:
        raise ExtractionError(
            f"text.model {name!r}: expected an encoder that reads a sentence alike in any batch, found {kind}, whose "
            'padding or order changes the vector; choose another model, or [text.NAME] kind = "transformer"'
        )


def refuse_decoder(folder: Path, what: str, name: str) -> None:
    """Refuse a decoder for pooling "cls": its first token sees no other, so it tells nothing of the sentence.

    Raises:
        ExtractionError: it is one.
    """
    config = read_json(folder / "config.json", what, name) if (folder / "config.json").is_file() else {}
    if _is_decoder(config):
        raise ExtractionError(
            f"{what} {name!r}: expected an encoder for pooling 'cls', found {config.get('model_type')}, a decoder,"
            " whose first token sees no other; set pooling to 'mean'"
        )


def _is_decoder(config: dict[str, Any]) -> bool:
    """Whether a token sees only those before it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as DECODERS
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS

    if config.get("is_decoder") or config.get("causal"):
        return True
    if not config.get("is_causal", True) or config.get("use_bidirectional_attention") in (True, "all"):
        return False
    kind = config.get("model_type")
    return kind in DECODERS and kind not in ENCODERS and kind not in ("bert-generation", "xlnet")


def _cached(reference: Reference, parts: tuple[str, ...]) -> Path | None:
    """The snapshot in the hub's cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                reference.name, revision=reference.branch, local_files_only=True, allow_patterns=list(parts)
            )
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None
