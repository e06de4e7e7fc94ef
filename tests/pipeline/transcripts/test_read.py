"""Transcripts as people have them, format by format: their cues, compared with what was written by hand."""

import json
from pathlib import Path

import pytest

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.transcripts import elan, rttm, textgrid, vtt
from bigfusion.pipeline.transcripts.cue import Cue
from bigfusion.pipeline.transcripts.read import Transcript, beside, read_transcript
from bigfusion.pipeline.transcripts.words import spoken

SRT = """1
00:00:01,000 --> 00:00:02,500
Hello there.

2
00:01:03,250 --> 00:01:04,000
How are you?
"""


def cues(path: Path, content: str | bytes) -> list[Cue]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_transcript(path).cues)


def test_subrip_gives_times_and_words(tmp_path):
    assert cues(tmp_path / "a.srt", SRT) == [Cue(1, 2.5, "Hello there."), Cue(63.25, 64, "How are you?")]


@pytest.mark.parametrize(
    "times",
    [
        "00:00:06 --> 00:00:07",
        "00: 00: 06,000 --> 00: 00: 07,000",
        "00:06,000 --> 00:07,000",
        "00:00:06,000 -->",
        "--> 00:00:07,000",
        "00:00:06 –> 00:00:07",
        "00;00;06,000 → 00;00;07,000",
        "6 --> 7",
        "100:00:06,000 --> 100:00:07,000",
    ],
)
def test_times_that_the_reader_does_not_know_are_refused_and_never_read_as_words(tmp_path, times):
    words = SRT.replace("Hello there.", "From A --> B, 2 -> 3")
    assert len(cues(tmp_path / "words.srt", words)) == 2
    for number, known in [(2, "00:00:01,000 --> 00:00:02,500"), (6, "00:01:03,250 --> 00:01:04,000")]:
        with pytest.raises(CorpusError, match=rf"line {number}: expected times like .*, found .*; correct that line"):
            cues(tmp_path / "a.srt", words.replace(known, times))
    with pytest.raises(CorpusError, match=r"line 4: expected times like 00:01\.000 --> 00:02\.000, found "):
        cues(tmp_path / "a.vtt", f"WEBVTT\n\n1\n{times}\nI hate you!\n\n00:08.000 --> 00:09.000\nBye.\n")


@pytest.mark.parametrize(
    "said", ["3.5 -> 4", "12:30 -> 13:00", "$1,000 -> $2,000", "1,000 → 2,000", "10.12.2020 -> 11.12.2020", "2 --> 3"]
)
def test_numbers_and_an_arrow_are_words_where_words_stand(tmp_path, said):
    assert cues(tmp_path / "a.srt", SRT.replace("Hello there.", said))[0].text == said


def test_an_arrow_of_other_hyphens_is_refused_where_its_cue_would_be_dropped(tmp_path):
    with pytest.raises(CorpusError, match="line 3: expected times like"):
        cues(
            tmp_path / "a.vtt",
            "WEBVTT\n\n00:06.000 \u2011\u2011> 00:07.000\nI hate you!\n\n00:08.000 --> 00:09.000\nBye.\n",
        )


def test_lines_that_end_in_a_carriage_return_are_lines(tmp_path):
    assert cues(tmp_path / "a.srt", SRT.replace("\n", "\r")) == cues(tmp_path / "b.srt", SRT)
    assert cues(tmp_path / "c.srt", SRT.replace("\n", "\r\n")) == cues(tmp_path / "b.srt", SRT)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, coding):
    assert cues(tmp_path / "a.srt", SRT.replace("Hello", "Élan").encode(coding))[0].text == "Élan there."


def test_an_english_apostrophe_in_cp1252_is_read(tmp_path):
    assert cues(tmp_path / "a.srt", SRT.replace("Hello", "It’s").encode("cp1252"))[0].text == "It’s there."


def test_other_bytes_are_never_guessed_but_read_in_the_encoding_that_is_named(tmp_path):
    path = tmp_path / "a.srt"
    path.write_bytes(SRT.replace("Hello there.", "Désolé, je suis désolé, très fâché.").encode("cp1252"))
    with pytest.raises(CorpusError, match=r"a\.srt: expected UTF-8, found byte 0xe9 .*corpus\.encoding"):
        read_transcript(path)
    assert read_transcript(path, "cp1252").cues[0].text == "Désolé, je suis désolé, très fâché."


def test_tags_dashes_and_sounds_are_no_words():
    assert spoken("<i>Hello</i> {\\an8}<font color='red'>you</font>") == "Hello you"
    assert spoken("- What?\n- Nothing.") == "What? Nothing."
    assert spoken("[door slams] Who is it?") == "Who is it?"
    assert spoken("(laughs)") == ""
    assert spoken("I said (and meant) it. 2 < 3 &amp; more") == "I said (and meant) it. 2 < 3 & more"
    assert spoken("Now<00:00:05.500><c>then</c>") == "Nowthen"


def test_songs_and_empty_cues_are_left_out_and_said(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text(SRT + "\n3\n00:02:00,000 --> 00:02:01,000\n♪ la la ♪\n\n4\n00:02:02,000 --> 00:02:03,000\n\n")
    transcript = read_transcript(path)
    assert len(transcript.cues) == 2
    assert transcript.notes == ("a.srt: 2 cues are left out: without words (music, sounds, empty)",)


def test_cues_out_of_order_are_sorted_and_reversed_ones_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("start,end,speaker,text\n5,6,Anna,later\n1,2,Anna,first\n9,8,Anna,backwards\n")
    transcript = read_transcript(path)
    assert [cue.text for cue in transcript.cues] == ["first", "later"]
    assert "1 cue is left out: the end is not after the start; the first at 9 s: 'backwards'" in transcript.notes[0]
    assert "were sorted" in transcript.notes[1]


def test_overlapping_cues_stay_as_they_are(tmp_path):
    found = cues(tmp_path / "a.csv", "start,end,speaker,text\n0,3,Anna,one\n1,2,Ben,two\n")
    assert found == [Cue(0, 3, "one", "Anna"), Cue(1, 2, "two", "Ben")]


def test_webvtt_names_its_voices_and_splits_a_cue_of_two(tmp_path):
    text = (
        "WEBVTT - a title\n\nNOTE nothing\n\nSTYLE\n::cue { color: red }\n\n"
        "1\n00:01.000 --> 00:02.500 align:start\n<v Roger Bingham>We are in <b>New</b> York\n"
        "<v.loud Anna>Yes &amp; no\n\n"
        "01:00:05.000 --> 01:00:06.000\nTOM: Bye\n"
    )
    assert cues(tmp_path / "a.vtt", text) == [
        Cue(1, 2.5, "We are in New York", "Roger Bingham"),
        Cue(1, 2.5, "Yes & no", "Anna"),
        Cue(3605, 3606, "Bye", "TOM"),
    ]


def test_a_name_in_front_is_a_speaker_only_where_it_is_sure(tmp_path):
    prefixed = SRT.replace("Hello", "Anna: Hello").replace("How", "Ben: How")
    assert [cue.speaker for cue in cues(tmp_path / "a.srt", prefixed)] == ["Anna", "Ben"]
    more = SRT + "".join(f"\n{n}\n00:03:{n:02},000 --> 00:03:{n + 1:02},000\nText.\n" for n in range(3, 9))
    once = cues(tmp_path / "b.srt", more.replace("Hello", "Note: Hello"))
    assert (once[0].speaker, once[0].text) == ("", "Note: Hello there.")
    shouted = cues(tmp_path / "c.srt", more.replace("Hello", "TOM: Hello"))
    assert (shouted[0].speaker, shouted[0].text) == ("TOM", "Hello there.")
    whisperx = cues(tmp_path / "d.srt", more.replace("Hello", "[SPEAKER_00]: Hello"))
    assert (whisperx[0].speaker, whisperx[0].text) == ("SPEAKER_00", "Hello there.")


def test_names_that_were_taken_out_of_texts_are_said_unless_every_text_has_one(tmp_path):
    path, said = tmp_path / "a.csv", ["Look: a bird", "I see.", "Look: a cat", "Yes.", "TOM: No."]

    def notes() -> tuple[str, ...]:
        rows = [f"{turn},{turn + 1},{text}" for turn, text in enumerate(said)]
        path.write_text("\n".join(["start,end,text", *rows]) + "\n")
        return read_transcript(path).notes

    assert notes() == (
        "a.csv: words before a colon count as speakers' names and not as text: Look (2), TOM (1); if some are"
        " no names, write them without the colon",
    )
    said[:] = ["Anna: a bird", "BEN: I see.", "Anna: a cat", "[S1]: Yes."]
    assert notes() == ()
    said[:] = ["[S1]: a bird", "I see.", "Yes.", "No.", "Note: once"]
    assert notes() == ()


def test_whisper_and_whisperx_segments(tmp_path):
    segments = [{"id": 0, "start": 0.5, "end": 1.5, "text": " Hello.", "speaker": "SPEAKER_01", "words": []}]
    assert cues(tmp_path / "a.json", json.dumps({"segments": segments, "language": "en"})) == [
        Cue(0.5, 1.5, "Hello.", "SPEAKER_01")
    ]
    cpp = {"transcription": [{"offsets": {"from": 500, "to": 1500}, "text": " Hello."}]}
    assert cues(tmp_path / "b.json", json.dumps(cpp)) == [Cue(0.5, 1.5, "Hello.")]


@pytest.mark.parametrize("content", ["{", '{"text": "no segments"}', '{"segments": [{"start": 1}]}', "[1]"])
def test_json_of_another_kind_is_refused_in_one_line(tmp_path, content):
    with pytest.raises(CorpusError, match=r"a\.json: expected JSON with \"segments\".*save the transcript") as raised:
        cues(tmp_path / "a.json", content)
    assert "\n" not in str(raised.value)


def test_a_table_takes_clocks_and_seconds(tmp_path):
    text = "start;end;speaker;text;label\n00:00:01,500;1:02,25;Anna;hello;joy\n63,5;64;Ben;bye;\n"
    assert cues(tmp_path / "a.csv", text) == [Cue(1.5, 62.25, "hello", "Anna", "joy"), Cue(63.5, 64, "bye", "Ben")]


def test_a_table_without_times_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="expected the columns start, end, speaker and text, found text"):
        cues(tmp_path / "a.csv", "text\nhello\n")
    with pytest.raises(CorpusError, match="column end: expected seconds"):
        cues(tmp_path / "b.csv", "start,end,text\n1,soon,hello\n")


SAID = [
    Cue(0.5, 1.25, "Where were you?", "Anna", "anger"),
    Cue(1.0, 2.0, "At home — all day.", "Ben", "not sure"),
    Cue(2.0, 3.0, "I see.", "Anna", "neutral"),
]
BACK = [Cue(cue.start, cue.end, cue.text, cue.speaker, "" if cue.label == "not sure" else cue.label) for cue in SAID]


def test_textgrid_and_elan_bring_words_speakers_and_labels_back(tmp_path):
    for path, content in [
        (tmp_path / "a.TextGrid", textgrid.written(SAID, 4.0)),
        (tmp_path / "a.eaf", elan.written(SAID, tmp_path / "a.mp4")),
    ]:
        assert cues(path, content) == BACK
        assert read_transcript(path).notes == ()  # the speakers' tiers stand one after the other, and are in order


def test_webvtt_shows_the_emotion_and_a_player_reads_it_back(tmp_path):
    text = vtt.written([*SAID, Cue(4, 5, "a --> b <c>", "", "")])
    assert "00:00:00.500 --> 00:00:01.250\n<v Anna><b>[anger]</b> Where were you?" in text
    found = cues(tmp_path / "a.vtt", text)
    assert [(cue.start, cue.end, cue.speaker) for cue in found[:3]] == [(c.start, c.end, c.speaker) for c in SAID]
    assert found[3].text == "a --> b <c>"


def test_an_elan_file_as_annotators_make_it(tmp_path):
    """Tiers with participants; a label tier that hangs on the words; a translation below, which is no utterance."""
    from pympi.Elan import Eaf

    file = Eaf()
    file.remove_tier("default")
    file.add_linguistic_type("translation", constraints="Symbolic_Association", timealignable=False)
    file.add_tier("words-1", part="Anna")
    file.add_annotation("words-1", 1000, 2000, "Bonjour.")
    file.add_tier("english-1", ling="translation", parent="words-1", part="Anna")
    file.add_ref_annotation("english-1", "words-1", 1500, "Good day.")
    file.add_tier("emotion@Anna", ling="translation", parent="words-1", part="Anna")
    file.add_ref_annotation("emotion@Anna", "words-1", 1500, "joy")
    file.to_file(str(tmp_path / "a.eaf"))
    assert list(read_transcript(tmp_path / "a.eaf").cues) == [Cue(1, 2, "Bonjour.", "Anna", "joy")]


@pytest.mark.parametrize("kind", ["eaf", "TextGrid"])
def test_labels_without_an_owner_are_said(tmp_path, kind):
    path = tmp_path / f"a.{kind}"

    def annotated(**tiers: list[tuple[float, float, str]]) -> Transcript:
        write_tiers(path, {name.replace("_", "@"): spans for name, spans in tiers.items()})
        return read_transcript(path)

    words = [(0.0, 1.0, "one"), (1.0, 2.0, "two")]
    sad, first = [(0.0, 2.0, "sad")], f"{path.name}: 1 label is left out, the first 'sad' at 0 s: "
    found = annotated(Anna=words, emotion_anna=sad)
    assert ([cue.label for cue in found.cues], found.notes) == (["sad", "sad"], ())
    found = annotated(Anna=words, anna=words, emotion_ANNA=sad)
    assert found.notes[0] == f"{first}expected the tier emotion@NAME of a speaker (Anna, anna), found that of ANNA"
    found = annotated(Anna=words[1:], emotion_Anna=[(0.0, 1.0, "sad"), (1.0, 2.0, "joy")])
    assert ([cue.label for cue in found.cues], found.notes) == (["joy"], (f"{first}no words of Anna overlap them",))
    found = annotated(Anna=words[1:], emotion=[(0.0, 1.0, "no speech"), (1.0, 2.0, "joy")])
    assert found.notes == ()


def write_tiers(path: Path, tiers: dict[str, list[tuple[float, float, str]]]) -> None:
    if path.suffix == ".eaf":
        from pympi.Elan import Eaf

        file = Eaf()
        file.remove_tier("default")
        for name, spans in tiers.items():
            file.add_tier(name)
            for start, end, text in spans:
                file.add_annotation(name, round(start * 1000), round(end * 1000), text)
        file.to_file(str(path))
    else:
        from praatio.data_classes.interval_tier import IntervalTier
        from praatio.data_classes.textgrid import Textgrid

        grid = Textgrid(0, 2)
        for name, spans in tiers.items():
            grid.addTier(IntervalTier(name, spans, 0, 2))
        grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)


def test_elans_times_begin_at_the_offset_of_the_recording(tmp_path):
    from pympi.Elan import Eaf

    def annotated(**origins: int | None) -> Path:
        file = Eaf()
        for name, origin in origins.items():
            url = f"file:///C:/my%20talks/{name.replace('_', '.')}"
            file.add_linked_file(url, mimetype="unknown", time_origin=origin)
        file.add_tier("Anna")
        file.add_annotation("Anna", 1000, 2500, "Bonjour.")
        file.add_tier("emotion@Anna")
        file.add_annotation("emotion@Anna", 1000, 2500, "joy")
        file.to_file(str(tmp_path / "a.eaf"))
        return tmp_path / "a.eaf"

    def start(path: Path, media: str = "talk.mp4") -> float:
        (cue,) = read_transcript(path, media=tmp_path / media).cues
        assert (round(cue.end - cue.start, 3), cue.label) == (1.5, "joy")
        return cue.start

    assert start(annotated()) == start(annotated(talk_mp4=None)) == 1
    assert start(annotated(talk_mp4=5000)) == start(annotated(talk_wav=5000)) == start(annotated(other_mp4=5000)) == 6
    several = annotated(talk_mp4=5000, talk_wav=None, closeup_mp4=250)
    assert [start(several, name) for name in ("talk.mp4", "talk.wav", "closeup.wav")] == [6, 1, 1.25]
    with pytest.raises(CorpusError, match=r"a\.eaf: expected talk\.mkv among the linked media, .*talk\.wav with 0 ms"):
        start(several, "talk.mkv")


@pytest.mark.parametrize("name", ["a.TextGrid", "a.eaf", "a.vtt", "a.srt"])
@pytest.mark.parametrize("content", [b"", b"something else", b"<xml", bytes(range(1, 128))])
def test_a_file_of_another_kind_is_one_line_with_the_remedy(tmp_path, name, content):
    with pytest.raises(CorpusError, match=r"expected .*, found .*; ") as raised:
        cues(tmp_path / name, content)
    assert "\n" not in str(raised.value)


def test_rttm_names_who_speaks_longest_in_each_cue(tmp_path):
    path = tmp_path / "a.rttm"
    path.write_text(
        ";; comment\nSPEAKER talk 1 0.0 2.0 <NA> <NA> anna <NA> <NA>\nSPEAKER talk 1 2.0 1.5 <NA> <NA> ben <NA> <NA>\n"
        "SPEAKER other 1 0.0 9.0 <NA> <NA> carl <NA> <NA>\n"
    )
    turns = rttm.read(path, "talk")
    said = [Cue(0.5, 1.5, "a"), Cue(1.5, 3.5, "b"), Cue(8, 9, "c", "own")]
    assert [cue.speaker for cue in rttm.with_speakers(said, turns)] == ["anna", "ben", "own"]
    with pytest.raises(CorpusError, match=r"expected turns of movie, found talk, other"):
        rttm.read(path, "movie")
    path.write_text("SPEAKER talk 1 zero\n")
    with pytest.raises(CorpusError, match="turn 1: expected SPEAKER FILE CHANNEL START"):
        rttm.read(path)


def test_the_transcript_beside_a_recording_is_found(tmp_path):
    for name in ("talk.mp4", "talk.eaf", "talk.mp4.vtt", "other.mp4"):
        (tmp_path / name).touch()
    assert beside(tmp_path / "talk.mp4") == tmp_path / "talk.mp4.vtt"
    assert beside(tmp_path / "other.mp4") is None


def test_an_unknown_ending_and_a_missing_file_name_the_remedy(tmp_path):
    with pytest.raises(CorpusError, match=r"expected a transcript whose name ends in one of \.srt, .*found '\.docx'"):
        cues(tmp_path / "a.docx", "x")
    with pytest.raises(CorpusError, match="found no such file; check --subtitles"):
        read_transcript(tmp_path / "none.srt")
