"""Clips of real faces -> one vector: whose face, which frames, which half; and every bad clip a typed row."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from bigfusion.extractors.base import Failure, Fault, Feature
from bigfusion.extractors.files import FACE_WEIGHTS, sha256_of
from bigfusion.extractors.visual import viewing, yunet
from bigfusion.extractors.visual.alignment import aligned
from bigfusion.extractors.visual.densenet import FaceNet, load, seeded
from bigfusion.extractors.visual.detectors import CenterFace
from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
from bigfusion.extractors.visual.viewing import view
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.media.pictures import Frame
from bigfusion.pipeline.schema import MediaSpan, Modality, Status, Utterance
from tests.helpers.clip_maker import sine, span, write_clip
from tests.helpers.ffmpeg import FIELD, ffmpeg, needs_ffmpeg, needs_field
from tests.helpers.pictures import CENTERFACE, blank, collins, hopper, pasted, two_people
from tests.helpers.viewers import followed

pytestmark = pytest.mark.usefixtures("one_thread", "one_densenet")

YUNET = Path(__file__).resolve().parents[4] / "shared" / "data" / "face" / "yunet_n_640_640.onnx"


def seen(path: Path, start: float | None = None, end: float | None = None, crop: str = "") -> Utterance:
    return Utterance(path.stem, "", visual=span(path, start, end, crop))


def moving(picture: np.ndarray, count: int, width: int = 200) -> list[np.ndarray]:
    """A portrait that drifts through 320 x 240, ten frames a second."""
    square = picture[:512, :512]
    return [pasted(blank(240, 320), square, 20 + 2 * number, 10 + number, width) for number in range(count)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    both = [two_people()] * 6
    return {
        "collins": write_clip(folder / "collins.mp4", moving(collins(), 12), sine(1, 16000)[None], fps=10),
        "hopper": write_clip(folder / "hopper.mp4", moving(hopper(), 12), fps=10),
        "both": write_clip(folder / "both.mp4", both, fps=10),
        "nobody": write_clip(folder / "nobody.mp4", [blank(240, 320)] * 6, fps=10),
    }


@pytest.fixture(scope="module")
def extractor() -> VisualExtractor:
    """It searches every frame whole, so that its vectors can be made by hand."""
    return VisualExtractor(VisualSettings(threads=1, search_seconds=0))


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_file(seeded(1).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def alone(clips: dict[str, Path], extractor: VisualExtractor) -> dict[str, np.ndarray]:
    """The vectors of the two portraits."""
    return {name: vector(extractor, seen(clips[name])) for name in ("collins", "hopper")}


def vector(extractor: VisualExtractor, utterance: Utterance) -> np.ndarray:
    (outcome,) = extractor.extract([utterance])
    assert isinstance(outcome, Feature), outcome
    return outcome.vector


@cache
def network() -> FaceNet:
    return load(FACE_WEIGHTS)


@cache
def by_hand(utterance: Utterance) -> np.ndarray:
    """Each sampled frame's best face through the network on its own, (T, 342)."""
    assert utterance.visual is not None
    detector, rows = CenterFace(CENTERFACE, 0.5), []
    for frame in read_frames(utterance.visual):
        small = frame.small()
        faces = detector.detect(small)
        scale = [frame.grey.shape[1] / small.shape[1], frame.grey.shape[0] / small.shape[0]]
        face = aligned(frame.grey, faces.landmarks[0] * scale)
        with torch.inference_mode():
            rows.append(network().embed(torch.from_numpy(face)[None, None].float() / 255)[0].numpy())
    return np.stack(rows)


def test_the_mean_over_the_frames_of_the_only_face(clips: dict[str, Path], alone: dict[str, np.ndarray]) -> None:
    rows = by_hand(seen(clips["collins"]))
    assert len(rows) == 6  # 12 frames at 10 a second, 5 a second sampled
    assert alone["collins"].shape == (342,)
    assert alone["collins"].dtype == np.float32
    np.testing.assert_allclose(alone["collins"], rows.mean(0), rtol=1e-3, atol=1e-5)


def test_windows_move_a_vector_by_less_than_another_detection_size(
    clips: dict[str, Path], alone: dict[str, np.ndarray]
) -> None:
    """Around the known face, the network sees fewer of its surroundings, and places its points a little differently."""
    smaller = VisualExtractor(VisualSettings(search_seconds=0, detection_size=256, threads=1))
    windows = VisualExtractor(VisualSettings(threads=1))
    for name, expected in alone.items():
        other, found = (vector(some, seen(clips[name])) for some in (smaller, windows))
        assert (
            0 < np.linalg.norm(found - expected) < max(0.1 * np.linalg.norm(expected), np.linalg.norm(other - expected))
        )


def test_mean_and_deviation(clips: dict[str, Path]) -> None:
    rows = by_hand(seen(clips["collins"]))
    found = vector(VisualExtractor(VisualSettings(pool="mean+std", search_seconds=0)), seen(clips["collins"]))
    np.testing.assert_allclose(found, np.concatenate([rows.mean(0), rows.std(0)]), rtol=5e-3, atol=1e-4)


def test_a_span_is_its_own_frames(clips: dict[str, Path], extractor: VisualExtractor) -> None:
    part = seen(clips["collins"], 0.4, 1.0)
    rows = by_hand(part)
    assert len(rows) == 3
    np.testing.assert_allclose(vector(extractor, part), rows.mean(0), rtol=1e-3, atol=1e-5)


def test_halves_are_two_people(
    clips: dict[str, Path], extractor: VisualExtractor, alone: dict[str, np.ndarray]
) -> None:
    """IEMOCAP's frames hold both actors; each half is its own picture."""
    left, right = (vector(extractor, seen(clips["both"], crop=crop)) for crop in ("left", "right"))
    for half, own, other in ((left, "collins", "hopper"), (right, "hopper", "collins")):
        assert np.corrcoef(half, alone[own])[0, 1] > np.corrcoef(half, alone[other])[0, 1]


@pytest.mark.parametrize("large", ["left", "right"])
def test_of_two_people_the_larger_speaks(tmp_path: Path, extractor: VisualExtractor, large: str) -> None:
    canvas = blank(320, 640)
    for side, left in (("left", 20), ("right", 340)):
        canvas = pasted(canvas, collins(), left, 20, 280 if side == large else 180)
    path = write_clip(tmp_path / "a.mp4", [canvas] * 4, fps=10)
    viewer = followed(extractor, seen(path))
    tracker = viewer.tracker
    assert viewer.moments == pytest.approx([0.0, 0.2])
    assert len(tracker.tracks) == 2
    speaker = tracker.prominent()
    assert speaker is not None
    assert speaker.frames == [0, 1]
    assert all((box[0] < 320) == (large == "left") for box in speaker.boxes)
    faces = torch.from_numpy(np.stack(speaker.crops)).float()[:, None] / 255
    with torch.inference_mode():
        expected = network().embed(faces).mean(0).numpy()
    np.testing.assert_allclose(vector(extractor, seen(path)), expected, rtol=1e-3, atol=1e-5)


def test_threads_and_batches_change_nothing_that_matters(clips: dict[str, Path], extractor: VisualExtractor) -> None:
    utterances = [seen(clips[name]) for name in ("both", "nobody", "collins", "both")]
    done: list[int] = []
    one = extractor.extract(utterances, done.append)
    assert sum(done) == len(utterances)
    many = VisualExtractor(VisualSettings(threads=3, batch_size=1, search_seconds=0)).extract(utterances)
    for left, right in zip(one, many, strict=True):
        if isinstance(left, Failure):
            assert left == right
            continue
        assert isinstance(right, Feature)
        np.testing.assert_array_equal(left.vector, right.vector)


def test_what_cannot_be_seen_is_a_typed_row_in_its_place(tmp_path: Path, clips: dict[str, Path]) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clips["collins"].read_bytes()[:3000])
    utterances = [
        seen(clips["nobody"]),
        seen(cut),
        seen(clips["collins"]),
        seen(write_clip(tmp_path / "mute.wav", sound=sine(1, 16000)[None], audio="pcm_s16le")),
        seen(write_clip(tmp_path / "long.mp4", [blank(64, 64)] * 30, fps=10)),
        Utterance("none", ""),
        seen(clips["collins"], 7.0, 8.0),
    ]
    (slow,) = VisualExtractor(VisualSettings(timeout_seconds=1e-5)).extract(utterances[:1])
    assert isinstance(slow, Failure)
    assert "raise visual.timeout_seconds" in slow.reason
    outcomes = VisualExtractor(VisualSettings(limit_seconds=2.9)).extract(utterances)
    statuses = [outcome.status if isinstance(outcome, Failure) else Status.OK for outcome in outcomes]
    assert statuses == [
        Status.NO_FACE,
        Status.CORRUPT_MEDIA,
        Status.OK,
        Status.NO_VIDEO,
        Status.OVERLONG,
        Status.MISSING_MEDIA,
        Status.TOO_SHORT,
    ]
    assert all("expected" in outcome.reason for outcome in outcomes if isinstance(outcome, Failure))


def test_small_faces_are_nobody(clips: dict[str, Path]) -> None:
    (outcome,) = VisualExtractor(VisualSettings(min_face=150)).extract([seen(clips["collins"])])
    assert isinstance(outcome, Failure)
    assert outcome.status == Status.NO_FACE
    assert "6 sampled frames" in outcome.reason


def test_a_file_that_vanished_after_ingest_is_not_stored(tmp_path: Path) -> None:
    gone = Utterance("gone", "", visual=MediaSpan(tmp_path / "gone.mp4", "0" * 64))
    (fault,) = VisualExtractor(VisualSettings()).extract([gone])
    assert isinstance(fault, Fault)
    assert "gone.mp4" in fault.reason


def test_ctrl_c_stops_in_the_middle_of_a_clip(
    tmp_path: Path, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = write_clip(tmp_path / "long.mp4", moving(collins(), 20) * 6, fps=10)  # seconds of work
    taken: list[float] = []

    def counted(*given: Any) -> Iterator[Frame]:
        for frame in read_frames(*given):
            taken.append(frame.time)
            yield frame

    def interrupted(done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(viewing, "read_frames", counted)
    extractor = VisualExtractor(VisualSettings(threads=2, frames_per_second=10))
    with pytest.raises(KeyboardInterrupt):
        extractor.extract([seen(long), seen(clips["nobody"]), seen(long)], interrupted)
    assert 6 <= len(taken) < 120, "all of nobody and a part of the long one"


def test_spec(tmp_path: Path, other_weights: Path) -> None:
    machine = VisualSettings(batch_size=3, device="cpu", threads=2, timeout_seconds=600)
    spec = VisualExtractor(machine).spec
    assert spec.modality is Modality.VISUAL
    assert spec.name == "speaker_face"
    assert spec.settings == {}
    assert VisualExtractor(VisualSettings(pool="mean+std", min_face=40)).spec.settings == {
        "min_face": 40,
        "pool": "mean+std",
    }
    assert spec.weights["densenet"] == sha256_of(FACE_WEIGHTS)
    assert spec.notes == ()
    assert spec == VisualExtractor(VisualSettings()).spec
    assert not spec.hears
    assert VisualExtractor(VisualSettings(speaker="talking")).spec.hears
    trained = VisualExtractor(VisualSettings(weights=other_weights)).spec
    assert not trained.notes
    assert len(trained.weights["densenet"]) == 64
    (tmp_path / "copy.safetensors").write_bytes(other_weights.read_bytes())
    assert VisualExtractor(VisualSettings(weights=tmp_path / "copy.safetensors")).spec == trained


def test_weights_are_used(clips: dict[str, Path], alone: dict[str, np.ndarray], other_weights: Path) -> None:
    other = VisualExtractor(VisualSettings(weights=other_weights, search_seconds=0))
    assert not np.allclose(vector(other, seen(clips["collins"])), alone["collins"])


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (VisualSettings(weights=Path("nowhere.safetensors")), "nowhere"),
        (VisualSettings(detector="yunet"), "detector_path"),  # the hub's, out of reach
        (VisualSettings(detector="yunet", detector_path=Path("nowhere.onnx")), "nowhere"),
    ],
)
def test_files_that_are_not_there(monkeypatch: pytest.MonkeyPatch, settings: VisualSettings, word: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ExtractionError, match=word):
        _ = VisualExtractor(settings).spec


def test_the_hubs_yunet_is_held_to_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub's cache with another file under YuNet's name."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cache = tmp_path / "models--opencv--face_detection_yunet"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("a" * 40)
    (cache / "snapshots" / ("a" * 40)).mkdir(parents=True)
    (cache / "snapshots" / ("a" * 40) / yunet.FILE).write_bytes(b"another")
    with pytest.raises(ExtractionError, match="another"):
        yunet.fetch_yunet(sha256_of)
    assert yunet.fetch_yunet(lambda path: yunet.SHA256).name == yunet.FILE


def speaking(picture: np.ndarray, left: float, top: float, width: float, opening: int) -> np.ndarray:
    """``picture`` with an open mouth painted on: ``left``, ``top`` its middle."""
    return cv2.ellipse(picture.copy(), ((left, top), (width, 2.0 * opening), 0), (30, 10, 10), -1)


class Talk(NamedTuple):
    """Two people, of whom the left one opens her mouth whenever there is sound. Ten frames a second, 16 kHz."""

    frames: list[np.ndarray]
    sound: np.ndarray


@pytest.fixture(scope="module")
def talk() -> Talk:
    still = two_people()
    mouth = CenterFace(CENTERFACE, 0.5).detect(still)
    (points,) = [points for points in mouth.landmarks if points[0, 0] < 320]
    (across, down), width = points[3:].mean(0), float(points[4, 0] - points[3, 0])
    loud = [0.0, 1, 1, 0, 1, 0, 0, 1, 0, 1]
    openings = [round(4 * level) for level in loud]
    frames = [speaking(still, float(across), float(down), width, opening) for opening in openings for _ in range(2)]
    envelope = np.repeat(np.roll(loud, -1), 3200).astype(np.float32)  # loud up to the frame where the mouth is open
    return Talk(frames, (sine(2, 16_000) * envelope)[None])


@pytest.fixture(scope="module")
def talk_path(tmp_path_factory: pytest.TempPathFactory, talk: Talk) -> Path:
    return write_clip(tmp_path_factory.mktemp("talk") / "talk.mp4", talk.frames, talk.sound, fps=10)


@pytest.fixture(scope="module")
def halves(talk_path: Path, extractor: VisualExtractor) -> dict[str, np.ndarray]:
    """The vector of each of the two."""
    return {side: vector(extractor, seen(talk_path, crop=side)) for side in ("left", "right")}


def side_of(found: np.ndarray, halves: dict[str, np.ndarray]) -> str:
    """Whose vector it is: the left or the right half's."""
    return min(halves, key=lambda side: float(np.linalg.norm(found - halves[side])))


TALKING = VisualSettings(threads=1, speaker="talking")


@pytest.mark.slow
def test_of_two_faces_the_one_that_talks(
    talk_path: Path, extractor: VisualExtractor, halves: dict[str, np.ndarray]
) -> None:
    """Hopper's face is larger; Collins opens her mouth whenever there is sound."""
    talking = VisualExtractor(TALKING)
    utterance = replace(seen(talk_path), audio=span(talk_path))
    assert side_of(vector(extractor, utterance), halves) == "right"
    assert side_of(vector(talking, utterance), halves) == "left"
    assert side_of(vector(talking, seen(talk_path)), halves) == "right"  # without sound: the prominent one


def test_a_turn_whose_sound_tells_nothing_says_that_the_prominent_face_was_taken(tmp_path: Path, talk: Talk) -> None:
    """Its sound is not there, is no sound, or is silence; the note is not on others' cells of the same clip."""
    path = write_clip(tmp_path / "talk.mp4", talk.frames[:8], fps=10)
    silence = write_clip(tmp_path / "silence.wav", sound=np.zeros((1, 12_800), np.float32), audio="pcm_s16le")
    both = [VisualExtractor(TALKING), VisualExtractor(TALKING.model_copy(update={"pool": "mean+std"}))]
    for sound in (None, span(path), span(silence)):
        for outcome in view([(replace(seen(path), audio=sound), both)])[0]:
            assert isinstance(outcome, Feature)
            assert outcome.note == "no usable sound, prominent face taken"


def test_a_turn_talks_where_its_sound_has_a_file_of_its_own(
    tmp_path: Path, talk: Talk, halves: dict[str, np.ndarray]
) -> None:
    """As in IEMOCAP: the picture is a stretch of the dialogue's avi, the sound a wav file of the turn alone."""
    dialogue = write_clip(tmp_path / "dialogue.avi", [two_people()] * 13 + talk.frames, fps=10, video="mpeg4")
    turn = write_clip(tmp_path / "turn.wav", sound=talk.sound, audio="pcm_s16le")
    utterance = replace(seen(dialogue, 1.3, 3.3), audio=span(turn))
    assert side_of(vector(VisualExtractor(TALKING), utterance), halves) == "left"


def test_a_turn_talks_where_both_are_a_stretch_of_one_file(
    tmp_path: Path, talk: Talk, halves: dict[str, np.ndarray]
) -> None:
    frames = [two_people()] * 13 + talk.frames
    sound = np.concatenate([np.zeros((1, 20_800), np.float32), talk.sound], 1)
    path = write_clip(tmp_path / "dialogue.mkv", frames, sound, fps=10)
    utterance = replace(seen(path, 1.3, 3.3), audio=span(path, 1.3, 3.3))
    assert side_of(vector(VisualExtractor(TALKING), utterance), halves) == "left"


@pytest.mark.skipif(not YUNET.is_file(), reason="YuNet's file is not here")
def test_yunet_instead(clips: dict[str, Path], extractor: VisualExtractor) -> None:
    other = VisualExtractor(VisualSettings(detector="yunet", detector_path=YUNET))
    left, right = vector(extractor, seen(clips["collins"])), vector(other, seen(clips["collins"]))
    assert np.corrcoef(left, right)[0, 1] > 0.95
    assert other.spec.weights["detector"] != extractor.spec.weights["detector"]


def test_talking_looks_ten_times_a_second(talk_path: Path) -> None:
    """Mouths move about five times a second: at the default rate a talking one may look the same in every frame."""
    for settings, step in ((TALKING, 0.1), (VisualSettings(threads=1), 0.2)):
        moments = followed(VisualExtractor(settings), seen(talk_path, 0.0, 0.8)).moments
        assert len(moments) == round(0.8 / step)
        np.testing.assert_allclose(np.diff(moments), step, atol=1e-3)


@needs_field
@needs_ffmpeg
def test_a_call_whose_pictures_shrink_is_one_face(tmp_path: Path, extractor: VisualExtractor) -> None:
    """The whole clip's vector, as of the same picture at one size; boxes in pixels would make two faces of one."""
    ffmpeg("-i", FIELD / "v0_h264.mp4", "-an", "-vf", "scale=384:384,setsar=1", "-crf", "18", tmp_path / "one.mp4")
    shrinks = seen(FIELD / "v4_resolution_changes.webm")
    viewer = followed(extractor, shrinks)
    (track,) = viewer.tracker.tracks
    assert len(track.frames) >= 0.9 * len(viewer.moments)
    found, expected = viewer.outcome([]), vector(extractor, seen(tmp_path / "one.mp4"))
    assert isinstance(found, Feature)
    assert np.linalg.norm(found.vector - expected) / np.linalg.norm(expected) < 0.03


def test_a_region_is_a_crop_in_general(talk_path: Path, extractor: VisualExtractor) -> None:
    other = VisualExtractor(VisualSettings(threads=1, search_seconds=0, region=(0.0, 0.0, 0.5, 1.0)))
    left = seen(talk_path, 0.0, 0.8, crop="left")
    np.testing.assert_array_equal(vector(other, seen(talk_path, 0.0, 0.8)), vector(extractor, left))
