"""A dialogue's files and parts of files, one after the other, against times worked out by hand."""

from pathlib import Path

import pytest

from bigfusion.flows.project.dialogue_media import UNHEARD, Lengths, lay
from bigfusion.flows.project.dialogue_pages import page_names
from bigfusion.model.scoring.timeline import Clip
from bigfusion.pipeline.media.facts import MediaFacts
from bigfusion.pipeline.schema import MediaSpan, Utterance

A, B, AVI, WAV, GONE = (Path(name) for name in ("a.mp4", "b.mp4", "film.avi", "film.wav", "gone.mp4"))


def lengths() -> Lengths:
    film = MediaFacts(100.0, True, True)
    return Lengths({A: MediaFacts(3.0, True, True), B: MediaFacts(2.5, True, True), AVI: film,
                    WAV: MediaFacts(100.0, True, False), GONE: None})  # fmt: skip


def said(path: Path, start: float | None = None, end: float | None = None, audio: Path | None = None) -> Utterance:
    sound = audio and MediaSpan(audio, "", start, end)
    return Utterance(f"{path}{start}", "Hi.", sound, MediaSpan(path, "", start, end))


def test_files_of_one_utterance_each_follow_each_other():
    laid = lay([said(A), said(B)], lengths())
    assert laid.times == ((0, 3), (3, 5.5))
    assert laid.clips == (Clip(A, 0, 3), Clip(B, 3, 2.5))
    assert laid.seconds == 5.5
    assert laid.has_picture


def test_utterances_of_one_file_keep_their_distance_and_may_overlap():
    laid = lay([said(A, 0.5, 1), said(A, 0.75, 2), said(A, 2.5, 9)], lengths())
    assert laid.times == ((0, 0.5), (0.25, 1.5), (2, 2.5))  # the last one ends with its file
    assert laid.clips == (Clip(A, 0, 2.5, 0.5),)


def test_a_long_pause_and_a_jump_back_begin_a_new_clip():
    laid = lay([said(WAV, 10, 12), said(WAV, 50, 51), said(WAV, 20, 21)], lengths())
    assert laid.times == ((0, 2), (2, 3), (3, 4))
    assert laid.clips == (Clip(WAV, 0, 2, 10), Clip(WAV, 2, 1, 50), Clip(WAV, 3, 1, 20))
    assert not laid.has_picture


def test_an_utterance_whose_file_is_gone_leaves_a_hole():
    laid = lay([said(A), said(GONE), said(A)], lengths())
    assert laid.times == ((0, 3), (3, 3 + UNHEARD), (5, 8))
    assert laid.clips == (Clip(A, 0, 3), Clip(A, 5, 3))
    assert lay([said(GONE)], lengths()).clips == ()


def test_a_video_that_browsers_do_not_play_gives_way_to_the_sound_file():
    laid = lay([said(AVI, 1, 2, audio=WAV)], lengths())
    assert laid.clips == (Clip(WAV, 0, 1, 1),)
    assert lay([said(AVI, 1, 2, audio=GONE)], lengths()).clips == (Clip(AVI, 0, 1, 1),)


@pytest.mark.parametrize(
    ("dialogues", "pages"),
    [
        (["test/dia3"], ["test_dia3.html"]),
        (["a/b", "a b", "A?B"], ["a_b.html", "a_b-2.html", "A_B-3.html"]),
        (["../x", "…"], ["_x.html", "_.html"]),
        (["..", ""], ["dialogue.html", "dialogue-2.html"]),
    ],
)
def test_pages_have_plain_names_that_differ(dialogues, pages):
    assert list(page_names(dialogues).values()) == pages
