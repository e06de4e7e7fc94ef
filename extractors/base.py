"""What every extractor is: a modality, a frozen description of all that its numbers depend on, and ``extract``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import ItemError, MediaError
from bigfusion.pipeline.schema import ALONE, MediaSpan, Modality, Status, Utterance, Window


@dataclass(frozen=True)
class Feature:
    """A computed feature. Shape: ``vector`` (F,) float32, finite.

    ``note`` says what was decided on the way: a gap that was filled, a picture that was tone-mapped.
    """

    vector: NDArray[np.float32]
    note: str = ""


@dataclass(frozen=True)
class Failure:
    """A typed reason why there is no feature; stored like a feature and not retried until input or code changes."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Fault:
    """An error that befell this utterance alone and may pass, or is a bug: reported, never stored, tried again."""

    reason: str


Outcome = Feature | Failure | Fault


def media_failure(error: MediaError, span: MediaSpan) -> Failure:
    """The stored form of what is wrong with a media file.

    Raises:
        ItemError: the file was there when the manifest was made and is gone now. Stored under the file's digest,
            ``missing_media`` would outlast an unmounted disk.
    """
    if error.status == Status.MISSING_MEDIA and span.sha256:
        raise ItemError(f"{span.path}: expected the file that ingest found, found none; mount it or ingest again")
    return Failure(Status(error.status), error.reason)


@dataclass(frozen=True)
class ExtractorSpec:
    """All that a feature depends on beside its input and the code: part of the cell's fingerprint.

    ``name`` says which extractor it is, wherever its code lies; ``module`` (not in the fingerprint) where that is now.
    ``settings`` are those that change numbers (:meth:`Settings.numbers`; never batch sizes, threads or devices);
    ``weights`` maps a weight file's role to its SHA-256 (or a model's id and revision); ``engine`` holds the few
    library versions that count; ``idle`` names the module's definitions that these settings never run
    (``VisualExtractor._loudness``): their code does not count;
    ``by_utterance``: the features are looked up by the utterance's id, not computed from its transcript or media.
    ``hears``: the sound is read with the pictures; their cells depend on both.
    ``window``: how many of the transcripts around an utterance's own are read with it; the text's cells depend on them.
    ``notes`` do not enter the fingerprint (for instance that a revision is not pinned) and travel to the report.
    """

    modality: Modality
    name: str
    module: str
    settings: dict[str, Any]
    weights: dict[str, str] = field(default_factory=dict)
    engine: dict[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    by_utterance: bool = False
    hears: bool = False
    window: Window = ALONE
    notes: tuple[str, ...] = ()


class Extractor(Protocol):
    """One modality's extractor. Construction is cheap and loads nothing heavy; the first ``extract`` does."""

    @property
    def spec(self) -> ExtractorSpec:
        """What the numbers depend on; cheap enough for ``bigfusion plan``."""
        ...

    @property
    def columns(self) -> list[str] | None:
        """The features' names, in order, where the field has names for them; ``None`` elsewhere."""
        ...

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One outcome for each utterance, in their order. ``progress(n)`` is called as n more are done.

        Raises:
            ExtractionError: the extractor itself cannot run (weights, engine, device); nothing about one utterance
                (:mod:`extractors.faults` says which errors are).
        """
        ...
