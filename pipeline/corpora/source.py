"""What a manifest's labels and splits come from: the corpus's settings, and the files that hold the labels.

It is compared without a scan, so that no command uses the manifest of other settings or other labels unnoticed. It lies
beside the manifest, whose digest it names: the code of a manifest counts in the cells of feature files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.corpora import dailydialog, emorynlp, iemocap, m3ed, meld
from bigfusion.pipeline.corpora.base import corpus_folder
from bigfusion.pipeline.corpora.crema_d import CremaDSettings
from bigfusion.pipeline.corpora.dailydialog import DailyDialogSettings
from bigfusion.pipeline.corpora.emodb import EmodbSettings
from bigfusion.pipeline.corpora.emorynlp import EmoryNlpSettings
from bigfusion.pipeline.corpora.file_names import on_disk
from bigfusion.pipeline.corpora.filenames import FilenamesSettings
from bigfusion.pipeline.corpora.iemocap import IemocapSettings
from bigfusion.pipeline.corpora.label_csv import LabelCsvSettings
from bigfusion.pipeline.corpora.m3ed import M3edSettings
from bigfusion.pipeline.corpora.meld import MeldSettings
from bigfusion.pipeline.corpora.ravdess import RavdessSettings
from bigfusion.pipeline.corpora.scan import CorpusSettings
from bigfusion.pipeline.corpora.subtitles import SubtitleSettings, transcripts_of
from bigfusion.pipeline.corpora.subtitles import media_files as recordings
from bigfusion.pipeline.corpora.table import TableSettings
from bigfusion.pipeline.corpora.utterance_files import media_files
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.digests.values import canonical, digest
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.corpus import FeatureSettings
from bigfusion.pipeline.manifest.manifest import Manifest


class Source(NamedTuple):
    """Digests of the corpus's settings, and of the files that hold the labels and splits. Empty means unknown."""

    settings: str = ""
    labels: str = ""

    def differs(self, other: Source) -> bool:
        """Whether two sources are known to be different."""
        return any(mine and theirs and mine != theirs for mine, theirs in zip(self, other, strict=True))


UNKNOWN = Source()


def write_source(path: Path, manifest: Manifest, source: Source) -> None:
    """Write what ``manifest`` was made from.

    Raises:
        CorpusError: the folder cannot be written.
    """
    try:
        write_whole(path, canonical({"manifest": manifest.digest, **source._asdict()}))
    except OSError as error:
        raise CorpusError(f"{path}: cannot be written ({error.strerror}); make room or correct the rights") from error


def read_source(path: Path, manifest: Manifest) -> Source:
    """What ``manifest`` was made from: unknown if an earlier version wrote it, or if the file is of another one."""
    try:
        found = json.loads(path.read_bytes())
        if found["manifest"] == manifest.digest:
            return Source(*(str(found[name]) for name in Source._fields))
    except (OSError, ValueError, TypeError, LookupError):
        pass
    return UNKNOWN


def source_of(settings: CorpusSettings, digests: FileDigests) -> Source:
    """The source of a manifest that is made now. Where the corpus lies does not count.

    ``labels`` is empty if the files are not at hand, and for feature files.
    """
    plain = {name: value for name, value in settings.numbers().items() if not _is_place(getattr(settings, name))}
    return Source(digest(plain), _labels(settings, digests))


def _is_place(value: object) -> bool:
    return isinstance(value, Path) or (isinstance(value, tuple) and any(isinstance(part, Path) for part in value))


def _labels(settings: CorpusSettings, digests: FileDigests) -> str:
    """The digest of the files that hold the labels and splits, or of the media's names if these do."""
    try:
        files = _label_files(settings)
        held: list[Any] = sorted([path.name, sha256] for path, sha256 in digests.of(files).items())
        if isinstance(settings, _NAMES):
            held = [path for path, _ in media_files(corpus_folder(settings.root, settings.kind))]
    except (CorpusError, OSError):  # a scan says what is wrong
        return ""
    return digest(held) if held else ""


_NAMES = (CremaDSettings, EmodbSettings, FilenamesSettings, RavdessSettings)
"""Corpora whose media say in their names what the labels are."""


def _label_files(settings: CorpusSettings) -> Iterable[Path]:
    if isinstance(settings, TableSettings):
        return [on_disk(settings.path.expanduser().absolute())]
    if isinstance(settings, SubtitleSettings):
        return [path for path in transcripts_of(settings, recordings(settings)) if path]
    if isinstance(settings, FeatureSettings):  # if the file changes, its cells do
        return []
    return _files_below(corpus_folder(settings.root, settings.kind), settings)


def _files_below(root: Path, settings: CorpusSettings) -> Iterable[Path]:
    files: Iterable[Path] = ()
    match settings:
        case MeldSettings():
            files = meld.annotation_files(root).values()
        case EmoryNlpSettings():
            files = emorynlp.annotation_files(root).values()
        case DailyDialogSettings():
            files = chain(*dailydialog.annotation_files(root).values())
        case IemocapSettings():
            sessions = iemocap.session_folders(root).values()
            files = [path for session in sessions for path in session.glob("dialog/EmoEvaluation/Ses*.txt")]
        case M3edSettings():
            files = [root / "annotation.json", *(root / "splitInfo" / name for name in m3ed.LISTS.values())]
        case LabelCsvSettings():
            files = [root / "label.csv"]
    return files
