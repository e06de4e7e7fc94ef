"""The interface of every extractor: a modality, a frozen description of all that its numbers depend on, ``extract``."""

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

    ``note`` says what the extractor decided on the way, for instance that it filled a gap or tone-mapped a picture.
    """

    vector: NDArray[np.float32]
    note: str = ""


@dataclass(frozen=True)
class Failure:
    """A typed reason why there is no feature.

    It is stored like a feature. It is retried only when input or code changes.
    """

    status: Status
    reason: str


@dataclass(frozen=True)
class Fault:
    """An error of this utterance alone. It may pass, or it is a bug. It is reported and tried again, never stored."""

    reason: str


Outcome = Feature | Failure | Fault


def media_failure(error: MediaError, span: MediaSpan) -> Failure:
    """The failure to store for an error of a media file.

    Raises:
        ItemError: the file was there when the manifest was made and is gone now. Stored under the file's digest,
            ``missing_media`` would outlast an unmounted disk.
    """
    if error.status == Status.MISSING_MEDIA and span.sha256:
        raise ItemError(f"{span.path}: expected the file that ingest found, found none; mount it or ingest again")
    return Failure(Status(error.status), error.reason)


@dataclass(frozen=True)
class ExtractorSpec:
    """All that a feature depends on besides its input and the code. It is part of the cell's fingerprint.

    ``name`` identifies the extractor, wherever its code lies; ``module`` (not in the fingerprint) says where the code
    is now. ``settings`` are those that change numbers (:meth:`Settings.numbers`), never batch sizes, threads or
    devices. ``weights`` maps a weight file's role to its SHA-256 (or a model's id and revision). ``engine`` holds the
    few library versions that count. ``idle`` names the module's definitions that never run under these settings, or
    can change no number (``VisualExtractor._loudness``), and those of other modules in full (``package.module:NAME``);
    their code does not count.

    ``by_utterance``: the features are looked up by the utterance's id, not computed from its transcript or media.
    ``hears``: the extractor reads the sound together with the pictures, so the cells depend on both. ``window``: how
    many neighbouring transcripts are read with an utterance's own; the text's cells depend on them. ``notes`` are not
    in the fingerprint (for instance that a revision is not pinned). They appear in the report.
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
    """The extractor of one modality. Construction is cheap and loads nothing heavy; the first ``extract`` does."""

    @property
    def spec(self) -> ExtractorSpec:
        """What the numbers depend on. It is cheap enough to compute for ``bigfusion plan``."""
        ...

    @property
    def columns(self) -> list[str] | None:
        """The features' names, in order; ``None`` if the field has no names for them."""
        ...

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One outcome for each utterance, in the same order. ``progress(n)`` is called whenever n more are done.

        Raises:
            ExtractionError: the extractor itself cannot run (weights, engine, device); nothing about one utterance
                (:mod:`extractors.faults` says which errors are).
        """
        ...
