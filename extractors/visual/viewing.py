"""One look at a clip for all visual extractors that want it: frames are decoded once, faces are searched once.

Each extractor has a viewer for each clip. A viewer sees the clip's sampled frames in order, with their faces if it asks
for them, and gives the outcome at the end. No frame is kept for another viewer: all see it before the next is decoded.
Extractors of equal :class:`Sampling` share the decoding; those whose :class:`Searching` is equal as well, the search.
An error in one viewer ends only its own view.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from bigfusion.extractors.base import ExtractorSpec, Failure, Outcome, media_failure
from bigfusion.extractors.compute import check, cores, opencv_threads, side_by_side, torch_threads
from bigfusion.extractors.faults import fault
from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.media.pictures import Frame
from bigfusion.pipeline.schema import MediaSpan, Status, Utterance

if TYPE_CHECKING:
    from bigfusion.extractors.visual.detectors import FaceDetector, Faces
    from bigfusion.extractors.visual.tracking import Tracker


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip are read: how many a second, of clips of at most so many seconds.

    ``region`` is the part of the frame (left, top, right, bottom as shares) where the corpus names none.
    """

    rate: float
    limit_seconds: float
    timeout_seconds: float
    region: tuple[float, float, float, float] | None = None

    def part(self, span: MediaSpan) -> MediaSpan:
        """The span with the part of the frame that is read."""
        return span if span.crop or span.region else replace(span, region=self.region)


@dataclass(frozen=True)
class Searching:
    """How the faces of a clip are searched. ``detector`` names the file (a digest), whatever the object that runs it.

    ``size`` is the longer side of the pictures that are searched, in pixels; ``every`` the frames from one search of a
    whole picture to the next; ``min_face`` the shorter side of a face's box in the clip's own pixels.
    """

    detector: str
    score: float
    size: int
    every: int
    min_face: int


class Viewer(Protocol):
    """One extractor's view of one clip."""

    def see(self, frame: Frame, faces: Faces | None) -> None:
        """See the next frame, with its faces in pixels of the frame at full size (None: the extractor wants none)."""
        ...

    def outcome(self, notes: list[str]) -> Outcome:
        """What was seen, as a feature or a reason. ``notes`` are the reader's decisions on the way."""
        ...


class ClipExtractor(ABC):
    """A visual extractor that can share its look at a clip with others."""

    columns: list[str] | None = None

    @property
    @abstractmethod
    def spec(self) -> ExtractorSpec:
        """What the numbers depend on."""

    @property
    @abstractmethod
    def threads(self) -> int | None:
        """Clips side by side; None: one a processor."""

    @property
    @abstractmethod
    def sampling(self) -> Sampling:
        """The frames that it wants."""

    @property
    @abstractmethod
    def searching(self) -> Searching | None:
        """The faces that it wants; None: it wants none."""

    @property
    @abstractmethod
    def detector(self) -> FaceDetector:
        """Finds them."""

    @abstractmethod
    def load(self) -> None:
        """Load what viewers need, once, before any thread needs it.

        Raises:
            ExtractionError: it cannot be loaded.
        """

    @abstractmethod
    def viewer(self, utterance: Utterance) -> Viewer:
        """A viewer of the utterance's clip, which is there."""

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One vector for each utterance, or the reason why there is none. One thread computes one clip.

        Raises:
            ExtractionError: weights, detector or device are not there.
        """
        return [outcome for (outcome,) in view([(utterance, [self]) for utterance in utterances], progress)]


class FaceViewer(ABC):
    """A viewer that follows the faces through a clip. A subclass says what is cut out of each.

    Boxes are compared on the first frame's scale. The pictures of a call may shrink while the face stays the same.
    """

    def __init__(self, patience: int) -> None:
        from bigfusion.extractors.visual.tracking import Tracker

        self.tracker: Tracker = Tracker(patience)
        self.moments: list[float] = []
        self._size: tuple[int, int] = (0, 0)

    def see(self, frame: Frame, faces: Faces | None) -> None:
        """Add the frame's faces to the tracks."""
        assert faces is not None
        if not self.moments:
            self._size = frame.shape
        boxes = faces.scaled(self._size[1] / frame.shape[1], self._size[0] / frame.shape[0]).boxes
        self.tracker.add(list(boxes), self.cut(frame, faces))
        self.moments.append(frame.time)

    @abstractmethod
    def cut(self, frame: Frame, faces: Faces) -> Sequence[Any]:
        """What is kept of each of the frame's faces."""


def view(
    work: Sequence[tuple[Utterance, Sequence[ClipExtractor]]], progress: Callable[[int], None] = lambda done: None
) -> list[list[Outcome]]:
    """The outcomes of each utterance, one for each of its extractors. One thread views one clip.

    ``progress(n)`` is called whenever n more are done.

    Raises:
        ExtractionError: an extractor cannot run.
    """
    extractors = list({id(extractor): extractor for _, several in work for extractor in several}.values())
    for extractor in extractors:
        extractor.load()
    threads = min([extractor.threads or cores() for extractor in extractors], default=1)
    with torch_threads.held_at(1), opencv_threads.held_at(1):
        return side_by_side(_viewed, work, threads, lambda item: progress(len(item[1])))


def _viewed(item: tuple[Utterance, Sequence[ClipExtractor]], stop: threading.Event) -> list[Outcome]:
    """The outcomes of one utterance."""
    utterance, extractors = item
    if utterance.visual is None:
        reason = f"{utterance.id}: expected a media file, found none at ingest"
        return [Failure(Status.MISSING_MEDIA, reason) for _ in extractors]
    rooms: dict[Sampling, _Room] = {}
    seats = [_Seat(extractor, utterance) for extractor in extractors]
    for seat in seats:
        rooms.setdefault(seat.sampling, _Room()).admit(seat)
    for sampling, room in rooms.items():
        room.show(sampling, utterance.visual, stop)
    return [seat.outcome(stop) for seat in seats]


class _Seat:
    """One extractor's viewer, until an error of its own ends its view."""

    def __init__(self, extractor: ClipExtractor, utterance: Utterance) -> None:
        self.extractor = extractor
        self.sampling, self.searching = extractor.sampling, extractor.searching
        self.notes: list[str] = []
        self._viewer = extractor.viewer(utterance)
        self._end: Outcome | None = None

    @property
    def is_over(self) -> bool:
        """Whether the view has ended before the clip."""
        return self._end is not None

    def see(self, frame: Frame, faces: Faces | None) -> None:
        """Show a frame to the viewer."""
        if self._end is None:
            try:
                self._viewer.see(frame, faces)
            except Exception as error:
                self._end = fault(error)

    def leave(self, outcome: Outcome) -> None:
        """End the view with an outcome that is not the viewer's."""
        if self._end is None:
            self._end = outcome

    def outcome(self, stop: threading.Event) -> Outcome:
        """What the viewer saw, or what ended its view."""
        check(stop)  # encoding one viewer's crops may take long
        if self._end is None:
            try:
                return self._viewer.outcome(self.notes)
            except Exception as error:
                self._end = fault(error)
        return self._end


class _Room:
    """The viewers of one reading of a clip, those of one search for faces together."""

    def __init__(self) -> None:
        self._rows: dict[Searching | None, list[_Seat]] = {}

    def admit(self, seat: _Seat) -> None:
        """Add a viewer."""
        self._rows.setdefault(seat.searching, []).append(seat)

    def show(self, sampling: Sampling, span: MediaSpan, stop: threading.Event) -> None:
        """Show the clip to all. What is wrong with the clip ends every view."""
        seats = [seat for row in self._rows.values() for seat in row]
        notes = list[str]()
        try:
            self._show(sampling, span, notes, stop)
        except MediaError as error:
            for seat in seats:
                seat.leave(_failure(error, span))
        except Exception as error:
            for seat in seats:
                seat.leave(fault(error))
        for seat in seats:
            seat.notes = notes

    def _show(self, sampling: Sampling, span: MediaSpan, notes: list[str], stop: threading.Event) -> None:
        rows = [_Search(searching, seats) if searching else _Plain(seats) for searching, seats in self._rows.items()]
        for frame in read_frames(
            sampling.part(span), sampling.rate, sampling.limit_seconds, sampling.timeout_seconds, notes
        ):
            check(stop)
            for row in rows:
                row.show(frame)
            if all(seat.is_over for seats in self._rows.values() for seat in seats):
                return
        for row in rows:
            row.finish()


def _failure(error: MediaError, span: MediaSpan) -> Outcome:
    try:
        return media_failure(error, span)
    except Exception as found:
        return fault(found)


class _Plain:
    """Viewers that want no faces."""

    def __init__(self, seats: Sequence[_Seat]) -> None:
        self._seats = seats

    def show(self, frame: Frame) -> None:
        """Show a frame to all."""
        for seat in self._seats:
            seat.see(frame, None)

    def finish(self) -> None:
        """There are no more frames."""


class _Search:
    """Viewers of one search for faces. They see a frame some frames later, when its search is settled."""

    def __init__(self, searching: Searching, seats: Sequence[_Seat]) -> None:
        from bigfusion.extractors.visual.search import Search

        self._searching, self._seats = searching, seats
        self._search: Search[Frame] = Search(seats[0].extractor.detector, searching.every)
        self._width = 0

    def show(self, frame: Frame) -> None:
        """Search a frame, and show all whose search is settled."""
        small = frame.small(self._searching.size)
        self._width = self._width or frame.shape[1]
        least = self._searching.min_face * min(1.0, frame.shape[1] / self._width) * small.shape[1] / frame.shape[1]
        self._show(lambda: self._search.add(frame, small, least))

    def finish(self) -> None:
        """There are no more frames: show those that are held."""
        self._show(self._search.finish)

    def _show(self, settled: Callable[[], Iterator[tuple[Frame, Faces]]]) -> None:
        if all(seat.is_over for seat in self._seats):
            return
        try:
            for frame, faces in settled():
                (height, width), (small_height, small_width) = frame.shape, frame.small(self._searching.size).shape[:2]
                scaled = faces.scaled(width / small_width, height / small_height)
                for seat in self._seats:
                    seat.see(frame, scaled)
        except Exception as error:  # of the detector: a viewer's own ends in its seat
            for seat in self._seats:
                seat.leave(fault(error))
