"""Faces followed through a clip, and the speaker among them."""

import numpy as np
import pytest

from bigfusion.extractors.visual.tracking import EYES, MOUTH, Track, Tracker


def box(left: float, top: float, side: float) -> np.ndarray:
    return np.array([left, top, left + side, top + side], np.float32)


def crop(person: int) -> np.ndarray:
    return np.full((64, 64), person, np.uint8)


def follow(frames: list[dict[int, np.ndarray]], patience: int = 2) -> Tracker:
    """Frames as {person: box}; the crops carry the person's number."""
    tracker = Tracker(patience)
    for frame in frames:
        tracker.add(list(frame.values()), [crop(person) for person in frame])
    return tracker


def people(track: Track) -> list[int]:
    return [int(view[0, 0]) for view in track.crops]


def test_two_people_who_move_stay_apart() -> None:
    frames = [{1: box(4 * step, 0, 40), 2: box(200 - 4 * step, 10, 30)} for step in range(20)]
    frames = [frame if step % 2 else dict(reversed(frame.items())) for step, frame in enumerate(frames)]
    tracker = follow(frames)
    assert sorted(people(track) for track in tracker.tracks) == [[1] * 20, [2] * 20]
    assert tracker.frames == 20


def test_the_best_pair_is_joined_first() -> None:
    """A newcomer who overlaps a little must not take the track from its own face."""
    tracker = follow([{1: box(0, 0, 40)}, {2: box(14, 0, 40), 1: box(1, 0, 40)}])
    assert people(tracker.tracks[0]) == [1, 1]
    assert people(tracker.tracks[1]) == [2]


@pytest.mark.parametrize(("gap", "tracks"), [(1, 1), (2, 1), (3, 2)])
def test_a_face_may_be_lost_for_a_while(gap: int, tracks: int) -> None:
    tracker = follow([{1: box(0, 0, 40)}, *[{} for _ in range(gap)], {1: box(2, 0, 40)}])
    assert len(tracker.tracks) == tracks
    if tracks == 1:
        assert tracker.tracks[0].frames == [0, gap + 1]


def test_a_jump_is_another_face() -> None:
    assert len(follow([{1: box(0, 0, 40)}, {1: box(100, 0, 40)}]).tracks) == 2


def test_speaker_is_large_and_constant() -> None:
    """40 x 40 in all ten frames (1600) against 60 x 60 in three (0.3 * 3600 = 1080) and 30 x 30 in all (900)."""
    frames = [{1: box(0, 0, 40), 3: box(300, 0, 30)} | ({2: box(100, 0, 60)} if step < 3 else {}) for step in range(10)]
    tracker = follow(frames)
    speaker = tracker.prominent()
    assert speaker is not None
    assert people(speaker) == [1] * 10
    scores = {people(track)[0]: track.prominence(10) for track in tracker.tracks}
    assert scores == {1: pytest.approx(1600), 2: pytest.approx(1080), 3: pytest.approx(900)}


def test_much_larger_wins_over_a_little_more_constant() -> None:
    frames = [{1: box(0, 0, 20)} | ({2: box(100, 0, 60)} if step < 8 else {}) for step in range(10)]
    speaker = follow(frames).prominent()
    assert speaker is not None
    assert people(speaker) == [2] * 8


def test_nobody() -> None:
    tracker = follow([{}, {}])
    assert tracker.prominent() is None
    assert tracker.frames == 2


def talker(changes: list[int], mouth: int = 0, eyes: int = 0) -> Track:
    """A face seen in every frame whose mouth (and eyes) brighten by so much wherever ``changes`` says 1."""
    track, level = Track(), np.zeros((64, 64), np.uint8)
    for frame, change in enumerate(changes):
        level = level.copy()
        level[MOUTH] += np.uint8(mouth * change)
        level[EYES] += np.uint8(eyes * change)
        track.add(frame, box(0, 0, 40), level)
    return track


def test_mouth_activity_by_hand() -> None:
    """Loud into frames 1 and 3 (1 and 3 of 4 in all): moves by 10 into 1 and 2, so 10 * 1/4 = 2.5."""
    loudness = np.array([0.0, 1, 0, 3])
    assert talker([0, 1, 1, 0], mouth=10).mouth_activity(loudness) == pytest.approx(2.5)
    assert talker([0, 1, 1, 0], mouth=10, eyes=4).mouth_activity(loudness) == pytest.approx(1.5)
    assert talker([0, 1, 1, 0], mouth=10).mouth_activity(np.zeros(4)) == 0


def test_the_talker_is_the_one_who_moves_with_the_sound() -> None:
    tracker, loudness = Tracker(1), np.array([0.0, 1, 0, 1, 0, 1])
    tracker.tracks = [talker([0, 0, 1, 0, 1, 0], mouth=20), talker([0, 1, 0, 1, 0, 1], mouth=10)]
    notes: list[str] = []
    assert tracker.talking(loudness, notes) is tracker.tracks[1]
    assert notes == []


def test_without_sound_the_prominent_face_talks() -> None:
    frames = [{1: box(0, 0, 40), 3: box(300, 0, 30)}] * 4
    tracker = follow(frames)
    notes: list[str] = []
    assert tracker.talking(np.zeros(4), notes) is tracker.prominent()
    assert tracker.talking(np.ones(4), notes) is tracker.prominent()
    assert notes == ["no usable sound, prominent face taken", "no mouth moves with the sound, prominent face taken"]
    single, said = follow(frames[:1]), list[str]()
    assert single.talking(np.zeros(1), said) is single.prominent()
    assert said == ["one frame shows no moving mouth, prominent face taken"]
    assert Tracker(1).talking(np.zeros(0), notes) is None
