"""The page of a recording: complete, escaped, with its own script alone; the arithmetic of its pictures."""

import base64
import json
import re
from dataclasses import replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from bigfusion.model.report.clock import clock, percent
from bigfusion.model.report.figures import label_colours
from bigfusion.model.report.lanes import Piece, piece, stretches
from bigfusion.model.report.mood import mood
from bigfusion.model.report.timeline import EMBEDDED, write_timeline
from bigfusion.model.report.timeline_script import SCRIPT
from bigfusion.model.scoring.timeline import NO_SPEECH, NOT_SURE, Clip, Moment, Timeline
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split
from tests.helpers.html_page import Page
from tests.helpers.timelines import LABELS, ORIGIN, long_timeline, moment, timeline

HOSTILE = "</script><script>alert(\"1\")</script> & 'co'"


def written(folder: Path, told: Timeline, embed: bool = False) -> str:
    write_timeline(told, folder / "page.html", embed)
    return (folder / "page.html").read_text()


def source(html: str) -> str:
    """The address of the page's video."""
    return next(value or "" for name, value in Page(html).attributes if name == "src")


def data(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_mood_is_the_mean_over_the_seconds_spoken_in_the_window():
    first, second = {"a": 1.0, "b": 0.0}, {"a": 0.2, "b": 0.8}
    moments = (Moment(0, 40, "x", "", "a", first), Moment(40, 60, "y", "", "b", second))
    told = Timeline(Path("v.mp4"), 100, True, ("a", "b"), moments, ORIGIN)
    found = mood(told, points=101)
    assert found.window == 10
    assert found.times[38] == 38
    np.testing.assert_allclose(found.shares[20], [1, 0])
    np.testing.assert_allclose(found.shares[38], [0.7 + 0.3 * 0.2, 0.3 * 0.8])  # 33 to 43 s: 7 s of a, 3 s of b
    np.testing.assert_allclose(found.shares[62], [0.2, 0.8])  # 57 to 67 s: three seconds of b, then nobody
    assert np.isnan(found.shares[66]).all()


def test_the_mood_of_speech_that_overlaps_agrees_with_sums_over_tenths_of_a_second():
    random = np.random.default_rng(1)
    starts = np.round(random.uniform(0, 270, 40), 1)
    moments = tuple(
        Moment(start, round(start + length, 1), "x", "", "joy", dict(zip(LABELS, map(float, shares), strict=True)))
        for start, length, shares in zip(
            np.sort(starts), np.round(random.uniform(0.5, 20, 40), 1), random.dirichlet(np.ones(7), 40), strict=True
        )
    )
    found = mood(timeline(Path("v.mp4"), 300, *moments), points=31)
    assert found.window == 15
    ticks = np.arange(0.05, 300, 0.1)
    for at, shares in zip(found.times, found.shares, strict=True):
        inside = ticks[(ticks > at - 7.5) & (ticks < at + 7.5)]
        sums = sum(
            ((inside > m.start) & (inside < m.end)).sum() * np.array(list(m.probabilities.values())) for m in moments
        )
        spoken = np.sum(sums)
        np.testing.assert_allclose(shares, sums / spoken if spoken else np.full(7, np.nan), atol=1e-9)


def test_silence_and_moments_without_probabilities_have_no_mood():
    silent = moment(0, 5, label=NO_SPEECH, probabilities={})
    assert np.isnan(mood(timeline(Path("v.mp4"), 60, silent)).shares).all()
    assert np.isnan(mood(timeline(Path("v.mp4"), 60)).shares).all()


def test_long_recordings_are_cut_into_stretches_of_two_minutes():
    assert stretches(180) == [(0, 180)]
    assert stretches(250) == [(0, 120), (120, 240), (240, 250)]
    assert piece(110, 130, (0, 120)) == Piece(pytest.approx(100 * 110 / 120), pytest.approx(100 * 10 / 120), True)
    assert piece(110, 130, (120, 240)) == Piece(0, pytest.approx(100 * 10 / 120), False)
    assert piece(110, 120, (120, 240)) is None


def test_clock_and_percent_round_as_people_read_them():
    assert [clock(s) for s in (0, 7.99, 59.9999999, 754, 3723)] == ["0:00", "0:07", "1:00", "12:34", "1:02:03"]
    assert [percent(p) for p in (0, 0.001, 0.814, 0.999, 1)] == ["0 %", "< 1 %", "81 %", "> 99 %", "100 %"]


def test_hostile_speakers_texts_labels_and_reasons_stay_text(tmp_path):
    labels = (HOSTILE, "joy")
    shares = {HOSTILE: 0.6, "joy": 0.4}
    told = Moment(0, 2, HOSTILE, HOSTILE, HOSTILE, shares, {HOSTILE: HOSTILE})
    origin = replace(ORIGIN, model=HOSTILE, corpus=HOSTILE, network=HOSTILE, features=(HOSTILE,), errors={HOSTILE: 0.5})
    page = Page(html := written(tmp_path, Timeline(tmp_path / "a<b>.mp4", 3, True, labels, (told,), origin)))
    assert page.elements.count("script") == 2
    assert page.text.count(HOSTILE) >= 5
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert data(html)["labels"] == [HOSTILE, "joy"]


def test_the_browser_may_run_the_pages_own_script_alone_and_load_nothing_but_its_media(tmp_path):
    html = written(tmp_path, timeline(tmp_path / "talk.mp4", 3, moment(0, 2)))
    policy = dict(part.split(" ", 1) for part in re.search(r'Policy" content="(.*?)"', html)[1].split("; "))
    digest = base64.b64encode(sha256(html.split("<script>")[1].split("</script>")[0].encode()).digest()).decode()
    assert policy["default-src"] == "&#x27;none&#x27;"
    assert policy["script-src"] == f"&#x27;sha256-{digest}&#x27;"
    assert not re.search(r"https?:|@import|url\(", html)
    for word in ("fetch", "XMLHttpRequest", "WebSocket", "import(", "eval", "innerHTML"):
        assert word not in SCRIPT


@pytest.mark.parametrize("name", ["a talk.mp4", "50% #1?.mp4", "09:30.mp4", "лекция.webm", "'\"&<b>.mp4"])
def test_media_beside_the_page_and_in_other_folders_are_linked_by_an_address_that_leads_there(tmp_path, name):
    page = tmp_path / "pages" / "deep"
    page.mkdir(parents=True)
    for media in (page / name, tmp_path / "media" / name):
        address = source(written(page, timeline(media, 3, moment(0, 2))))
        assert not re.match(r"[^/]*:", address)
        assert not set(address) & set('?#"<> ')
        assert (page / unquote(address)).resolve() == media.resolve()


def test_an_embedded_page_holds_the_media_byte_by_byte(tmp_path):
    (tmp_path / "talk.wav").write_bytes(bytes(range(256)))
    html = written(tmp_path, timeline(tmp_path / "talk.wav", 3, moment(0, 2), has_picture=False), embed=True)
    kind, _, content = source(html).partition(";base64,")
    assert kind in ("data:audio/wav", "data:audio/x-wav")
    assert base64.b64decode(content) == bytes(range(256))
    assert "<audio" in html


def test_media_too_large_to_embed_are_refused_in_one_line(tmp_path):
    with (tmp_path / "talk.mp4").open("wb") as file:
        file.truncate(EMBEDDED + 2**20)
    with pytest.raises(TrainingError, match=r"talk\.mp4: expected at most 100 MB .* found 101 MB; leave --embed out"):
        written(tmp_path, timeline(tmp_path / "talk.mp4", 3, moment(0, 2)), embed=True)
    with pytest.raises(TrainingError, match=r"gone\.mp4: cannot be read"):
        written(tmp_path, timeline(tmp_path / "gone.mp4", 3, moment(0, 2)), embed=True)
    assert not (tmp_path / "page.html").exists()


def test_not_sure_and_no_speech_are_said_without_a_probability_and_look_different(tmp_path):
    unsure = moment(0, 2, label=NOT_SURE)
    silent = moment(3, 4, label=NO_SPEECH, probabilities={}, text="", absent={"audio": "silent", "visual": "no face"})
    html = written(tmp_path, timeline(tmp_path / "v.mp4", 5, unsure, silent))
    assert '<span class="chip unsure">not sure</span>' in html
    assert '<span class="chip silent">no speech</span>' in html
    assert re.search(r'<i class="unsure" data-i="0" style="[^"]*--n:0\.05', html)
    assert re.search(r'<i class="silent" data-i="1" style="[^"]*--n:0\.00', html)
    assert "no label reached 45 %" in html
    assert html.count("no audio: silent") == 2  # in the transcript, and on the strip of what was absent
    assert "no visual: no face" in html


def test_the_likeliest_label_counts_as_in_the_report_though_the_page_calls_it_not_sure(tmp_path):
    """The report that links the page said 3 of 6 right, the page 2 of 6."""
    sure = moment(0, 1, "joy", true="joy"), moment(1, 2, "anger", true="anger"), moment(2, 3, "anger", true="joy")
    unsure = [replace(moment(4, 5, "fear", true=label), label=NOT_SURE) for label in ("fear", "sadness")]
    silent = moment(6, 7, label=NO_SPEECH, probabilities={}, true="joy")
    told = timeline(tmp_path / "v.mp4", 9, *sure, *unsure, silent, moment(8, 9))
    text = " ".join(Page(written(tmp_path, told)).text)
    assert "· 3 of 5 as labelled, 1 of them “not sure”, 1 “no speech” ·" in text
    assert "a threshold chosen on validation; the figures here are of its likeliest label all the same." in text
    plain = " ".join(Page(written(tmp_path, timeline(tmp_path / "v.mp4", 9, *sure))).text)
    assert "· 2 of 3 as labelled ·" in plain


def test_the_page_says_what_the_model_was_trained_on_and_how_often_it_errs(tmp_path):
    text = " ".join(Page(written(tmp_path, timeline(tmp_path / "v.mp4", 5, moment(0, 2)))).text)
    assert (
        "guesses of BIG-FUSION (model a690e809, mean of 3 seeds), trained on MELD, from text, audio and visual" in text
    )
    assert "68 % of the test utterances of MELD" in text
    assert "weighted F1 66.71" in text
    assert "off by 4.2 points" in text
    assert re.search(r"fear\s+78 %", text)


def test_a_model_whose_errors_were_not_measured_says_so(tmp_path):
    bare = replace(ORIGIN, weighted_f1=None, accuracy=None, calibration_error=None, errors={}, threshold=0.0)
    text = " ".join(Page(written(tmp_path, timeline(tmp_path / "v.mp4", 5, moment(0, 2), origin=bare))).text)
    assert "How often it is wrong was not measured on test utterances of MELD." in text
    assert "threshold" not in text


def test_errors_by_label_that_are_not_known_are_said_to_be(tmp_path):
    older = replace(ORIGIN, errors={})
    text = " ".join(Page(written(tmp_path, timeline(tmp_path / "v.mp4", 5, moment(0, 2), origin=older))).text)
    assert "How often it errs on each label is not known" in text
    assert "are given another one" not in text


def test_scores_on_validation_are_not_called_test_scores(tmp_path):
    valid = replace(ORIGIN, scored=Split.VALID)
    text = " ".join(Page(written(tmp_path, timeline(tmp_path / "v.mp4", 5, moment(0, 2), origin=valid))).text)
    assert "68 % of the validation utterances of MELD" in text
    assert "Its epochs were chosen on these utterances" in text
    assert "How often validation utterances of MELD with this label are given another one" in text
    assert "test utterances" not in text


def test_no_epoch_is_said_to_be_chosen_of_a_network_that_is_fitted_at_once(tmp_path):
    origin = replace(ORIGIN, scored=Split.VALID)
    for fitted in (True, False):
        told = timeline(tmp_path / "v.mp4", 5, moment(0, 2), origin=replace(origin, fitted_at_once=fitted))
        assert ("Its epochs were chosen" in written(tmp_path, told)) is not fitted


def test_clips_one_after_the_other_are_told_to_the_script_with_their_places(tmp_path):
    clips = (Clip(tmp_path / "a.mp4", 0, 2), Clip(tmp_path / "b.mp4", 3, 2, offset=1), Clip(tmp_path / "a.mp4", 5, 1))
    told = data(html := written(tmp_path, timeline(tmp_path / "a.mp4", 6, moment(0, 2), clips=clips)))
    assert source(html) == "./a.mp4"
    assert told["files"] == ["./a.mp4", "./b.mp4"]
    assert told["clips"] == [[0, 0, 2, 0], [1, 3, 2, 1], [0, 5, 1, 0]]


def test_a_recording_without_moments_has_a_page_and_one_without_a_length_has_none(tmp_path):
    assert Page(written(tmp_path, timeline(tmp_path / "v.mp4", 5))).text
    with pytest.raises(TrainingError, match="expected a recording with a length, found 0"):
        written(tmp_path, timeline(tmp_path / "v.mp4", 0))


def test_two_hours_of_two_thousand_utterances_make_a_page_of_less_than_two_megabytes(tmp_path):
    html = written(tmp_path, long_timeline(tmp_path / "v.mp4"))
    assert len(html) < 2e6
    assert html.count("<li ") == 2000
    assert html.count('class="stretch"') == 60


MACHADO = {  # severity 1.0, for linear RGB: Machado, Oliveira and Fernandes (2009)
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def seen(colour: str, eye: np.ndarray) -> np.ndarray:
    """A colour in CIE L*a*b*, as an eye sees it."""
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    x, y, z = to_xyz @ np.clip(eye @ linear, 0, 1) / [0.9505, 1, 1.0888]
    f = [np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", MACHADO)
def test_the_colours_of_the_emotions_stay_apart_for_colour_blind_readers(eye):
    colours = label_colours([*LABELS, "excitement", "frustration"])
    for one, other in combinations(colours, 2):
        distance = np.linalg.norm(seen(colours[one], MACHADO[eye]) - seen(colours[other], MACHADO[eye]))
        assert distance > 20, (one, other)
