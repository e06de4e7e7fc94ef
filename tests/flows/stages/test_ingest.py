"""What ingest says: only what is left out is skipped, rows without a label are counted, decisions are told."""

import logging
import re

from bigfusion.flows import cli
from bigfusion.flows.project import corpus
from bigfusion.flows.project.load import load
from bigfusion.flows.stages.ingest import keep
from tests.helpers.tiny_media import write_wav


def singles(folder) -> str:
    """Single utterances without transcripts, two of each of ten speakers, as EmoDB is."""
    write_wav(folder / "a.wav")
    labels = ["calm", "angry", "nan"]
    rows = "".join(f"d{k},0,s{k % 10},,{labels[k % 3]},a.wav\n" for k in range(20))
    (folder / "t.csv").write_text(f"dialogue,turn,speaker,text,label,media\n{rows}", encoding="utf-8")
    (folder / "bigfusion.toml").write_text('[corpus]\nkind = "table"\npath = "t.csv"\n', encoding="utf-8")
    return str(folder / "bigfusion.toml")


def test_nothing_is_skipped_where_rows_only_lack_a_transcript(tmp_path, caplog):
    project = load(singles(tmp_path))
    with caplog.at_level(logging.INFO, logger="bigfusion"):
        keep(project, corpus.look(project))
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == (
        "ingest: t: 20 utterances in 20 dialogues (20 without media or a transcript), 0 skipped; manifest changed"
    )
    assert said[1] == "ingest: note: 6 of 20 rows have no label (nan 6)"
    assert any("speakers are in train as well" in line for line in said)


def test_the_summary_counts_what_has_no_label_and_repeats_the_notes(tmp_path, capsys):
    config = singles(tmp_path)
    assert cli.main(["ingest", "--config", config]) == 0
    shown = capsys.readouterr().out
    assert "skipped" not in shown
    assert "incomplete (in the manifest all the same): 20 missing_transcript" in shown
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("  (no label)")]
    assert sum(map(int, row[2:])) == 6
    assert "\nnote: 6 of 20 rows have no label (nan 6)" in shown


def test_recordings_whose_split_changes_with_their_names_are_said(tmp_path, capsys):
    """The splits of 12 recordings in 12 folders stay until one is added whose file has a name that is there."""

    def record(name: str, number: int) -> None:
        write_wav(tmp_path / name, 0.3, 200 + 10 * number)
        (tmp_path / name).with_suffix(".csv").write_text(f"start,end,speaker,text\n0,0.2,A,number {number}\n")

    def splits() -> dict[str, str]:
        table = corpus.kept(load(config)).table
        return dict(zip(table["audio_sha256"], table["split"], strict=True))

    def ingested() -> str:
        assert cli.main(["ingest", "--config", str(config)]) == 0
        return capsys.readouterr().out

    config = tmp_path / "bigfusion.toml"
    config.write_text('[corpus]\nkind = "subtitles"\nmedia = ["."]\n')
    for number in range(12):
        record(f"s{number}/talk{number}.wav", number)
    assert "another split" not in ingested()
    first = splits()
    record("s98/other.wav", 98)
    assert "another split" not in ingested()
    assert {name: splits()[name] for name in first} == first
    first = splits()
    record("s99/talk3.wav", 99)
    keep(load(config), corpus.look(load(config)))
    number = sum(splits()[name] != split for name, split in first.items())
    assert number
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "another split" in line]
    assert re.match(rf"ingest: {number} of 13 dialogues .* \(the first: talk\d+ was in \w+, s\d+/talk\d+ is in ", line)
    assert line.endswith("give added files names that no other has, and the former splits are back")
    (tmp_path / "s99/talk3.wav").rename(tmp_path / "s99/talk99.wav")
    (tmp_path / "s99/talk3.csv").rename(tmp_path / "s99/talk99.csv")
    assert re.search(r"\nnote: \d of 14 dialogues .* another split now", ingested())
    assert {name: splits()[name] for name in first} == first
    assert "another split" not in ingested()
