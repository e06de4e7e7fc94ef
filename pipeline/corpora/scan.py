"""From a corpus on disk to its manifest. Each module reads one layout; the settings' ``kind`` chooses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bigfusion.pipeline.corpora import (
    crema_d,
    dailydialog,
    emodb,
    emorynlp,
    filenames,
    iemocap,
    label_csv,
    m3ed,
    meld,
    ravdess,
    subtitles,
    table,
)
from bigfusion.pipeline.corpora.archives import packed, unpack
from bigfusion.pipeline.corpora.base import Progress, corpus_folder, silent
from bigfusion.pipeline.corpora.crema_d import CremaDSettings
from bigfusion.pipeline.corpora.dailydialog import DailyDialogSettings
from bigfusion.pipeline.corpora.emodb import EmodbSettings
from bigfusion.pipeline.corpora.emorynlp import EmoryNlpSettings
from bigfusion.pipeline.corpora.filenames import FilenamesSettings
from bigfusion.pipeline.corpora.iemocap import IemocapSettings
from bigfusion.pipeline.corpora.label_csv import LabelCsvSettings
from bigfusion.pipeline.corpora.m3ed import M3edSettings
from bigfusion.pipeline.corpora.meld import MeldSettings
from bigfusion.pipeline.corpora.ravdess import RavdessSettings
from bigfusion.pipeline.corpora.relabel import MappedSettings, relabelled
from bigfusion.pipeline.corpora.subtitles import SubtitleSettings
from bigfusion.pipeline.corpora.table import TableSettings
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files import corpus
from bigfusion.pipeline.feature_files.corpus import FeatureSettings
from bigfusion.pipeline.manifest.manifest import Manifest

__all__ = [
    "CorpusSettings",
    "FeatureSettings",
    "IemocapSettings",
    "MeldSettings",
    "Progress",
    "SubtitleSettings",
    "TableSettings",
    "scan",
]

CorpusSettings = Annotated[
    MeldSettings
    | IemocapSettings
    | EmodbSettings
    | RavdessSettings
    | CremaDSettings
    | FilenamesSettings
    | EmoryNlpSettings
    | DailyDialogSettings
    | M3edSettings
    | LabelCsvSettings
    | TableSettings
    | SubtitleSettings
    | FeatureSettings,
    Field(discriminator="kind"),
]
"""The settings of any corpus; ``kind`` names its layout."""


def check_layout(settings: CorpusSettings) -> None:
    """Check quickly whether a folder may be the corpus, without reading its files.

    Other kinds are files, and are read.

    Raises:
        CorpusError: there is no such folder, or it is laid out otherwise.
    """
    with _naming_archives(settings):
        _check_layout(settings)


def _check_layout(settings: CorpusSettings) -> None:
    if isinstance(settings, MeldSettings):
        meld.annotation_files(corpus_folder(settings.root, "MELD.Raw"))
    elif isinstance(settings, IemocapSettings):
        iemocap.session_folders(corpus_folder(settings.root, "IEMOCAP_full_release"))
    elif isinstance(settings, EmoryNlpSettings):
        emorynlp.annotation_files(corpus_folder(settings.root, "EmoryNLP"))
    elif isinstance(settings, DailyDialogSettings):
        dailydialog.annotation_files(corpus_folder(settings.root, "DailyDialog"))
    elif not isinstance(settings, TableSettings | SubtitleSettings | FeatureSettings):
        corpus_folder(settings.root, f"the corpus ({settings.kind})")


def scan(settings: CorpusSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a corpus.

    ``digests`` remembers the digests of unchanged media. ``progress(done, total)`` is called while media are digested.

    Raises:
        CorpusError: the corpus is not laid out as its kind is; what single rows lack is listed in ``skipped`` instead.
        UnsafePickleError: a feature pickle asks for something that is not allowed.
    """
    with _naming_archives(settings):
        manifest = _SCANS[type(settings)](settings, digests, progress)
    return relabelled(manifest, settings.label_map) if isinstance(settings, MappedSettings) else manifest


_SCANS: dict[type, Callable[[Any, FileDigests, Progress], Manifest]] = {
    MeldSettings: meld.scan,
    IemocapSettings: iemocap.scan,
    EmodbSettings: emodb.scan,
    RavdessSettings: ravdess.scan,
    CremaDSettings: crema_d.scan,
    FilenamesSettings: filenames.scan,
    EmoryNlpSettings: emorynlp.scan,
    DailyDialogSettings: dailydialog.scan,
    M3edSettings: m3ed.scan,
    LabelCsvSettings: label_csv.scan,
    TableSettings: table.scan,
    SubtitleSettings: subtitles.scan,
    FeatureSettings: lambda settings, digests, progress: corpus.scan(settings),
}


@contextmanager
def _naming_archives(settings: CorpusSettings) -> Iterator[None]:
    """If the corpus is not laid out as expected, name archives in its folder that are not unpacked."""
    try:
        yield
    except CorpusError as error:
        archives = [*packed(_folder(settings))]
        if not archives:
            raise
        raise CorpusError(f"{error}; archives are still packed there; {unpack(archives)}") from error


def _folder(settings: CorpusSettings) -> Path:
    match settings:
        case SubtitleSettings():
            folder = settings.media[0] if settings.media[0].is_dir() else settings.media[0].parent
        case TableSettings() | FeatureSettings():
            folder = settings.path.parent
        case _:
            folder = settings.root
    return folder.expanduser().absolute()
