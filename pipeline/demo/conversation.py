"""A new recording to try a model on: clips of a dialogue of the demo corpus, joined, with subtitles beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.demo.build import clip_name
from bigfusion.pipeline.demo.clip import write_clip
from bigfusion.pipeline.demo.portrait import FPS
from bigfusion.pipeline.demo.script import Line, lines
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.schema import MediaSpan, Split

VIDEO, SUBTITLES = "conversation.mp4", "conversation.srt"
DIALOGUE = 0
"""Of the test split: three speakers, seven lines, no faults."""
RATE = 48_000
PAUSE = 0.25
"""Seconds between two lines, of the last picture and of silence."""


def write_conversation(folder: Path, corpus: Path) -> Path:
    """Join the dialogue's clips into one video with subtitles in ``folder``, unless both are there. Returns the video.

    Raises:
        CorpusError: the folder cannot be written, or the corpus lacks the clips.
    """
    video, subtitles = folder / VIDEO, folder / SUBTITLES
    if video.exists() and subtitles.exists():
        return video
    said = [line for line in lines() if line.split is Split.TEST and line.dialogue == DIALOGUE]
    frames: list[NDArray[np.uint8]] = []
    sound: list[NDArray[np.float32]] = []
    cues = []
    for number, line in enumerate(said, start=1):
        pictures, samples = read_clip(corpus / clip_name(line))
        start, still = len(frames) / FPS, round(PAUSE * FPS)
        frames += [*pictures, *pictures[-1:] * still]
        sound.append(np.pad(samples, (0, still * RATE // FPS)))
        cues.append(_cue(number, start, start + len(pictures) / FPS, line))
    try:
        write_clip(video, frames, FPS, (np.concatenate(sound), RATE), RATE)
        write_whole(subtitles, "\n".join(cues).encode())
    except OSError as error:
        raise CorpusError(f"{video}: cannot be written ({error.strerror}); name another folder") from None
    return video


def read_clip(path: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """A clip's pictures, and sound that is exactly as long as they are shown."""
    span = MediaSpan(path, "")
    if not path.is_file():
        raise CorpusError(f"{path}: expected a clip of the demo corpus, found none; run `bigfusion demo` again")
    with opened(span) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    samples = read_audio(span, RATE)
    wanted = len(pictures) * RATE // FPS
    return pictures, np.pad(samples[:wanted], (0, max(wanted - len(samples), 0)))


def _cue(number: int, start: float, end: float, line: Line) -> str:
    return f"{number}\n{_clock(start)} --> {_clock(end)}\n{line.speaker}: {line.words}\n"


def _clock(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
