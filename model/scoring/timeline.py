"""What a model says about one recording: who speaks when, and with which emotion. Pages and files are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bigfusion.pipeline.schema import Split

NOT_SURE = "not sure"
"""The label of an utterance whose best probability is below the threshold chosen on validation."""

NO_SPEECH = "no speech"
"""The label of a span in which no feature of any modality came to anything."""


@dataclass(frozen=True)
class Moment:
    """One utterance of a recording.

    ``start`` and ``end`` are seconds from the recording's beginning. ``label`` is one of the model's labels,
    :data:`NOT_SURE` or :data:`NO_SPEECH`. ``probabilities`` holds every label's calibrated probability, in the order
    of the model's labels; it is empty where there is no speech. ``absent`` maps a feature without a vector to the
    reason. ``true`` is the label that a corpus gives the utterance; ``""`` if there is none.
    """

    start: float
    end: float
    speaker: str
    text: str
    label: str
    probabilities: dict[str, float]
    absent: dict[str, str] = field(default_factory=dict)
    true: str = ""

    @property
    def best(self) -> str:
        """The most probable label; ``""`` where there are no probabilities."""
        return max(self.probabilities, key=lambda label: self.probabilities[label], default="")

    @property
    def confidence(self) -> float:
        """The best label's probability; 0 where there is none."""
        return max(self.probabilities.values(), default=0.0)


@dataclass(frozen=True)
class Origin:
    """Which model spoke and how much it can be trusted. ``None`` where a figure was not measured.

    ``scored`` is the split that the scores are of: validation if the corpus has no test labels. ``weighted_f1`` and
    ``accuracy`` are of the seeds together, or, if ``averaged``, means over them: an earlier version of bigfusion scored
    each alone. ``errors`` maps a label to the share of its utterances that were given another label.
    ``calibration_error`` is the expected calibration error (ECE) after temperature scaling. ``threshold``: below this
    probability a label is :data:`NOT_SURE`. ``fitted_at_once``: no epoch was chosen on validation.
    """

    model: str
    corpus: str
    network: str
    seeds: int
    features: tuple[str, ...]
    threshold: float = 0.0
    scored: Split = Split.TEST
    weighted_f1: float | None = None
    accuracy: float | None = None
    averaged: bool = False
    fitted_at_once: bool = False
    calibration_error: float | None = None
    errors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Clip:
    """A stretch of a media file, as part of a recording that lies in several files or in a part of one.

    ``start`` is where it begins in the recording, ``offset`` where it begins in its file, both in seconds.
    """

    media: Path
    start: float
    seconds: float
    offset: float = 0.0


@dataclass(frozen=True)
class Timeline:
    """The moments of one recording in order of their beginning. ``media`` is a video or a sound file.

    A recording of several files has ``clips``, in order of their beginning; they do not overlap. Then ``media`` is
    the first of these files. Without ``clips`` the whole of ``media`` is the recording. ``title`` is the recording's
    name; without it, it is named after its file.
    """

    media: Path
    seconds: float
    has_picture: bool
    labels: tuple[str, ...]
    moments: tuple[Moment, ...]
    origin: Origin
    clips: tuple[Clip, ...] = ()
    title: str = ""

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers, in order of their first utterance."""
        return tuple(dict.fromkeys(moment.speaker for moment in self.moments))
