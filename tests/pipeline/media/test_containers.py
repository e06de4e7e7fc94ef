"""Which containers are read: phones' and corpora's are, others are told from damage, scripts are not."""

from pathlib import Path

import numpy as np
import pytest

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import sine, span, write_clip
from tests.helpers.ffmpeg import FIELD, ffmpeg, needs_ffmpeg, needs_field, needs_sox

RATE = 16_000


def refused(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        read_audio(span(path))
    assert caught.value.status == Status.CORRUPT_MEDIA
    return caught.value.reason


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "speech.wav", sound=sine(3, RATE)[None], audio="pcm_s16le")


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.wv", ["-c:a", "wavpack"]),
        ("a.mxf", ["-f", "lavfi", "-i", "testsrc=d=3:s=640x480:r=25", "-c:v", "mpeg2video", "-ar", "48000"]),
        ("a.dv", ["-f", "lavfi", "-i", "testsrc=d=3:s=720x576:r=25", "-target", "pal-dv", "-ar", "48000", "-ac", "2"]),
        ("a.caf", ["-c:a", "pcm_s16le"]),
        ("a.mkv", ["-c:a", "flac"]),
    ],
)
def test_they_are_read_as_the_wav_is(tmp_path: Path, speech: Path, name: str, how: list[str]) -> None:
    ffmpeg("-i", speech, *how, tmp_path / name)
    found, expected = read_audio(span(tmp_path / name)), read_audio(span(speech))
    size = min(len(found), len(expected))
    assert size == pytest.approx(3 * RATE, abs=0.05 * RATE)
    assert np.corrcoef(found[:size], expected[:size])[0, 1] > 0.99
    if "testsrc" in str(how):
        assert len(list(read_frames(span(tmp_path / name), rate=5.0))) == 15


@needs_sox
@pytest.mark.parametrize("name", ["a.sph", "a.amr-nb"])
def test_corpora_and_phones(tmp_path: Path, speech: Path, name: str) -> None:
    import subprocess

    subprocess.run(["sox", speech, *(["-r", "8000"] if "amr" in name else []), tmp_path / name], check=True)
    samples = read_audio(span(tmp_path / name))
    assert len(samples) == pytest.approx(3 * RATE, abs=0.05 * RATE)
    assert samples.std() == pytest.approx(0.35, abs=0.06)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.rm", "a.tta", "a.y4m", "a.gif", "a.nut", "a.voc"])
def test_one_that_is_not_read_is_not_called_damaged(tmp_path: Path, speech: Path, name: str) -> None:
    picture = (
        [
            "-f",
            "lavfi",
            "-i",
            "testsrc=d=1:s=64x64:r=5",
            "-map",
            "1:v",
            *(["-pix_fmt", "yuv420p"] if name == "a.y4m" else []),
        ]
        if name in ("a.y4m", "a.gif")
        else []
    )
    ffmpeg("-i", speech, *picture, *(["-c:a", "ac3"] if name == "a.rm" else []), tmp_path / name)
    reason = refused(tmp_path / name)
    assert "a container that is read here, found one that is not" in reason
    assert f"ffmpeg -i {name} " in reason


@needs_ffmpeg
def test_the_line_converts_it(tmp_path: Path, speech: Path) -> None:
    ffmpeg("-i", speech, tmp_path / "a.tta")
    command = refused(tmp_path / "a.tta").rpartition("convert it: ")[2].split()
    ffmpeg(*[tmp_path / part if part.startswith("a.") else part for part in command[1:]])
    np.testing.assert_array_equal(read_audio(span(tmp_path / "a.mkv")), read_audio(span(speech)))


@pytest.mark.parametrize("name", ["a.wav", "a.mp4", "a.mkv", "a.ogg", "a.flac"])
def test_damage_is_damage(tmp_path: Path, name: str) -> None:
    audio = {"a.wav": "pcm_s16le", "a.ogg": "libopus", "a.flac": "flac"}.get(name, "aac")
    path = write_clip(tmp_path / name, sound=sine(3, 48_000)[None], rate=48_000, audio=audio)
    content = path.read_bytes()
    path.write_bytes(content[:8] + bytes(len(content) // 2))
    assert "container" not in refused(path)


def test_a_text_is_no_container(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.mp4\n#EXT-X-ENDLIST\n")
    reason = refused(tmp_path / "a.mp4")
    assert "may name other files" in reason
    assert "ffmpeg" not in reason


@needs_field
def test_a_phone_s_recording() -> None:
    assert len(read_audio(span(FIELD / "w4.amr"), silence_rms=0.0)) == 2 * RATE
