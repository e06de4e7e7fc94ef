"""A corpus on disk -> its manifest. One module a layout; which one it is stands in the settings' ``kind``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.corpora import custom, features, iemocap, meld
from pipeline.corpora.assemble import Progress, silent
from pipeline.corpora.custom import TableSettings
from pipeline.corpora.features import FeatureSettings
from pipeline.corpora.iemocap import IemocapSettings
from pipeline.corpora.meld import MeldSettings
from pipeline.digest import FileDigests
from pipeline.manifest import Manifest

__all__ = [
    "CorpusSettings",
    "FeatureSettings",
    "IemocapSettings",
    "MeldSettings",
    "Progress",
    "TableSettings",
    "scan",
]

CorpusSettings = Annotated[
    MeldSettings | IemocapSettings | TableSettings | FeatureSettings, Field(discriminator="kind")
]
"""The settings of any corpus: ``kind`` is ``meld``, ``iemocap``, ``table`` or ``features``."""


def scan(settings: CorpusSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a corpus.

    ``digests`` remembers media that did not change; ``progress(done, total)`` is called as they are digested.

    Raises:
        CorpusError: the corpus is not laid out as its kind is; what single rows lack is listed in ``skipped`` instead.
        UnsafePickleError: a feature pickle asks for more than it may.
    """
    match settings:
        case MeldSettings():
            return meld.scan(settings, digests, progress)
        case IemocapSettings():
            return iemocap.scan(settings, digests, progress)
        case TableSettings():
            return custom.scan(settings, digests, progress)
        case FeatureSettings():
            return features.scan(settings)
