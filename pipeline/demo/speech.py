"""Synthetic speech: eSpeak NG, as the ``espeakng_loader`` wheel carries it, driven through its C interface.

A voice is an English accent and one of eSpeak's variants (``en-us+f3``, ``en-gb-x-rp+m7``); an emotion is a
:class:`Delivery`. Their order follows what is known of acted speech (Scherer 2003, "Vocal communication of emotion"):
anger, joy and fear fast and high, anger loud, sadness slow, low, flat and soft. How strongly an emotion is shown
differs from sentence to sentence, so that sound alone does not give the label away.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.demo.extra import require
from bigfusion.pipeline.errors import CorpusError

Samples = NDArray[np.float32]

RETURN_SAMPLES = 2  # espeak_AUDIO_OUTPUT_SYNCHRONOUS: call back with the samples, return when all are there
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
UTF8 = 1  # espeakCHARS_UTF8
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER

LEAD, TAIL, SHORTEST = 0.15, 0.25, 1.6  # seconds of room tone around the words; of a whole recording at least
ROOM_TONE = -66.0  # dB below full scale: between its words, a recording is never digital silence

_Receiver = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_engine_in_use = Lock()


@dataclass(frozen=True)
class Delivery:
    """How a sentence is said: ``rate`` in words a minute, ``pitch`` and ``range`` on eSpeak's scale (0-99; the voice's
    own value is 50), ``level`` as root mean square in dB below full scale.
    """

    rate: float
    pitch: float
    range: float
    level: float

    def towards(self, other: Delivery, part: float) -> Delivery:
        """The delivery that lies ``part`` (0-1) of the way from this one to ``other``."""
        mine, theirs = np.array(list(vars(self).values())), np.array(list(vars(other).values()))
        return Delivery(*(mine + part * (theirs - mine)).tolist())

    def varied(self, draw: np.random.Generator) -> Delivery:
        """This delivery with random variation: a little faster or slower, higher or lower, louder or softer."""
        return Delivery(
            rate=self.rate * draw.normal(1, 0.06),
            pitch=float(np.clip(draw.normal(self.pitch, 6), 5, 95)),
            range=float(np.clip(draw.normal(self.range, 8), 5, 95)),
            level=draw.normal(self.level, 1.5),
        )


DELIVERIES = {
    "neutral": Delivery(rate=178, pitch=45, range=45, level=-26),
    "surprise": Delivery(rate=188, pitch=66, range=80, level=-24),
    "fear": Delivery(rate=206, pitch=66, range=30, level=-27),
    "sadness": Delivery(rate=146, pitch=32, range=22, level=-31),
    "joy": Delivery(rate=192, pitch=58, range=72, level=-23),
    "disgust": Delivery(rate=156, pitch=36, range=60, level=-25),
    "anger": Delivery(rate=200, pitch=52, range=66, level=-20),
}
"""How each emotion sounds when it is strongest."""


def speak(text: str, voice: str, emotion: str) -> tuple[Samples, int]:
    """The sound of ``voice`` saying ``text`` with ``emotion``, with a little room tone around it.

    A pure function: the same three arguments give the same samples, whatever was said before. Several threads may call
    it; they then wait for each other.

    Returns:
        The samples (S,) in [-1, 1] and their rate in Hz.

    Raises:
        CorpusError: eSpeak is not installed, or does not know the voice.
    """
    digest = sha256("\0".join((text, voice, emotion)).encode()).digest()
    draw = np.random.default_rng(list(digest))
    delivery = DELIVERIES["neutral"].towards(DELIVERIES[emotion], draw.uniform(0.6, 1)).varied(draw)
    words, rate = _synthesise(text, voice, delivery)
    words = _at_level(_trimmed(words), delivery.level)
    lead, tail = int(LEAD * rate), int(TAIL * rate)
    samples = draw.normal(0, _amplitude(ROOM_TONE), max(lead + len(words) + tail, int(SHORTEST * rate)))
    samples[lead : lead + len(words)] += words
    return samples.astype(np.float32), rate


def _amplitude(level: float) -> float:
    return float(10 ** (level / 20))


def _trimmed(samples: Samples) -> Samples:
    """``samples`` without the pauses before and after the words."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def _at_level(samples: Samples, level: float) -> Samples:
    """``samples`` with a root mean square of ``level`` dB, or as close to it as possible without clipping the peaks."""
    gain = _amplitude(level) / np.sqrt(np.mean(np.square(samples)))
    return samples * np.float32(min(gain, 0.95 / np.abs(samples).max()))


def _synthesise(text: str, voice: str, delivery: Delivery) -> tuple[Samples, int]:
    """eSpeak's sound for ``text``: samples (S,) in [-1, 1] and their rate in Hz."""
    parts: list[NDArray[np.int16]] = []

    def receive(samples: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        if samples and count:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0  # 0 tells eSpeak to go on

    callback = _Receiver(receive)  # keep a reference in a variable: ctypes keeps none
    with _fresh_engine() as (engine, rate):
        engine.espeak_SetSynthCallback(callback)
        if not _has_variant(voice) or engine.espeak_SetVoiceByName(voice.encode()):
            raise CorpusError(f"demo corpus: voice {voice!r}: expected one that eSpeak NG has, such as en-us+f3")
        engine.espeak_ng_SetRandSeed(ctypes.c_long(1))
        for parameter, value in ((RATE, delivery.rate), (PITCH, delivery.pitch), (RANGE, delivery.range)):
            engine.espeak_SetParameter(parameter, round(value), 0)
        encoded = text.encode()
        size = ctypes.c_size_t(len(encoded) + 1)
        if engine.espeak_Synth(encoded, size, 0, 1, 0, UTF8, None, None) or not parts:
            raise CorpusError(f"demo corpus: eSpeak NG made no speech of {text!r}; give it words")
    return np.concatenate(parts) * np.float32(1 / 32768), rate


def _has_variant(voice: str) -> bool:
    """Whether the variant after the plus sign exists. If it does not, eSpeak speaks without it and reports nothing."""
    _, plus, variant = voice.partition("+")
    return not plus or (Path(require("espeakng_loader").get_data_path()) / "voices" / "!v" / variant).is_file()


@contextmanager
def _fresh_engine() -> Iterator[tuple[ctypes.CDLL, int]]:
    """eSpeak in the state of a new process, and its sample rate in Hz.

    eSpeak's oscillators run on from one sentence to the next, even through its terminate and initialise calls, and this
    changes lengths by some samples. Only a library that is loaded anew gives a sentence the same samples every time (4
    ms).
    """
    package = require("espeakng_loader")
    with _engine_in_use:
        try:
            engine = ctypes.CDLL(package.get_library_path())
        except OSError as error:
            raise CorpusError(f"demo corpus: cannot load eSpeak NG ({error}); reinstall espeakng_loader") from None
        try:
            rate = engine.espeak_Initialize(RETURN_SAMPLES, 0, package.get_data_path().encode(), DONT_EXIT)
            if rate <= 0:
                raise CorpusError(f"demo corpus: eSpeak NG found no voices in {package.get_data_path()}; reinstall it")
            yield engine, rate
            engine.espeak_Terminate()
        finally:
            ctypes.CDLL(None).dlclose(ctypes.c_void_p(engine._handle))
