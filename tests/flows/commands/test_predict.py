"""``bigfusion predict`` on the demo's conversation: the line that `bigfusion demo` ends with, and what it prints."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigfusion.flows import cli
from bigfusion.flows.commands.demo import next_line
from bigfusion.flows.commands.predict import _text
from bigfusion.pipeline.demo.conversation import write_conversation
from bigfusion.pipeline.media.facts import media_facts
from bigfusion.pipeline.schema import Split
from tests.helpers.timelines import ORIGIN


def test_the_score_beside_the_model_says_whether_it_is_of_the_seeds_together_or_their_mean():
    """`test WF1 66.4` stood there, where `evaluate` and `models` said 62.9 by the same name."""

    def line(**changes: object) -> str:
        return _text(SimpleNamespace(origin=replace(ORIGIN, **changes)), SimpleNamespace(timelines=()), [])

    assert line().startswith("model     a690e809: bigfusion on MELD, the 3 seeds together: test WF1 66.7; not sure")
    assert "on MELD, mean of 3 seeds: test WF1 66.7; " in line(averaged=True)
    assert "on MELD, 1 seed: validation WF1 66.7; " in line(seeds=1, scored=Split.VALID)
    assert "on MELD, 3 seeds; not sure" in line(weighted_f1=None)


@pytest.mark.slow
def test_the_demos_conversation_is_predicted_from_all_it_has(place, monkeypatch):
    video = write_conversation(place.folder, place.corpus)
    assert media_facts(video).seconds > 15
    assert place.run("predict", str(video), "--json") == 0
    first = json.loads(place.capsys.readouterr().out)
    (recording,) = first["recordings"]
    assert first["computed"] == {"audio": 7, "visual": 7}  # its words are the demo's: the text cells are there
    assert recording["utterances"] == 7
    assert first["warnings"] == []
    page = (video.with_name("conversation-predictions") / "timeline.html").read_text()
    assert "They gave me the lead!" in page
    assert place.run("predict", str(video), "--subtitles", str(video.with_suffix(".srt")), "--json") == 0
    again = json.loads(place.capsys.readouterr().out)
    assert again["computed"] == {}
    assert again["recordings"] == first["recordings"]


@pytest.mark.slow
def test_a_video_without_a_face_is_predicted_from_words_and_sound_and_says_so(place):
    (place.folder / "wall.mp4").write_bytes((place.corpus / "train_splits/dia1_utt1.mp4").read_bytes())
    (place.folder / "wall.srt").write_text("1\n00:00:00,000 --> 00:00:01,500\nOkay, everything is fine.\n")
    assert place.run("predict", str(place.folder / "wall.mp4"), "--json") == 0
    (line,) = [line for line in json.loads(place.capsys.readouterr().out)["warnings"] if "visual" in line]
    assert line.startswith("wall.mp4: visual is absent from its only utterance (no_face: wall.mp4: expected a face of ")
    assert line.endswith("; predicted from text and audio alone")


@pytest.mark.slow
def test_several_videos_go_into_folders_of_one_out(place):
    video = write_conversation(place.folder, place.corpus)
    other = video.with_name("other.mp4")
    other.write_bytes(video.read_bytes())
    other.with_suffix(".srt").write_bytes(video.with_suffix(".srt").read_bytes())
    out = place.folder / "out"
    assert place.run("predict", str(video), str(other), "--out", str(out), "--embed") == 0
    said = place.capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"conversation", "other"}
    assert "conversation.mp4: 22 s, 7 utterances: " in said
    assert "not sure below" in said
    assert "(ECE)" in said
    assert len((out / "other/timeline.html").read_bytes()) > len(other.read_bytes())


@pytest.mark.slow
def test_the_line_after_the_demo_works(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    line = next_line(write_conversation(Path(), place.corpus), Path("bigfusion.toml"))
    assert line == "bigfusion predict conversation.mp4 --subtitles conversation.srt --config bigfusion.toml"
    assert cli.main(line.split()[1:]) == 0
    assert "conversation.mp4: 22 s, 7 utterances: " in place.capsys.readouterr().out


def test_in_the_demos_usual_folder_the_line_needs_no_settings_file():
    line = next_line(Path("demo/conversation.mp4"), Path("demo/bigfusion.toml"))
    assert line == "bigfusion predict demo/conversation.mp4 --subtitles demo/conversation.srt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4"], r"none\.mp4: expected a video or a sound file, found no file of that name"),
        (["none.mp4", "--run", "zzz"], "run zzz: expected one evaluated run, found "),
        (
            ["none.mp4", "--model", "no/where/at-all"],
            "no/where/at-all: expected a run's folder, a project or a published",
        ),
    ],
)
def test_what_cannot_be_predicted_is_one_line(place, arguments, message):
    assert (cli.main(["predict", *arguments]) if "--model" in arguments else place.run("predict", *arguments)) == 1
    (line,) = [line for line in place.capsys.readouterr().err.splitlines() if line.startswith("bigfusion: ")]
    assert re.search(message, line)


CLIPS = Path(__file__).parents[3].parent / "shared/data/clips"
SAID = {
    "retalk_1": "My biggest weakness is asking for help when needed.",
    "retalk_2": "the heart of my California congressional district, where I chased my own dreams growing up",
    "retalk_3": "everyone here today endeavoring towards a better, more just future for our country and our world",
}


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.exists(), reason="needs the talking-head clips in ../shared/data/clips")
def test_talking_heads_as_they_come_go_through(place):
    videos = [place.folder / f"{name}.mp4" for name in SAID]
    for video, words in zip(videos, SAID.values(), strict=True):
        video.write_bytes((CLIPS / video.name).read_bytes())
        video.with_suffix(".vtt").write_text(f"WEBVTT\n\n00:00.000 --> 00:04.800\n<v Speaker>{words}\n")
    assert place.run("predict", *map(str, videos), "--out", str(place.folder / "out"), "--json") == 0
    found = json.loads(place.capsys.readouterr().out)
    assert found["computed"] == {"text": 3, "audio": 3, "visual": 3}
    for name in SAID:
        (moment,) = json.loads((place.folder / "out" / name / "predictions.json").read_text())
        assert moment["absent"] == {}
        assert sum(moment["probabilities"].values()) == pytest.approx(1)
