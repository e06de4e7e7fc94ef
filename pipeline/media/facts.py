"""What a media file holds: how long it is, and whether there are sound and pictures in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from av.stream import Disposition

from bigfusion.pipeline.errors import CorpusError, MediaError
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.nearest import beside
from bigfusion.pipeline.schema import MediaSpan


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
