"""HDR pictures are seen as SDR ones: PQ and HLG made of a known picture by FFmpeg come back as it was."""

from pathlib import Path

import numpy as np
import pytest

from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.media.tone_mapping import BT2020_TO_BT709, _hlg, _pq, _sdr
from tests.helpers.clip_maker import span, write_clip
from tests.helpers.ffmpeg import ffmpeg, needs_ffmpeg

HDR = "zscale=tin=bt709:pin=bt709:min=bt709:rin=tv:t={}:p=bt2020:m=bt2020nc:r=tv:npl={},format=yuv420p10le"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Steps of grey above, colours below."""
    picture = np.zeros((128, 192, 3), np.uint8)
    for place, level in enumerate((16, 60, 110, 160, 210, 250)):
        picture[:64, 32 * place : 32 * place + 32] = level
    for place, colour in enumerate(((190, 60, 50), (60, 170, 70), (60, 70, 180), (200, 150, 120), (120, 80, 60))):
        picture[64:, 32 * place : 32 * place + 32] = colour
    return write_clip(tmp_path / "sdr.mp4", [picture] * 5)


@needs_ffmpeg
@pytest.mark.parametrize(("transfer", "white"), [("smpte2084", 100), ("smpte2084", 203), ("arib-std-b67", 203)])
def test_it_looks_as_it_did(tmp_path: Path, clip: Path, transfer: str, white: int) -> None:
    mark = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    how = ["-vf", HDR.format(transfer, white), "-c:v", "libx265", "-x265-params", f"log-level=none:{mark}"]
    ffmpeg("-i", clip, *how, tmp_path / "hdr.mp4")
    notes: list[str] = []
    found = next(iter(list(read_frames(span(tmp_path / "hdr.mp4"), notes=notes))))
    expected = next(iter(list(read_frames(span(clip)))))
    assert notes == ["tone-mapped"]
    middles = [(row, 32 * place + 16) for row in (32, 96) for place in range(6)]
    for row, column in middles:
        area = np.s_[row - 8 : row + 8, column - 8 : column + 8]
        tolerance = 24 if row == 32 and column > 150 else 18  # what is nearly white is rolled off
        assert np.abs(found.grey[area].astype(int) - expected.grey[area]).mean() < tolerance
        assert np.abs(found.small()[area].astype(int) - expected.small()[area]).mean((0, 1)).max() < tolerance + 8
    assert found.grey.std() == pytest.approx(expected.grey.std(), rel=0.1)


def test_an_sdr_clip_is_left_alone(clip: Path) -> None:
    notes: list[str] = []
    list(read_frames(span(clip), notes=notes))
    assert not notes


def test_the_scales_are_those_of_the_standards() -> None:
    """BT.2100 and BT.2408: 58 % of PQ and 75 % of HLG are a white sheet of paper, 203 cd/m2."""
    assert _pq()[round(0.5807 * 65535)] == pytest.approx(203, rel=0.01)
    assert _pq()[65535] == pytest.approx(10_000)
    assert _hlg()[65535] == pytest.approx(1.0, abs=1e-3)
    assert _hlg()[round(0.75 * 65535)] ** 1.2 * 1000 == pytest.approx(203, rel=0.01)
    np.testing.assert_allclose(BT2020_TO_BT709.sum(1), 1, atol=2e-4)  # white stays white
    assert (np.diff(_sdr().astype(int)) >= 0).all()
