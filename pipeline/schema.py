"""The terms that all other modules use: modality, split, status, utterance, manifest columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Modality(StrEnum):
    """What a feature was computed from."""

    TEXT = "text"
    AUDIO = "audio"
    VISUAL = "visual"


FIRST_NAMES = {Modality.TEXT: "roberta", Modality.AUDIO: "opensmile", Modality.VISUAL: "densenet"}
"""The name of each modality's first extractor, whose settings are the modality's own table."""


class FeatureName(str):
    """A feature of a project or a file: ``audio.wavlm``, or ``audio`` alone for that of the first extractor.

    A :class:`Modality` equals the name of its first extractor's feature.
    """

    __slots__ = ()

    @classmethod
    def of(cls, modality: Modality, name: str) -> FeatureName:
        """The feature of ``[MODALITY.NAME]`` in a settings file."""
        return cls(modality.value if name in ("", FIRST_NAMES[modality]) else f"{modality.value}.{name}")

    @property
    def modality(self) -> Modality:
        """What the feature was computed from."""
        return Modality(self.partition(".")[0])

    @property
    def is_first(self) -> bool:
        """Whether it is that of the modality's first extractor."""
        return "." not in self

    @property
    def name(self) -> str:
        """The name within its modality: ``wavlm``."""
        return self.partition(".")[2] or FIRST_NAMES[self.modality]

    @property
    def value(self) -> str:
        """The plain text, as a :class:`Modality` has it."""
        return str(self)

    def is_called(self, name: str) -> bool:
        """Whether ``name`` means this feature: ``wavlm`` or ``audio.wavlm``."""
        return name in (self, self.name)


class Split(StrEnum):
    """A corpus's official partition. IEMOCAP has no ``valid``: training holds out its last dialogues."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


class Status(StrEnum):
    """The state of a cell's content. All but ``OK`` are typed failures, kept until the cell's input or code changes."""

    OK = "ok"
    NO_FACE = "no_face"
    SILENT = "silent"
    NO_AUDIO = "no_audio"
    NO_VIDEO = "no_video"
    MISSING_MEDIA = "missing_media"
    MISSING_TRANSCRIPT = "missing_transcript"
    CORRUPT_MEDIA = "corrupt_media"
    OVERLONG = "overlong"
    TOO_SHORT = "too_short"


@dataclass(frozen=True)
class MediaSpan:
    """A stretch of one media file.

    ``start`` and ``end`` are seconds; ``None`` means the file's own. ``crop`` is the half of the frame to look at
    (``"left"``, ``"right"``), or ``""`` for the whole frame. ``region`` is any part of it, as shares of the upright
    frame (left, top, right, bottom). Both concern only the visual extractor. ``track`` and ``channel`` say which sound
    is the speaker's: the number of the file's audio stream, and the number of the channel in it, each from 1 on.
    ``None``: all channels are mixed, and FFmpeg chooses among several tracks.
    """

    path: Path
    sha256: str
    start: float | None = None
    end: float | None = None
    crop: str = ""
    channel: int | None = None
    track: int | None = None
    region: tuple[float, float, float, float] | None = None


class Window(NamedTuple):
    """How many neighbouring utterances are read with an utterance: the number before it and the number after it."""

    before: int = 0
    after: int = 0


ALONE = Window()


class Line(NamedTuple):
    """Who says what."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Context:
    """The speaker of an utterance, and what is said around it, in the dialogue's order."""

    speaker: str
    before: tuple[Line, ...] = ()
    after: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Utterance:
    """One turn of a dialogue, as extractors see it. ``audio`` and ``visual`` are ``None`` if there is no file.

    ``context`` is present if the caller asked for it.
    """

    id: str
    text: str
    audio: MediaSpan | None = None
    visual: MediaSpan | None = None
    context: Context | None = None


@dataclass(frozen=True)
class Skipped:
    """Something that ingest could not use as intended: the item, its status, and the reason."""

    item: str
    status: str
    reason: str
