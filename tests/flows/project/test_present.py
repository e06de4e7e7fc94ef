"""Labels and splits that were changed after ingest reach every command, and those of a trial reach no other one."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project import corpus
from bigfusion.flows.project.load import load
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import keep_scanned, load_kept, look
from bigfusion.flows.project.standing import load as load_standing
from bigfusion.pipeline.corpora.source import UNKNOWN, read_source, source_of
from tests.helpers.tiny_media import write_wav

CHANGED = "have changed since ingest"


@pytest.fixture
def config(tmp_path) -> Path:
    """A project on imported features of three classes."""
    rows = [
        {"dialogue": split + str(d), "utterance": f"{split}{d}/{t}", "speaker": "AB"[t % 2], "split": split,
         "label": ("joy", "anger", "calm")[(d + t) % 3], "text": [float(d), float(t)]}
        for split in ("train", "valid", "test") for d in range(2) for t in range(3)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "mine.parquet")
    assert cli.main(["import", str(tmp_path / "mine.parquet"), str(tmp_path / "mine")]) == 0
    return tmp_path / "mine/bigfusion.toml"


def write_map(config: Path, label_map: str) -> None:
    config.write_text(config.read_text().replace("[corpus]", f"[corpus]\nlabel_map = {label_map}", 1))


def exported(config: Path, name: str, *more: str) -> set[str]:
    """The labels of an export."""
    folder = config.parent / name
    assert cli.main(["export", str(folder), "--config", str(config), *more]) == 0
    return {label for path in folder.glob("data/*.parquet") for label in pq.read_table(path)["label"].to_pylist()}


def test_a_label_map_reaches_an_export_and_a_training_without_ingest(config, capsys):
    kept = load(config).files.manifest.read_bytes()
    assert exported(config, "before") == {"joy", "anger", "calm"}
    assert CHANGED not in capsys.readouterr().err
    write_map(config, '{"calm" = "joy"}')
    assert exported(config, "after") == {"joy", "anger"}
    (line,) = [line for line in capsys.readouterr().err.splitlines() if CHANGED in line]
    assert line.endswith("`bigfusion ingest` keeps what it finds")
    assert set(load_standing(load(config)).manifest.labels) == {"joy", "anger"}
    assert cli.main(["status", "--config", str(config)]) == 0
    assert "6 test utterances; settings or labels changed since: run `bigfusion ingest`" in capsys.readouterr().out
    assert load(config).files.manifest.read_bytes() == kept, "only ingest, extract and run write it"


def test_an_extraction_with_nothing_to_compute_keeps_the_new_labels(config, capsys):
    write_map(config, '{"calm" = "joy"}')
    assert cli.main(["extract", "--config", str(config)]) == 0
    assert "18 utterances in 6 dialogues, 0 skipped; manifest changed" in capsys.readouterr().err
    assert set(corpus.kept(load(config)).labels) == {"joy", "anger"}
    assert exported(config, "after") == {"joy", "anger"}
    assert CHANGED not in capsys.readouterr().err


def test_the_labels_of_a_trial_stay_with_the_trial(config, capsys):
    trial = ("--set", 'corpus.label_map={"joy"="anger"}')
    assert cli.main(["extract", "--config", str(config), *trial]) == 0
    assert corpus.kept(load(config)).labels == ("anger", "calm"), "the trial's flows, workers too, go by it"
    assert exported(config, "trial", *trial) == {"anger", "calm"}
    assert CHANGED not in capsys.readouterr().err
    assert exported(config, "plain") == {"joy", "anger", "calm"}
    assert CHANGED in capsys.readouterr().err


def test_a_trial_keeps_what_its_scan_found_of_media(tmp_path):
    """The next command with the same options trains on them."""
    config = table(tmp_path, "joy")
    corpus.ingest(load(config))
    write_wav(tmp_path / "a.wav", seconds=3.0)
    trial = ("--set", "model.width=64", "--set", "extract.chunk_size=4")
    before = corpus.kept(load(config)).digest
    project = load(config, None, [trial[1], trial[3]])
    keep_scanned(project, look(project, trial="model.width=64"))
    assert corpus.kept(load(config)).digest != before


def test_a_flow_on_a_worker_goes_by_the_kept_manifest(tmp_path):
    """What its command has planned: a label that changes meanwhile is the next command's."""
    config = table(tmp_path, "joy")
    project = load(config)
    corpus.ingest(project)
    table(tmp_path, "anger")
    assert load_kept(project).manifest.labels == ("joy", "sad")
    assert load_standing(project).manifest.labels == ("anger", "sad")


def test_a_project_of_an_earlier_version_that_cannot_be_written_has_nothing_to_do(tmp_path, monkeypatch):
    config = table(tmp_path, "joy")
    project = load(config)
    corpus.ingest(project)
    project.files.source.unlink()
    standing = look(project)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        keep_scanned(project, standing)
    assert not project.files.source.exists()
    keep_scanned(project, look(project))
    assert corpus.look(project).is_kept


def refused(*_args, **_kwargs):
    raise OSError(30, "Read-only file system")


def table(folder: Path, label: str) -> Path:
    """A project on a table, which is also in its place as CSV."""
    write_wav(folder / "a.wav")
    rows = "".join(f"d{k},0,s,words,{label if k else 'sad'},a.wav\n" for k in range(20))
    (folder / "t.csv").write_text(f"dialogue,turn,speaker,text,label,media\n{rows}", encoding="utf-8")
    (folder / "bigfusion.toml").write_text('[corpus]\nkind = "table"\npath = "t.csv"\n', encoding="utf-8")
    return folder / "bigfusion.toml"


def test_labels_that_were_changed_in_the_table_are_found_and_those_out_of_reach_are_not(tmp_path):
    config = table(tmp_path, "joy")
    corpus.ingest(load(config))
    assert corpus.present(load(config)).labels == ("joy", "sad")
    table(tmp_path, "anger")
    assert corpus.present(load(config)).labels == ("anger", "sad")
    (tmp_path / "t.csv").unlink()
    assert corpus.present(load(config)).labels == ("joy", "sad"), "a machine without the corpus can train"


def test_a_run_that_finds_the_same_rows_in_another_table_keeps_its_source(tmp_path):
    config = table(tmp_path, "joy")
    project = load(config)
    corpus.ingest(project)
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text() + "\n")
    found = corpus.look(project)
    assert (found.changed, found.is_kept) == (False, False)
    corpus.keep(project, found)
    assert corpus.look(project).is_kept


def test_a_manifest_of_an_earlier_version_counts_as_present_and_says_so(tmp_path, caplog):
    config = table(tmp_path, "joy")
    project = load(config)
    corpus.ingest(project)
    source = project.files.source.read_bytes()
    project.files.source.unlink()
    table(tmp_path, "anger")
    assert corpus.present(project).labels == ("joy", "sad")
    assert "nothing says from which settings and labels it was made" in caplog.text
    corpus.ingest(project)
    caplog.clear()
    assert corpus.present(project).labels == ("anger", "sad")
    assert caplog.text == ""
    project.files.source.write_bytes(source)
    assert read_source(project.files.source, corpus.kept(project)) == UNKNOWN, "it is another manifest's"


def test_a_worker_sees_the_same_source(tmp_path):
    project = load(table(tmp_path, "joy"))
    sent = Project.model_validate(json.loads(json.dumps(project.parameters())))
    digests = project.files.digests()
    assert source_of(sent.corpus, digests) == source_of(project.corpus, digests)
