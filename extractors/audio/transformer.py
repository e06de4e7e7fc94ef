"""A pretrained speech encoder on a turn's sound: WavLM, HuBERT, wav2vec 2.0, data2vec, w2v-BERT 2.0, Whisper's, ...

Any checkpoint of ``transformers`` that reads sound and gives frames. Its own feature extractor prepares each turn
alone, before any batch is made. A turn's vector is pooled over the frames of its own sound, never over padding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from bigfusion.extractors.audio.turns import MACHINE, RATE, TurnSettings, pooled, sound_of, windows
from bigfusion.extractors.base import ExtractorSpec, Failure, Fault, Feature, Outcome
from bigfusion.extractors.checkpoints import FETCHING, MODEL, WEIGHTS, Checkpoint, locate
from bigfusion.extractors.compute import check, cores, side_by_side, torch_threads
from bigfusion.extractors.faults import fault, one_by_one
from bigfusion.extractors.files import Sha256
from bigfusion.pipeline.errors import ItemError
from bigfusion.pipeline.plan.notes import note_of
from bigfusion.pipeline.schema import Modality, Utterance

if TYPE_CHECKING:
    from bigfusion.extractors.audio.speech_encoder import Prepared, SpeechEncoder

PREPARES = ("preprocessor_config.json", "processor_config.json")
"""Where a checkpoint says how sound is prepared; newer ones use the second."""

BLOCK = 32
"""Turns whose sound is in memory at once. While one block is encoded, the next is decoded."""
NO_NUMBER = (
    *FETCHING,
    "NO_NUMBER",
    "BLOCK",  # how many turns are in memory
    "SpeechEncoderExtractor._decoded",
    "bigfusion.extractors.audio.speech_encoder:KERNELS",
    "bigfusion.extractors.audio.speech_encoder:SpeechEncoder._check_settings",  # errors
    "bigfusion.extractors.audio.speech_encoder:SpeechEncoder._refused",
)
"""Definitions that change no number."""


class SpeechEncoderSettings(TurnSettings):
    """Which speech encoder, which of its layers, and how its frames become one vector."""

    run_only: ClassVar[frozenset[str]] = MACHINE | {"revision", "seconds_budget"}

    kind: Literal["transformer"] = "transformer"
    model: str = Field(description="a folder, package:NAME/FOLDER or a hub's owner/name")
    revision: str | None = Field(default=None, description="the hub's commit; name one, or the numbers may move")
    layers: Literal["last", "last4"] | int | tuple[int, ...] = Field(
        default="last",
        description="last, last4 (the mean of the last four), a layer's number (0 is the first layer's input), or "
        "several numbers: their vectors side by side",
    )
    window_seconds: float = Field(
        default=30.0, ge=1, description="a longer turn is read in windows of at most this; Whisper takes 30"
    )
    pad: Literal["full", "own"] = Field(
        default="full", description="Whisper alone, with silence: to 30 s, as it was trained, or to the next second"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="bfloat16 suits a GPU: numbers move by about 1 %, and with their batch"
    )
    seconds_budget: float | None = Field(
        default=None, gt=0, description="sound in a batch, padding included; none: a window on a processor, GPU: 240"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1")

    @field_validator("layers", mode="before")
    @classmethod
    def _known(cls, layers: Any) -> Any:
        several = isinstance(layers, list | tuple)
        numbers = layers if several else [layers]
        if layers in ("last", "last4") or (numbers and all(type(one) is int and one >= 0 for one in numbers)):
            return tuple(layers) if several else layers
        raise ValueError("expected 'last', 'last4', a layer's number from 0, or a list of such numbers")


class SpeechEncoderExtractor:
    """A turn's frames of a speech encoder, pooled. Shape: (D,) float32; (2 D,) with ``mean+std``; so for each layer."""

    columns = None

    def __init__(self, settings: SpeechEncoderSettings, sha256: Sha256) -> None:
        self._settings, self._sha256 = settings, sha256

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Where the model lies."""
        parts, needed = (*MODEL, *PREPARES), (("config.json",), PREPARES, WEIGHTS)
        return locate("audio model", self._settings.model, self._settings.revision, parts, needed)

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the model's files, layers, windows, pooling and precision."""
        return ExtractorSpec(
            Modality.AUDIO,
            "transformer",
            __name__,
            self._settings.numbers(),
            self.checkpoint.digests(self._sha256),
            idle=NO_NUMBER,
            notes=self.checkpoint.notes(),
        )

    @cached_property
    def _encoder(self) -> SpeechEncoder:
        from bigfusion.extractors.audio.speech_encoder import SpeechEncoder

        return SpeechEncoder(self.checkpoint.fetched(), self._settings)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One vector for each utterance, or the reason why there is none.

        Raises:
            ExtractionError: the model cannot be loaded, or the device is not there.
        """
        encoder = self._encoder  # a model that cannot be loaded fails here, once, before any thread starts
        outcomes: list[Outcome] = []
        with torch_threads.held_at(1), closing(self._decoded(encoder, utterances)) as blocks:
            for block in blocks:
                outcomes += self._encoded(encoder, block, progress)
        return outcomes

    def _decoded(self, encoder: SpeechEncoder, utterances: Sequence[Utterance]) -> Generator[list[_Turn]]:
        """Blocks of turns with their windows, decoded one block ahead."""
        stop = threading.Event()

        def decode(block: Sequence[Utterance]) -> list[_Turn]:
            return side_by_side(
                lambda utterance, _: _turn(encoder, utterance, self._settings, stop),
                block,
                self._settings.threads or cores(),
            )

        with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
            try:
                coming: Future[list[_Turn]] | None = None
                for at in range(0, len(utterances), BLOCK):
                    submitted = pool.submit(decode, utterances[at : at + BLOCK])
                    if coming is not None:
                        yield coming.result()
                    coming = submitted
                if coming is not None:
                    yield coming.result()
            finally:
                stop.set()

    def _encoded(
        self, encoder: SpeechEncoder, turns: Sequence[_Turn], progress: Callable[[int], None]
    ) -> list[Outcome]:
        """The outcomes of a block of turns. Their windows share batches, from the longest to the shortest."""
        places = [(number, at) for number, turn in enumerate(turns) for at in range(len(turn.windows))]
        ready = [turns[number].windows[at] for number, at in places]

        def work(batch: Sequence[int], stop: threading.Event) -> list[list[NDArray[np.float32]] | Fault]:
            check(stop)
            return one_by_one(encoder.encode, [ready[index] for index in batch])

        left = [len(turn.windows) for turn in turns]

        def finished(batch: Sequence[int]) -> None:
            for index in batch:
                left[places[index][0]] -= 1
            progress(sum(left[number] == 0 for number in {places[index][0] for index in batch}))

        progress(left.count(0))
        plan = batches(ready, encoder.seconds_budget)
        frames: dict[tuple[int, int], list[NDArray[np.float32]] | Fault] = {}
        for batch, rows in zip(plan, side_by_side(work, plan, encoder.threads, finished), strict=True):
            frames |= {places[index]: row for index, row in zip(batch, rows, strict=True)}
        return [
            turn.failed or _feature(turn, [frames[number, at] for at in range(len(turn.windows))], self._settings)
            for number, turn in enumerate(turns)
        ]


class _Turn:
    """A turn's windows as the model reads them, or why there are none."""

    def __init__(self, name: str, windows: Sequence[Prepared], note: str, failed: Failure | Fault | None) -> None:
        self.name, self.windows, self.note, self.failed = name, windows, note, failed


def _turn(
    encoder: SpeechEncoder, utterance: Utterance, settings: SpeechEncoderSettings, stop: threading.Event
) -> _Turn:
    """Decode and prepare a turn. An error of this turn alone is its outcome."""
    check(stop)
    notes: list[str] = []
    try:
        samples = sound_of(utterance, settings, notes)
        if isinstance(samples, Failure):
            return _Turn(utterance.id, [], "", samples)
        ready = [encoder.prepared(window) for window in windows(samples, settings.window_seconds)]
    except Exception as error:
        return _Turn(utterance.id, [], "", fault(error))
    return _Turn(utterance.id, ready, note_of(notes), None)


def _feature(
    turn: _Turn, found: Sequence[list[NDArray[np.float32]] | Fault], settings: SpeechEncoderSettings
) -> Feature | Fault:
    """A turn's vector from the frames of its windows: each layer pooled over all of them."""
    whole = []
    for frames in found:
        if isinstance(frames, Fault):
            return frames
        whole.append(frames)
    vector = np.concatenate([pooled(layer, settings.pooling) for layer in zip(*whole, strict=True)])
    if not np.isfinite(vector).all():
        return fault(ItemError(f"{turn.name}: expected finite numbers of the encoder, found others; set precision"))
    return Feature(vector, turn.note)


def batches(ready: Sequence[Prepared], seconds_budget: float) -> list[list[int]]:
    """Indices from the longest to the shortest, in batches of at most ``seconds_budget``, padding included.

    Only windows with the same ``group`` share a batch. A window that is longer than the budget is a batch alone.
    """
    order = sorted(range(len(ready)), key=lambda index: (-ready[index].read, ready[index].group))
    groups: dict[str, list[int]] = {}
    for index in order:
        groups.setdefault(ready[index].group, []).append(index)
    found = []
    for members in groups.values():
        at = 0
        while at < len(members):
            room = max(int(seconds_budget * RATE // ready[members[at]].read), 1)
            found.append(members[at : at + room])
            at += room
    return sorted(found, key=lambda batch: -ready[batch[0]].read * len(batch))


SETTINGS = SpeechEncoderSettings


def make(settings: SpeechEncoderSettings, sha256: Sha256) -> SpeechEncoderExtractor:
    """The extractor of these settings."""
    if settings.level == "frame":
        from bigfusion.extractors.audio.transformer_frames import FramedSpeechEncoderExtractor

        return FramedSpeechEncoderExtractor(settings, sha256)
    return SpeechEncoderExtractor(settings, sha256)
