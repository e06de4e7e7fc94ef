"""The page of `bigfusion app`: in a real browser, from the upload to the playing timeline, without any other host."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bigfusion.flows import cli
from bigfusion.flows.project import app_page, find_model, prediction_files
from bigfusion.pipeline.errors import CorpusError
from tests.helpers import trained_recordings
from tests.helpers.chromium import Tab, chromium
from tests.helpers.trained_recordings import new_recording

FRAME = "document.querySelector('#page iframe')"
BUTTON = "document.querySelector('#predict')"
INSIDE = f"{FRAME}?.contentDocument"


def chosen(tab: Tab, box: str, file: Path) -> None:
    """Upload a file, and wait until the page has it: its name stands there before."""
    tab.upload(f"#{box} input[type=file]", file)
    tab.wait(f"document.querySelector('#{box} .download-link')?.getAttribute('download') === {json.dumps(file.name)}")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return find_model.load(trained_recordings.make(tmp_path_factory.mktemp("trained")).parent)


@pytest.fixture(scope="module")
def address(model, tmp_path_factory) -> Iterator[str]:
    """The page, served on a free port."""
    pytest.importorskip("gradio", reason="the extra app is not installed (pip install -e '.[app]')")
    import uvicorn

    with socket.socket() as place:
        place.bind((app_page.HOST, 0))
        port = place.getsockname()[1]
    folder = tmp_path_factory.mktemp("served").resolve()
    page = app_page.application(model, folder, port)
    server = uvicorn.Server(uvicorn.Config(page, host=app_page.HOST, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < end
        time.sleep(0.05)
    yield f"http://{app_page.HOST}:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as opened:
        yield opened


@pytest.mark.slow
def test_an_uploaded_video_with_subtitles_becomes_a_timeline_that_plays_and_files_to_take_away(tab, address, tmp_path):
    video = new_recording(tmp_path, "my talk", video=True)
    tab.size(1300, 1000)
    tab.open(address)
    tab.wait("document.querySelectorAll('input[type=file]').length >= 2", 60)
    tab.wait(f"{BUTTON}?.disabled", 60)
    chosen(tab, "transcript", video.with_suffix(".srt"))
    chosen(tab, "media", video)
    tab.wait(f"{BUTTON}?.disabled === false")
    tab.click("#predict")
    tab.wait(f"{INSIDE}?.querySelectorAll('#transcript li').length === 3", 90)
    tab.wait(f"{INSIDE}.querySelector('#media').readyState >= 2")
    tab.value(f"{INSIDE}.querySelector('#play').click()")
    tab.wait(f"{INSIDE}.querySelector('#u1').classList.contains('lit')")
    files = tab.value("document.querySelector('#files').innerText")
    for suffix in ("csv", "json", "parquet", "vtt", "TextGrid", "eaf"):
        assert suffix in files
    asked = {urlsplit(address).hostname for address in tab.requests() if not address.startswith("blob:")}
    assert asked == {app_page.HOST}
    blocked = [entry for entry in tab.complaints() if "Content Security Policy" in entry and "font" not in entry]
    assert blocked == []


@pytest.mark.slow
def test_a_file_that_is_no_recording_is_named_on_the_page(tab, address, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    (tmp_path / "notes.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHi.\n")
    tab.open(address)
    tab.wait("document.querySelectorAll('input[type=file]').length >= 2", 60)
    chosen(tab, "transcript", tmp_path / "notes.srt")
    chosen(tab, "media", tmp_path / "notes.mp4")
    tab.wait(f"{BUTTON}?.disabled === false")
    tab.click("#predict")
    tab.wait("document.body.innerText.includes('expected a video or a sound file')", 60)
    assert "Traceback" not in tab.value("document.body.innerText")


@pytest.mark.slow
def test_the_page_gives_the_files_of_predict(model, tmp_path):
    video = new_recording(tmp_path, video=True)
    made = app_page.written(model, video, video.with_suffix(".srt"), tmp_path / "served")
    (timeline,) = model.timelines(video).timelines
    there = json.loads(made["predictions.json"].read_text())
    assert there == json.loads(prediction_files.write(timeline, tmp_path / "out")["predictions.json"].read_text())
    assert made[prediction_files.PAGE].with_name("new.mp4").read_bytes() == video.read_bytes()


@pytest.mark.slow
def test_nothing_is_left_of_a_recording_that_cannot_be_used(model, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(CorpusError, match="expected a video or a sound file"):
        app_page.written(model, tmp_path / "notes.mp4", None, tmp_path / "served")
    assert list((tmp_path / "served").iterdir()) == []


def test_a_missing_extra_is_one_line_that_names_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert cli.main(["app"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("bigfusion: app: expected the package gradio, found ")
    assert line.endswith("run pip install -e '.[app]'")


def test_the_address_of_a_page_is_quoted():
    frame = app_page._frame(Path("/served/tok/a b.html"), Path("/served"))
    assert frame.count('"/pages/tok/a%20b.html"') == 2
