"""The encoder of Whisper (Radford et al., 2023) on a turn's sound, through CTranslate2 as faster-whisper runs it.

Whisper was trained on windows of 30 s, padded with silence. A turn of 3 s would spend nine tenths of the work on
padding. With ``pad = "own"`` a window is padded to its own next whole second instead. In both forms only the frames of
the turn itself are pooled. How far a window is padded depends on its own length alone, and each window is encoded
alone: no number depends on what else is computed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.audio.turns import MACHINE, RATE, TurnSettings, pooled, sound_of, windows
from bigfusion.extractors.base import ExtractorSpec, Failure, Feature, Outcome
from bigfusion.extractors.checkpoints import FETCHING, PACKAGE, Checkpoint, locate
from bigfusion.extractors.compute import check, cores, side_by_side
from bigfusion.extractors.faults import shielded
from bigfusion.extractors.files import Sha256, in_package
from bigfusion.pipeline.errors import ExtractionError, ItemError
from bigfusion.pipeline.plan.notes import note_of
from bigfusion.pipeline.schema import Modality, Utterance

WINDOW_SECONDS = 30
FRAME = 320
"""Samples of a frame of the encoder: 20 ms."""
HOP = 160
"""Samples of a column of the log-mel spectrogram."""
PARTS = ("config.json", "model.bin", "preprocessor_config.json")
"""The files that the numbers depend on."""
ALSO = ("vocabulary.*", "tokenizer.json")
"""The decoder's vocabulary, without which no model is loaded."""
NO_NUMBER = (*FETCHING, "NO_NUMBER")
"""Definitions that change no number."""


class WhisperSettings(TurnSettings):
    """Which Whisper, and how much silence its encoder reads with a turn."""

    run_only: ClassVar[frozenset[str]] = MACHINE | {"revision"}

    kind: Literal["whisper"] = "whisper"
    model: str = Field(description="in CTranslate2's form: a folder, package:NAME/FOLDER or a hub's owner/name")
    revision: str | None = Field(default=None, description="the hub's commit; name one, or the numbers may move")
    pad: Literal["full", "own"] = Field(
        default="full", description="with silence: to 30 s, as Whisper was trained, or to the next second: faster"
    )
    precision: Literal["float32", "bfloat16", "float16", "int8"] = Field(
        default="float32", description="of the computation; float16 needs a GPU"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"


class WhisperExtractor:
    """A turn's mean over Whisper's encoder frames. Shape: (D,) float32, or (2 D,); D = 512 for `base`."""

    columns = None

    def __init__(self, settings: WhisperSettings, sha256: Sha256) -> None:
        self._settings = settings
        self._sha256 = sha256

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Where the model lies."""
        name = self._settings.model
        folder = Path(name).expanduser()
        if name.startswith(PACKAGE):
            package, _, inside = name.removeprefix(PACKAGE).partition("/")
            folder = in_package(package, inside)
        if folder.is_dir() and not (folder / "model.bin").is_file():
            parts = sorted(path.name for path in folder.glob("model.bin.*"))
            remedy = f"join its parts: cat {' '.join(parts)} > model.bin" if parts else "correct model"
            raise ExtractionError(
                f"audio model {name!r}: expected a folder with model.bin (a CTranslate2 Whisper), found none; {remedy}"
            )
        return locate("audio model", name, self._settings.revision, PARTS, (("model.bin",),), ALSO)

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the model's files, padding, pooling, and CTranslate2's version."""
        return ExtractorSpec(
            Modality.AUDIO,
            "whisper",
            __name__,
            self._settings.numbers(),
            self.checkpoint.digests(self._sha256),
            {"ctranslate2": _version("ctranslate2")},
            idle=NO_NUMBER,
            notes=self.checkpoint.notes(),
        )

    @cached_property
    def _encoder(self) -> _Encoder:
        return _Encoder(self.checkpoint.fetched(), self._settings)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One vector for each utterance, or the reason why there is none.

        Raises:
            ExtractionError: the extra ``speech`` is not installed, or the model cannot be loaded.
        """
        _ = self._encoder  # a model that cannot be loaded fails here, once, before any thread starts
        threads = self._settings.threads or cores()
        return side_by_side(shielded(self._outcome), utterances, threads, lambda _: progress(1))

    def _outcome(self, utterance: Utterance, stop: threading.Event) -> Outcome:
        notes: list[str] = []
        samples = sound_of(utterance, self._settings, notes)
        if isinstance(samples, Failure):
            return samples
        frames = []
        for window in windows(samples, WINDOW_SECONDS):
            check(stop)
            frames.append(self._encoder.frames(window))
        vector = pooled(frames, self._settings.pooling)
        if not np.isfinite(vector).all():
            raise ItemError(
                f"{utterance.id}: expected finite numbers of Whisper, found some that are not; set precision"
            )
        return Feature(vector, note_of(notes))


class _Encoder:
    """A loaded encoder. Threads may share it: CTranslate2 has as many workers as there are threads."""

    def __init__(self, folder: Path, settings: WhisperSettings) -> None:
        try:
            import ctranslate2
            from faster_whisper.feature_extractor import FeatureExtractor
        except ImportError as error:
            raise ExtractionError(
                f"audio kind 'whisper': expected the extra speech, found: {error}; pip install 'bigfusion[speech]'"
            ) from None
        try:
            self._model: Any = ctranslate2.models.Whisper(
                str(folder),
                device=settings.device,
                compute_type=settings.precision,
                inter_threads=settings.threads or cores(),
                intra_threads=1,
            )
        except (RuntimeError, ValueError) as error:
            raise ExtractionError(
                f"{folder}: expected a CTranslate2 Whisper, found: {str(error).splitlines()[0]}; convert the model anew"
            ) from None
        self._view = ctranslate2.StorageView.from_array
        self._mel: Any = FeatureExtractor(feature_size=self._model.n_mels)
        self._pad = settings.pad

    def frames(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames of a window's own sound. Shapes: (n,) -> (ceil(n / 320), D)."""
        length = WINDOW_SECONDS * RATE if self._pad == "full" else -(-len(window) // RATE) * RATE
        silent = np.pad(window, (0, length - len(window)))
        mel = self._mel(silent, padding=0)[:, : length // HOP]  # (M, length / 160)
        features = np.ascontiguousarray(mel[None], dtype=np.float32)
        encoded = np.asarray(self._model.encode(self._view(features), to_cpu=True))[0]  # (length / 320, D)
        real: NDArray[np.float32] = encoded[: -(-len(window) // FRAME)].astype(np.float32)
        return real


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise ExtractionError(
            f"audio kind 'whisper': expected the package {package}, found none; pip install 'bigfusion[speech]'"
        ) from None


SETTINGS = WhisperSettings


def make(settings: WhisperSettings, sha256: Sha256) -> WhisperExtractor:
    """The extractor of these settings."""
    if settings.level == "frame":
        from bigfusion.extractors.audio.whisper_frames import FramedWhisperExtractor

        return FramedWhisperExtractor(settings, sha256)
    return WhisperExtractor(settings, sha256)
