"""The page of a recording in a real browser, with the video playing: play, seek, follow, on a desk and on a phone."""

import json
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.model.report.timeline import write_timeline
from bigfusion.model.scoring.timeline import NOT_SURE, Clip
from tests.helpers.chromium import Tab, chromium
from tests.helpers.timelines import long_timeline, moment, timeline
from tests.helpers.tiny_media import write_clip, write_wav

pytestmark = pytest.mark.slow

LIT = "[...document.querySelectorAll('#transcript li.lit')].map(row => Number(row.dataset.i))"
AT = "document.querySelector('#media').currentTime"
PAUSED = "document.querySelector('#media').paused"
SAID = "document.querySelector('#now').textContent"

MOMENTS = (
    moment(0.5, 2, "joy", "Ross", "First."),
    moment(2, 4, "anger", "Monica", "Second."),
    moment(3, 5, NOT_SURE, "Ross", "Third, into the second.", absent={"visual": "no face"}),
    moment(6, 8, "sadness", "Monica", "Fourth."),
)


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page beside its eight seconds of H.264 and AAC, in a folder whose name has to be quoted."""
    made = tmp_path_factory.mktemp("a talk #1")
    write_timeline(timeline(write_clip(made / "talk 50%.mp4", 8), 8.0, *MOMENTS), made / "page.html")
    return made


def opened(tab: Tab, page: Path, *, ready: bool = True) -> None:
    tab.size(1300, 900)
    tab.open(page.as_uri())
    if ready:
        tab.wait("document.querySelector('#media').readyState >= 2")


def write_slides(path: Path, seconds: int) -> Path:
    """A video of one picture a minute."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1, 60))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(seconds // 60):
            grey = np.full((48, 64, 3), number % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def at(tab: Tab, seconds: float) -> None:
    tab.wait(f"Math.abs({AT} - {seconds}) < 0.02 && !document.querySelector('#media').seeking")


def test_space_plays_the_video_and_the_light_follows_it_from_one_utterance_to_the_next(tab, folder):
    opened(tab, folder / "page.html")
    assert tab.value(LIT) == []
    tab.press(" ")
    tab.wait(f"JSON.stringify({LIT}) === '[0]'")
    assert not tab.value(PAUSED)
    tab.wait(f"JSON.stringify({LIT}) === '[1]'")
    assert 2 <= tab.value(AT) < 4
    tab.press(" ")
    tab.wait(PAUSED)
    assert tab.value("document.querySelectorAll('#roll i.lit').length") == 1
    assert "Monica anger 70 %" in tab.value(SAID)
    assert tab.complaints() == []
    assert {Path(address).name for address in tab.requests()} == {"page.html", "talk%2050%25.mp4"}


def test_the_end_of_the_video_stops_it_and_space_begins_again(tab, folder):
    opened(tab, folder / "page.html")
    tab.value("document.querySelector('#media').currentTime = 7.7")
    tab.press(" ")
    tab.wait("document.querySelector('#media').ended")
    assert tab.value("document.querySelector('#time').textContent") == "0:08 / 0:08"
    tab.press(" ")
    tab.wait(f"{AT} < 2 && !{PAUSED}")
    tab.press(" ")


def test_a_click_on_a_block_a_line_or_the_mood_goes_there(tab, folder):
    opened(tab, folder / "page.html")
    tab.click("#roll [data-i='3']")
    at(tab, 6)
    assert tab.value(LIT) == [3]
    tab.click("#u1 .text")
    at(tab, 2)
    assert tab.value(LIT) == [1]
    tab.click("#mood", along=0.4375)
    at(tab, 3.5)
    assert tab.value(LIT) == [1, 2]  # two who speak at once are both lit, and the card tells of the later one
    assert "Third, into the second." in tab.value(SAID)
    assert "no visual: no face" in tab.value(SAID)
    tab.click("#roll .ruler", along=0.69)
    at(tab, 5.52)
    assert tab.value(LIT) == []
    assert "Nobody speaks here." in tab.value(SAID)


def test_the_keyboard_goes_by_utterances_and_by_seconds(tab, folder):
    opened(tab, folder / "page.html")
    for key, seconds in (("j", 0.5), ("j", 2), ("j", 3), ("j", 6), ("j", 6), ("k", 3), ("ArrowRight", 8)):
        tab.press(key)
        at(tab, seconds)
    for key, seconds in (("ArrowLeft", 3), ("ArrowLeft", 0)):
        tab.press(key)
        at(tab, seconds)
    tab.value("document.querySelector('#find').focus()")
    tab.press("j")
    at(tab, 0)
    assert tab.value("document.querySelector('#find').value") == "j"


def test_pointing_at_a_block_and_focus_on_a_line_show_every_probability(tab, folder):
    opened(tab, folder / "page.html")
    assert not tab.value("document.querySelector('#tip').checkVisibility()")
    tab.point("#roll [data-i='0']")
    shown = tab.value("document.querySelector('#tip').innerText").split()
    assert shown.count("5") == 6
    assert shown.count("70") == 2
    assert tab.value("document.querySelector('#u0').hasAttribute('title')") is False


def test_a_label_and_words_narrow_the_transcript_down_and_the_keys_stay_within(tab, folder):
    opened(tab, folder / "page.html")
    tab.click("#legend [data-label=anger]")
    tab.click("#legend [data-label=sadness]")
    assert tab.value("document.querySelector('#count').textContent") == "2 of 4"
    tab.press("j")
    at(tab, 2)
    tab.press("j")
    at(tab, 6)
    tab.click("#legend [data-label=anger]")
    tab.click("#legend [data-label=sadness]")
    tab.click("#find")
    tab.call("Input.insertText", text="INTO")
    shown = "[...document.querySelectorAll('#transcript li')].filter(r => r.checkVisibility()).map(r => r.id)"
    assert tab.value(shown) == ["u2"]


def test_several_files_play_one_after_the_other_and_a_hole_between_them_is_passed_over(tab, tmp_path):
    for number, name in enumerate(("a.mp4", "b.mp4")):
        write_clip(tmp_path / name, 1.5, 200 + number)
    clips = (Clip(tmp_path / "a.mp4", 0, 1.5), Clip(tmp_path / "b.mp4", 3, 1, offset=0.5))
    moments = (moment(0, 1.5), moment(1.5, 3, text="Lost."), moment(3, 4, "fear", "Monica"))
    write_timeline(timeline(tmp_path / "a.mp4", 4.0, *moments, clips=clips), tmp_path / "page.html")
    opened(tab, tmp_path / "page.html")
    tab.press(" ")
    tab.wait(f"JSON.stringify({LIT}) === '[2]'")
    assert tab.value("document.querySelector('#media').src").endswith("b.mp4")
    tab.wait(PAUSED)
    assert 1.4 < tab.value(AT) <= 1.55
    tab.press("k")
    tab.wait(f"JSON.stringify({LIT}) === '[2]' || JSON.stringify({LIT}) === '[1]'")
    tab.click("#u1")
    assert tab.value(LIT) == [1]
    tab.click("#u0")
    tab.wait(f"document.querySelector('#media').src.endsWith('a.mp4') && {AT} === 0")
    assert tab.value(LIT) == [0]
    assert tab.complaints() == []


def test_a_page_with_the_media_in_it_plays_wherever_it_is_moved(tab, folder, tmp_path):
    write_timeline(timeline(folder / "talk 50%.mp4", 8.0, *MOMENTS), tmp_path / "made.html", embed=True)
    (tmp_path / "far").mkdir()
    shutil.move(tmp_path / "made.html", tmp_path / "far" / "moved.html")
    opened(tab, tmp_path / "far" / "moved.html")
    tab.press("j")
    tab.press("j")
    at(tab, 2)
    tab.press(" ")
    tab.wait(f"{AT} > 2.3")
    assert [Path(address).name for address in tab.requests()] == ["moved.html"]


def test_sound_without_a_picture_plays_too(tab, tmp_path):
    told = timeline(write_wav(tmp_path / "talk.wav", 3), 3.0, moment(1, 2), has_picture=False)
    write_timeline(told, tmp_path / "page.html")
    opened(tab, tmp_path / "page.html")
    tab.press(" ")
    tab.wait(f"JSON.stringify({LIT}) === '[0]'")


def test_media_that_are_gone_are_named_and_the_rest_of_the_page_works(tab, tmp_path):
    write_timeline(timeline(tmp_path / "gone.mp4", 8.0, *MOMENTS), tmp_path / "page.html")
    opened(tab, tmp_path / "page.html", ready=False)
    tab.wait("document.querySelector('#trouble').checkVisibility()")
    assert "gone.mp4 cannot be played here" in tab.value("document.querySelector('#trouble').textContent")
    tab.click("#u3")
    assert tab.value(LIT) == [3]


@pytest.mark.parametrize("width", [390, 800, 1440])
def test_the_page_fits_phones_and_desks_without_scrolling_sideways(tab, folder, width):
    opened(tab, folder / "page.html")
    tab.size(width, 844, phone=width == 390)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("document.querySelector('#media').getBoundingClientRect().width") > 300


def test_two_hours_of_two_thousand_utterances_open_and_follow_at_once(tab, tmp_path):
    write_timeline(long_timeline(write_slides(tmp_path / "v.mp4", 7200)), tmp_path / "page.html")
    opened(tab, tmp_path / "page.html")
    clicks = (
        "(t => { document.querySelector(`#u${NUMBER}`).click(); return performance.now() - t; })(performance.now())"
    )
    took = sorted(tab.value(clicks.replace("NUMBER", str(number))) for number in (3, 1999, 700, 1200, 1500))
    at(tab, 5400)
    assert tab.value(LIT) == [1500]
    assert took[2] < 200  # milliseconds; a few where nothing else runs
    row = json.loads(tab.value("JSON.stringify(document.querySelector('#u1500').getBoundingClientRect())"))
    assert 0 < row["top"] < 900  # the transcript has followed


def test_without_its_script_the_page_still_shows_everything(tab, folder):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        opened(tab, folder / "page.html", ready=False)
        assert tab.value("document.querySelector('#u3').checkVisibility()")
        assert tab.value("document.querySelector('#media').controls")
        assert "70 %" in tab.value("document.querySelector('#u3').title")
        assert not tab.value("document.querySelector('#transport').checkVisibility()")
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_page_prints_without_the_player_and_with_every_line(tab, folder, tmp_path):
    opened(tab, folder / "page.html")
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert not tab.value("document.querySelector('#player').checkVisibility()")
        assert tab.value(
            "document.querySelector('#lines').scrollHeight <= document.querySelector('#lines').clientHeight"
        )
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")
    tab.paper(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
