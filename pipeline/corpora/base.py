"""From a parser's rows to a manifest: media are digested, and what is missing is listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bigfusion.pipeline.corpora.file_names import meet
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped, Status

Progress = Callable[[int, int], None]
"""A function that is called as ``progress(done, total)`` with the number of media files whose digest is known."""


def silent(done: int, total: int) -> None:
    """A progress callback that does nothing."""


def corpus_folder(root: Path, usual_name: str) -> Path:
    """``root`` as an absolute path.

    Raises:
        CorpusError: ``root`` is not a folder.
    """
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder; set corpus.root to the folder of {usual_name}")
    return root


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn records (all with the same keys) into columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def assemble(
    corpus: str,
    root: Path,
    labels: Sequence[str],
    columns: Mapping[str, Any],
    skipped: Iterable[Skipped],
    *,
    digests: FileDigests,
    progress: Progress = silent,
    notes: Iterable[str] = (),
) -> Manifest:
    """The manifest of ``columns`` (see :data:`SCHEMA`; this function fills in the digests).

    A row whose media or transcript is missing stays, and is listed as ``missing_media`` or ``missing_transcript``.
    ``notes`` say what was decided about the corpus as a whole.
    """
    rows = len(columns["utterance"])
    audio, visual = (list(columns.get(f"{kind}_path", [""] * rows)) for kind in ("audio", "visual"))
    spelled = meet(root, [*audio, *visual])
    audio, visual = ([spelled.get(path, path) for path in paths] for paths in (audio, visual))
    sha256 = _digests(root, [*audio, *visual], digests, progress)
    missing = [*skipped]
    for name, text, *paths in zip(columns["utterance"], columns["text"], audio, visual, strict=True):
        absent = [path for path in dict.fromkeys(paths) if path and path not in sha256]
        if absent:
            missing.append(Skipped(name, Status.MISSING_MEDIA.value, f"no file {' and no file '.join(absent)}"))
        if not text:
            missing.append(Skipped(name, Status.MISSING_TRANSCRIPT.value, "no transcript"))
    found = {
        "audio_path": audio,
        "visual_path": visual,
        "audio_sha256": [sha256.get(path, "") for path in audio],
        "visual_sha256": [sha256.get(path, "") for path in visual],
    }
    return Manifest.of(corpus, root, labels, {**columns, **found}, missing, notes)


def _digests(root: Path, paths: Iterable[str], digests: FileDigests, progress: Progress) -> dict[str, str]:
    """SHA-256 by path, for the paths that are files."""
    wanted = {path: root / path for path in dict.fromkeys(paths) if path}
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(done, len(wanted))

    try:
        known = digests.of(wanted.values(), count)
    except OSError as error:
        raise CorpusError(f"{error.filename}: the file is there but cannot be read ({error.strerror})") from None
    return {path: known[place] for path, place in wanted.items() if place in known}
