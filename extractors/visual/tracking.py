"""Follows faces through a clip, and chooses the one of the utterance's speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.visual.detectors import overlap

MIN_OVERLAP = 0.3
"""Boxes of one face in neighbouring sampled frames overlap by at least this much (intersection over union)."""

MOUTH = np.s_[42:58, 20:44]
EYES = np.s_[18:32, 14:50]
"""Where mouth and eyes lie in an aligned face (rows, columns): see :data:`TEMPLATE`."""


@dataclass
class Track:
    """One face through a clip: the numbers of its sampled frames (rising), boxes (4,) in pixels, and aligned crops."""

    frames: list[int] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)

    def add(self, frame: int, box: NDArray[np.float32], crop: NDArray[np.uint8]) -> None:
        """Append a sighting."""
        self.frames.append(frame)
        self.boxes.append(box)
        self.crops.append(crop)

    def prominence(self, frames: int) -> float:
        """The share of the clip's sampled frames that show the face, times the face's median area in pixels."""
        sides = [box[2:] - box[:2] for box in self.boxes]
        return len(self.frames) / frames * float(np.median([side[0] * side[1] for side in sides]))

    def mouth_activity(self, loudness: NDArray[np.floating]) -> float:
        """How much the mouth moves while there is sound, beyond how much the rest of the face moves.

        The mean over the clip's frames of mouth minus eyes, each the mean change of brightness from one sampled frame
        to the next, weighted with the loudness of that time. A face that is away does not move. Shape: (frames,).
        """
        total = float(loudness.sum())
        if total <= 0:
            return 0.0
        activity = 0.0
        for before, after, frame in zip(self.crops, self.crops[1:], self.frames[1:], strict=False):
            change = np.abs(after.astype(np.float32) - before.astype(np.float32))
            activity += float(loudness[frame]) * float(change[MOUTH].mean() - change[EYES].mean())
        return activity / total


class Tracker:
    """Joins detections into tracks, frame by frame.

    A track ends after more than ``patience`` frames without its face.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._frames = 0
        self.tracks: list[Track] = []

    @property
    def frames(self) -> int:
        """How many frames were seen, with or without faces."""
        return self._frames

    def add(self, boxes: Sequence[NDArray[np.float32]], crops: Sequence[NDArray[np.uint8]]) -> None:
        """Add the next frame's faces.

        Each joins the track that it overlaps most (best pairs first), or begins a new one.
        """
        frame = self._frames
        self._frames += 1
        alive = [track for track in self.tracks if frame - track.frames[-1] <= self._patience + 1]
        pairs = sorted(
            (
                (overlap(track.boxes[-1], box), old, new)
                for old, track in enumerate(alive)
                for new, box in enumerate(boxes)
            ),
            key=lambda pair: -pair[0],
        )
        taken_old: set[int] = set()
        taken_new: set[int] = set()
        for shared, old, new in pairs:
            if shared >= MIN_OVERLAP and old not in taken_old and new not in taken_new:
                alive[old].add(frame, boxes[new], crops[new])
                taken_old.add(old)
                taken_new.add(new)
        for new, (box, crop) in enumerate(zip(boxes, crops, strict=True)):
            if new not in taken_new:
                track = Track()
                track.add(frame, box, crop)
                self.tracks.append(track)

    def prominent(self) -> Track | None:
        """The largest and most constant face (:meth:`Track.prominence`), or ``None`` without any face."""
        return max(self.tracks, key=lambda track: track.prominence(self._frames), default=None)

    def talking(self, loudness: NDArray[np.floating], notes: list[str]) -> Track | None:
        """The face whose mouth moves with the sound. If that cannot be decided, the prominent face; ``notes`` says so.

        Shape: loudness (frames,), not negative: the sound's root mean square before each sampled frame.
        """
        scores = [track.mouth_activity(loudness) for track in self.tracks]
        if not scores or max(scores) <= 0:
            why = "no mouth moves with the sound" if loudness.any() else "no usable sound"
            if self._frames < 2:
                why = "one frame shows no moving mouth"
            notes.append(f"{why}, prominent face taken")
            return self.prominent()
        return self.tracks[int(np.argmax(scores))]
