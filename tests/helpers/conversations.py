"""Conversations of synthetic voices with their true turns, and the diarisation error rate."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.signal import resample_poly

from bigfusion.pipeline.demo.script import CAST, lines
from bigfusion.pipeline.demo.speech import speak

RATE = 16_000
STEP = 0.01


class Turn(NamedTuple):
    """Who speaks from when to when, in seconds."""

    start: float
    end: float
    speaker: str


def conversation(speakers: Sequence[str], turns: int, seed: int) -> tuple[NDArray[np.float32], list[Turn], list[str]]:
    """Lines of the demo's play, each by another of the demo's speakers than the one before, with pauses between them.

    Every speaker says something. Returns the samples (n,) at 16 kHz, the true turns, and the words of each.
    """
    random = np.random.default_rng(seed)
    play = [line for line in lines() if len(line.words.split()) >= 4]
    parts, truth, words, moment = [], [], [], 0.0
    for pick in random.permutation(len(play))[:turns]:
        others = [name for name in speakers if not truth or name != truth[-1].speaker] or list(speakers)
        unheard = [name for name in others if name not in {turn.speaker for turn in truth}]
        speaker = str(random.choice(unheard or others))
        line = play[pick]
        sound, rate = speak(line.words, CAST[speaker].voice, line.emotion)
        sound = resample_poly(sound, RATE // np.gcd(RATE, rate), rate // np.gcd(RATE, rate)).astype(np.float32)
        pause = random.normal(0, 5e-4, int(random.uniform(0.15, 0.7) * RATE)).astype(np.float32)
        loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
        truth.append(Turn(moment + loud[0] / RATE, moment + loud[-1] / RATE, speaker))
        words.append(line.words)
        parts += [sound, pause]
        moment += (len(sound) + len(pause)) / RATE
    return np.concatenate(parts), truth, words


def write_sound(path: Path, samples: NDArray[np.float32]) -> Path:
    """A 16-bit wav file. Shape: (n,), 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def error_rate(heard: Sequence[Turn], truth: Sequence[Turn], collar: float = 0.25) -> float:
    """The diarisation error rate: time missed, invented, or given to the wrong speaker, over all speech.

    Speakers are matched as well as possible. ``collar``: seconds around each true boundary that are not scored.
    """
    count = round(max(turn.end for turn in [*heard, *truth]) / STEP) + 1
    true, scored = _rows(truth, count), np.ones(count, bool)
    for turn in truth:
        for edge in (turn.start, turn.end):
            scored[max(round((edge - collar) / STEP), 0) : round((edge + collar) / STEP)] = False
    true, found = true[:, scored], _rows(heard, count)[:, scored]
    common = (true[:, None] & found[None]).sum(2)  # (true speakers, heard speakers)
    right = common[linear_sum_assignment(-common)].sum()
    speaking, heard_speaking = true.sum(0), found.sum(0)
    return float((np.maximum(speaking, heard_speaking).sum() - right) / speaking.sum())


def _rows(turns: Sequence[Turn], count: int) -> NDArray[np.bool_]:
    names = sorted({turn.speaker for turn in turns})
    rows = np.zeros((len(names), count), bool)
    for turn in turns:
        rows[names.index(turn.speaker), round(turn.start / STEP) : round(turn.end / STEP)] = True
    return rows
