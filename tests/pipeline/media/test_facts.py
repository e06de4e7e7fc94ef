"""How long a media file is, and what is in it."""

import pytest

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.media.facts import MediaFacts, media_facts, seconds_of_packets
from tests.helpers.tiny_media import write_aac, write_avi, write_clip, write_wav


def test_the_facts_of_a_clip_a_wav_and_a_silent_film(tmp_path):
    clip = media_facts(write_clip(tmp_path / "a.mp4", 0.5))
    assert (clip.has_sound, clip.has_picture) == (True, True)
    assert clip.seconds == pytest.approx(0.5, abs=0.1)
    assert media_facts(write_wav(tmp_path / "a.wav", 0.5)) == MediaFacts(0.5, True, False)
    film = media_facts(write_avi(tmp_path / "a.avi", 0.5))
    assert (film.has_sound, film.has_picture) == (False, True)


def test_a_guessed_length_is_measured_by_the_packets(tmp_path):
    path = write_aac(tmp_path / "a.aac")
    assert media_facts(path).seconds < 8
    assert seconds_of_packets(path) == pytest.approx(10, abs=0.3)
    assert seconds_of_packets(write_wav(tmp_path / "a.wav")) == 0, "its header knows"
    (tmp_path / "b.aac").write_bytes(b"none")
    assert seconds_of_packets(tmp_path / "b.aac") == 0


@pytest.mark.parametrize("content", [b"", b"hello", b"#EXTM3U\nhttp://example.org/a.ts\n"])
def test_what_is_no_recording_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.mp4: expected a video or a sound file, found another: ") as raised:
        media_facts(tmp_path / "a.mp4")
    assert "\n" not in str(raised.value)
    with pytest.raises(CorpusError, match="found a folder"):
        media_facts(tmp_path)
