"""Acoustic functionals of a turn, computed by openSMILE inside this process (Eyben et al., 2010).

IS10 is the paralinguistic set of the INTERSPEECH 2010 challenge (1,582 columns), the field's choice on IEMOCAP. IS13 is
ComParE (6,373 columns), emobase has 988 and eGeMAPSv02 has 88. The engine reads what :func:`read_audio` returns: 16
kHz, mono, below full scale. It releases the GIL while it runs, so threads suffice. Each thread has its own engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import metadata
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.base import (
    ExtractorSpec,
    Failure,
    Feature,
    Outcome,
    media_failure,
)
from bigfusion.extractors.compute import check, cores, side_by_side
from bigfusion.extractors.faults import shielded
from bigfusion.extractors.files import Sha256
from bigfusion.extractors.frames import Level, level_field
from bigfusion.pipeline.errors import ExtractionError, MediaError
from bigfusion.pipeline.media.audio import chosen, read_audio
from bigfusion.pipeline.plan.notes import note_of
from bigfusion.pipeline.schema import Modality, Status, Utterance
from bigfusion.pipeline.settings import Settings

RATE = 16_000

MIN_SECONDS = 0.07
"""Measured: at 65 ms IS10 has no frame and gives NaN in every column, at 70 ms none; the other sets need less."""


class AudioSettings(Settings):
    """Which functionals are computed, and what counts as a turn's sound."""

    run_only: ClassVar[frozenset[str]] = frozenset({"kind", "threads", "timeout_seconds"})

    kind: Literal["opensmile"] = "opensmile"
    feature_set: Literal["IS10", "IS13", "emobase", "eGeMAPSv02"] = "IS10"
    level: Level = level_field()
    limit_seconds: float = Field(default=60.0, gt=0, description="longer clips are `overlong`")
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="processor time that decoding one clip may take; beyond it `corrupt_media`"
    )
    silence_rms: float = Field(default=1e-4, ge=0, description="below this root mean square (1 = full scale) `silent`")
    track: int | None = Field(default=None, ge=1, description="of a file with several; none: FFmpeg's choice")
    channel: int | None = Field(default=None, ge=1, description="of a track with several; none: all, mixed")
    threads: int | None = Field(default=None, ge=1, description="clips side by side; none: one a processor")


class AudioExtractor:
    """openSMILE functionals. Shape: (F,) float32, F = the number of columns of the feature set."""

    def __init__(self, settings: AudioSettings) -> None:
        self._settings = settings
        self._local = threading.local()

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the set and on openSMILE's version (the package ships engine and configurations)."""
        try:
            version = metadata.version("opensmile")
        except metadata.PackageNotFoundError:
            raise _engine_missing("it is not installed") from None
        return ExtractorSpec(
            Modality.AUDIO, "opensmile", __name__, self._settings.numbers(), engine={"opensmile": version}
        )

    @cached_property
    def columns(self) -> list[str]:
        """The functionals' names as openSMILE spells them, for instance ``F0final_sma_amean``."""
        return [str(name) for name in self._engine().column_names]

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One row of functionals for each utterance, or the reason why there is none.

        Raises:
            ExtractionError: openSMILE cannot be loaded or refuses its own configuration.
        """
        self._engine()  # a broken engine fails here, once, before any thread starts
        threads = self._settings.threads or cores()
        return side_by_side(shielded(self._outcome), utterances, threads, lambda _: progress(1))

    def _outcome(self, utterance: Utterance, stop: threading.Event) -> Outcome:
        check(stop)
        span, how = utterance.audio, self._settings
        notes: list[str] = []
        if span is None:
            return Failure(Status.MISSING_MEDIA, f"{utterance.id}: expected a media file, found none at ingest")
        try:
            limits = how.limit_seconds, MIN_SECONDS, how.silence_rms, how.timeout_seconds
            samples = read_audio(chosen(span, how.track, how.channel), RATE, *limits, notes)
        except MediaError as error:
            return media_failure(error, span)
        return self._functionals(samples, span.path.name, note_of(notes))

    def _functionals(self, samples: NDArray[np.float32], name: str, note: str = "") -> Outcome:
        """The functionals. Shape: samples (n,) -> (F,). Undefined columns fail: a model would have to guess what NaN
        means.
        """
        row = self._engine()(samples, RATE).reshape(-1).astype(np.float32, copy=False)  # (F,)
        undefined = np.flatnonzero(~np.isfinite(row))
        if undefined.size == row.size:
            found = f"{samples.size / RATE:.3f} s"
            return Failure(
                Status.TOO_SHORT, f"{name}: expected sound enough for one frame of functionals, found {found}"
            )
        if undefined.size:
            column = self.columns[undefined[0]]
            reason = f"{name}: expected finite functionals, found {undefined.size} that are not, {column} first"
            return Failure(Status.CORRUPT_MEDIA, reason)
        return Feature(row, note)

    def _engine(self) -> Any:
        """This thread's own engine."""
        if not hasattr(self._local, "engine"):
            try:
                import opensmile

                feature_set = opensmile.FeatureSet[self._settings.feature_set]
                self._local.engine = opensmile.Smile(feature_set, opensmile.FeatureLevel.Functionals)
            except (ImportError, OSError) as error:
                raise _engine_missing(str(error)) from None
            except UnicodeEncodeError as error:  # openSMILE's C interface accepts only an ASCII path for its own folder
                raise ExtractionError(
                    f"openSMILE: expected an install path in ASCII, found {error.object}; move the environment"
                ) from None
        return self._local.engine


def _engine_missing(found: str) -> ExtractionError:
    return ExtractionError(
        f"openSMILE: expected the package opensmile 2.6 or later, found: {found}; pip install opensmile"
    )


SETTINGS = AudioSettings


def make(settings: AudioSettings, sha256: Sha256) -> AudioExtractor:
    """The extractor of these settings. It reads no file of its own, so it needs no digests."""
    del sha256
    if settings.level == "frame":
        from bigfusion.extractors.audio.opensmile_frames import FramedAudioExtractor

        return FramedAudioExtractor(settings)
    return AudioExtractor(settings)
