"""Several visual extractors look at a clip at once: what each would find alone, and the work of one."""

import threading
from collections import Counter
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigfusion.extractors.base import Failure, Fault, Feature
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.frames import FramedFeature
from bigfusion.extractors.visual import image_encoder, speaker_face, viewing
from bigfusion.extractors.visual.detectors import CenterFace
from bigfusion.extractors.visual.viewing import ClipExtractor, view
from bigfusion.pipeline.errors import ExtractionError, ItemError
from bigfusion.pipeline.schema import MediaSpan, Status, Utterance
from tests.helpers.clip_maker import span, write_clip
from tests.helpers.pictures import blank, collins, hopper, pasted, two_people
from tests.helpers.tiny_images import saved

pytestmark = pytest.mark.usefixtures("one_thread", "one_densenet")


def slow(settings: dict[str, Any]) -> Any:
    return pytest.param(settings, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Two portraits that drift, one that goes away, two people, nobody, a broken file, a lost one, and none."""
    folder = tmp_path_factory.mktemp("clips")
    drift = [
        [pasted(blank(240, 320), picture()[:512, :512], 20 + 3 * number, 10 + number, 200) for number in range(12)]
        for picture in (collins, hopper)
    ]
    films = {
        "collins": drift[0],
        "hopper": drift[1][:8],
        "away": [*drift[0][:4], *[blank(240, 320)] * 6, *drift[0][4:8]],
        "both": [two_people()] * 4,
        "nobody": [blank(240, 320)] * 4,
    }
    found = [
        Utterance(name, "", visual=span(write_clip(folder / f"{name}.mp4", film, fps=10)))
        for name, film in films.items()
    ]
    (folder / "broken.mp4").write_bytes(b"noise" * 100)
    found.append(Utterance("broken", "", visual=span(folder / "broken.mp4")))
    found.append(Utterance("lost", "", visual=MediaSpan(folder / "lost.mp4", "0" * 64)))
    return [*found, Utterance("none", "")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model"), "vit")


def faces(**settings: Any) -> ClipExtractor:
    return speaker_face.make(speaker_face.SETTINGS(**{"threads": 1, "device": "cpu"} | settings), sha256_of)


def images(folder: Path, **settings: Any) -> ClipExtractor:
    chosen = {"model": str(folder), "device": "cpu", "threads": 1} | settings
    return image_encoder.make(image_encoder.SETTINGS(**chosen), sha256_of)


def together(extractors: list[ClipExtractor], utterances: list[Utterance]) -> list[tuple[Any, ...]]:
    """The outcomes of each extractor."""
    return list(zip(*view([(utterance, extractors) for utterance in utterances]), strict=True))


class Counts(Counter[str]):
    """How often clips are read, and pictures searched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        read, detect = viewing.read_frames, CenterFace.detect

        def reads(*given: Any) -> Any:
            self["read"] += 1
            return read(*given)

        def detects(*given: Any) -> Any:
            self["searched"] += 1
            return detect(*given)

        monkeypatch.setattr(viewing, "read_frames", reads)
        monkeypatch.setattr(CenterFace, "detect", detects)


def same(found: Any, expected: Any) -> bool:
    if not isinstance(expected, Feature):
        return bool(found == expected)
    framed = isinstance(expected, FramedFeature)
    return (
        type(found) is type(expected)
        and found.note == expected.note
        and np.array_equal(found.vector, expected.vector)
        and (not framed or np.array_equal(found.frames.values, expected.frames.values))
        and (not framed or np.array_equal(found.frames.times, expected.frames.times))
    )


def test_each_finds_what_it_finds_alone_and_the_clip_is_read_and_searched_once(clips, model, monkeypatch) -> None:
    kinds = [
        faces(),
        faces(level="frame", pool="mean+std"),
        images(model, pool=("mean", "std")),
        images(model, level="frame"),
        images(model, on="frame", batch_size=2),
    ]
    alone, counts = [], []
    for kind in kinds:
        with monkeypatch.context() as patch:
            count = Counts(patch)
            alone.append(kind.extract(clips))
            counts.append(count)
    assert counts[0] == counts[1] == counts[2] == counts[3]
    count = Counts(monkeypatch)
    found = together(kinds, clips)
    assert count == counts[0]
    assert count["read"] == 7
    for of_one, expected in zip(found, alone, strict=True):
        assert [same(*pair) for pair in zip(of_one, expected, strict=True)] == [True] * len(clips)
    assert [getattr(one, "status", "ok") for one in alone[0]] == [
        *["ok"] * 4, Status.NO_FACE, Status.CORRUPT_MEDIA, "ok", Status.MISSING_MEDIA,
    ]  # fmt: skip
    assert isinstance(alone[0][6], Fault)  # a file that was there at ingest
    assert isinstance(alone[4][4], Feature)  # a whole frame needs no face


@pytest.mark.parametrize(
    "settings", [{"frames_per_second": 2}, slow({"limit_seconds": 1}), slow({"region": (0, 0, 0.5, 1)})]
)
def test_what_reads_other_frames_reads_the_clip_again(clips, settings, monkeypatch) -> None:
    kinds = [faces(), faces(**settings)]
    expected = [kind.extract(clips[:1])[0] for kind in kinds]
    count = Counts(monkeypatch)
    ((one,), (other,)) = together(kinds, clips[:1])
    assert count["read"] == 2
    assert same(one, expected[0])
    assert same(other, expected[1])
    assert not same(one, other)


@pytest.mark.parametrize("settings", [{"min_face": 150}, slow({"detection_size": 200}), slow({"search_seconds": 0})])
def test_what_searches_otherwise_reads_the_clip_once_and_searches_it_again(clips, settings, monkeypatch) -> None:
    kinds = [faces(), faces(**settings)]
    expected, counts = [], Counter[str]()
    for kind in kinds:
        with monkeypatch.context() as patch:
            count = Counts(patch)
            expected += kind.extract(clips[:2])
            counts.update(count)
    count = Counts(monkeypatch)
    found = together(kinds, clips[:2])
    assert (count["read"], count["searched"]) == (2, counts["searched"])
    assert all(same(*pair) for pair in zip([*found[0], *found[1]], expected, strict=True))


class Broken:
    """An extractor whose viewers raise an error when they see a frame, or at the end."""

    def __init__(self, extractor: ClipExtractor, where: str, error: Exception) -> None:
        self._extractor, self._where, self._error = extractor, where, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)

    def viewer(self, utterance: Utterance) -> Any:
        viewer, error = self._extractor.viewer(utterance), self._error

        def fail(*_: Any) -> Any:
            raise error

        setattr(viewer, self._where, fail)
        return viewer


@pytest.mark.parametrize("where", ["see", "outcome"])
@pytest.mark.parametrize("on", ["face", "frame"])
def test_an_error_of_one_viewer_ends_only_its_own_view(clips, model, where, on, monkeypatch) -> None:
    good = images(model, on=on)
    expected = good.extract(clips[:2])
    broken: Any = Broken(images(model, on=on), where, ItemError("the disk is away"))
    faults, found = together([broken, good], clips[:2])
    assert faults == (Fault("the disk is away"),) * 2
    assert all(same(*pair) for pair in zip(found, expected, strict=True))
    faults = together([broken], clips[:2])[0]
    assert faults == (Fault("the disk is away"),) * 2


def test_a_clip_that_nobody_wants_any_more_is_not_read_to_its_end(clips, model, monkeypatch) -> None:
    taken: list[float] = []
    read = viewing.read_frames

    def counted(*given: Any) -> Any:
        for frame in read(*given):
            taken.append(frame.time)
            yield frame

    monkeypatch.setattr(viewing, "read_frames", counted)
    together([Broken(images(model, on="frame"), "see", ItemError("away"))] * 2, clips[:1])
    assert len(taken) == 1


def test_an_error_of_the_detector_ends_the_views_that_need_faces(clips, model, monkeypatch) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("no such picture")

    monkeypatch.setattr(CenterFace, "detect", fail)
    first, second, third = together([faces(), images(model), images(model, on="frame")], clips[:1])
    assert isinstance(first[0], Fault)
    assert "no such picture" in first[0].reason
    assert first == second
    assert isinstance(third[0], Feature)


def test_an_error_that_all_clips_would_meet_ends_the_work(clips, model) -> None:
    broken: Any = Broken(images(model), "outcome", ExtractionError("the GPU is away"))
    with pytest.raises(ExtractionError, match="the GPU is away"):
        together([faces(), broken], clips)


def test_a_stop_while_one_encodes_lets_no_other_begin(clips, model) -> None:
    stop, begun = threading.Event(), list[str]()

    class Stopped(Broken):
        def viewer(self, utterance: Utterance) -> Any:
            viewer: Any = self._extractor.viewer(utterance)
            viewer.outcome = lambda notes: begun.append(self._where) or stop.set()
            return viewer

    kinds: Any = [Stopped(images(model, on="frame"), name, ItemError("")) for name in ("first", "second")]
    with pytest.raises(CancelledError):
        viewing._viewed((clips[0], kinds), stop)
    assert begun == ["first"]


def test_not_every_clip_is_for_all(clips, model) -> None:
    one, two = faces(), images(model)
    found = view([(clips[0], [one, two]), (clips[1], [two]), (clips[4], [one]), (clips[7], [two])])
    assert [len(outcomes) for outcomes in found] == [2, 1, 1, 1]
    assert same(found[0][0], one.extract(clips[:1])[0])
    assert same(found[1][0], two.extract(clips[1:2])[0])
    assert isinstance(found[2][0], Failure)
    assert isinstance(found[3][0], Failure)
    assert view([]) == []
