"""What a media file holds: how long it is, and whether there are sound and pictures in it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from av.stream import Disposition

from bigfusion.pipeline.errors import CorpusError, MediaError
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.nearest import beside
from bigfusion.pipeline.schema import MediaSpan

GUESSED = {"aac", "ac3", "amr", "eac3", "mp3"}
"""The containers without a length: FFmpeg guesses it from the bit rate of the first packets, unless an mp3's tag says
it.
"""


@dataclass(frozen=True)
class MediaFacts:
    """``seconds`` is what the file's header says; 0 if it says nothing."""

    seconds: float
    has_sound: bool
    has_picture: bool


def media_facts(path: Path) -> MediaFacts:
    """The facts of a video or sound file, from its header.

    Raises:
        CorpusError: it is missing, is no media file, or holds neither sound nor pictures.
    """
    if not path.exists():
        raise CorpusError(f"{path}: expected a video or a sound file, found no file of that name{beside(path)}")
    try:
        with opened(MediaSpan(path, "")) as container:
            kinds = {stream.type for stream in container.streams if not stream.disposition & Disposition.attached_pic}
            lengths = [float(stream.duration * stream.time_base) for stream in container.streams if stream.duration]
            seconds = max([(container.duration or 0) / 1e6, *lengths])
    except MediaError as error:
        raise CorpusError(f"{path}: expected a video or a sound file, found another: {error.reason}") from None
    if not kinds & {"audio", "video"}:
        raise CorpusError(f"{path}: expected a video or a sound file, found neither sound nor pictures in it")
    return MediaFacts(seconds, "audio" in kinds, "video" in kinds)


def seconds_of_packets(path: Path) -> float:
    """Where the last packet ends, if the header's length may be a guess; else 0. The file is read to its end."""
    end = 0.0
    with suppress(MediaError), opened(MediaSpan(path, "")) as container:  # its cells say what is wrong with it
        if GUESSED & set(container.format.name.split(",")):
            begin = (container.start_time or 0) / 1e6
            for packet in container.demux(container.streams.audio):
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - begin)
    return end
