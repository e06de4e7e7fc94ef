"""From raw media to a score, and again after each kind of change: only what changed is done."""

import json
import os
import re
import shutil

import pandas as pd
import pytest

from bigfusion.extractors.audio import opensmile
from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from bigfusion.pipeline.demo.script import EXPECTED
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Modality


def answer(place, command, *arguments, code=0):
    place.capsys.readouterr()
    assert place.run(command, *arguments, "--json") == code
    return json.loads(place.capsys.readouterr().out)


def rewrite(place, old: str, new: str) -> None:
    table = place.corpus / "train_sent_emo.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))


def test_the_whole_road_leaves_what_it_says(place):
    metrics = answer(place, "evaluate")
    assert set(metrics) >= {"weighted_f1", "accuracy", "per_class", "confusion", "majority", "test_picking", "seeds"}
    assert 0 <= metrics["weighted_f1"] <= 1
    assert metrics["demo"] is True
    assert len(metrics["seeds"]) == 2
    run = place.folder / "work/runs" / metrics["run"]
    report = (run / "report.html").read_text()
    assert re.search("demo", report, re.IGNORECASE)
    predictions = pd.read_parquet(run / "predictions.parquet")
    assert set(predictions["split"]) == {"valid", "test"}


def test_bad_media_are_the_typed_rows_that_were_meant(place):
    project = load(place.config)
    manifest = corpus.kept(project)
    store = project.files.store()
    failed = {}
    plan = cells.plan(project, manifest)
    for modality in plan.features:
        keys = plan.fingerprints(modality)
        found = store.failures(keys)
        named = zip(manifest.table["utterance"], keys, strict=True)
        failed |= {utterance: found[key][0] for utterance, key in named if key in found}
    assert failed == dict(EXPECTED)


def test_a_second_run_does_nothing(place):
    before = place.shards()
    stamps = {path: path.stat().st_mtime_ns for path in (place.folder / "work/runs").rglob("*") if path.is_file()}
    assert answer(place, "plan")["pending_cells"] == 0
    place.run("run")
    shown = place.capsys.readouterr()
    assert "nothing to do: 0 cells to extract, model up to date" in shown.err
    assert "cells, labels, settings, seeds and code are unchanged" in shown.err
    assert place.shards() == before
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_the_flow_itself_skips_what_is_done(place):
    from bigfusion.flows.stages.retrain import retrain

    before = place.shards()
    assert place.run("status") == 0  # sets the log up
    retrain(load(place.config))
    err = place.capsys.readouterr().err
    assert "nothing to do: 0 cells to extract, model up to date" in err
    assert place.shards() == before


def test_a_changed_transcript_reruns_one_text_cell_and_the_training(place):
    rewrite(place, "We got the flat!", "We lost the flat.")
    plan = answer(place, "plan", code=2)
    assert plan["pending_cells"] == 1
    assert plan["cells"]["text"]["changed"] == 1
    assert plan["reasons"] == ["text: 1 changed transcript"]
    assert plan["stages"]["train"]["pending"]
    before = place.shards()
    assert place.run("run") == 0
    (new,) = place.shards().keys() - before.keys()
    assert new.startswith("text-")
    assert "changed since run" in place.capsys.readouterr().err
    assert len(list((place.folder / "work/runs").iterdir())) == 2
    assert answer(place, "plan")["pending_cells"] == 0


@pytest.mark.slow
def test_a_changed_line_reruns_the_cells_that_read_it(place):
    """The first line of a dialogue, which the two after it read as well."""
    settings = ("--set", "text.context=2", "--set", 'model.modalities=["text"]')
    assert place.run("extract", *settings) == 0
    assert answer(place, "plan", *settings, code=2)["pending_cells"] == 0
    rewrite(place, "We got the flat!", "We lost the flat.")
    plan = answer(place, "plan", *settings, code=2)
    assert set(plan["reasons"]) == {"text: 1 changed transcript", "text: 2 changed context"}
    found = [answer(place, "explain", f"train/dia0_utt{turn}", *settings)["cells"]["text"] for turn in range(4)]
    assert [cell["why"] for cell in found] == ["changed transcript", "changed context", "changed context", ""]
    assert [item["component"] for item in found[2]["differences"]] == ["input.-2"]
    assert place.run("extract", *settings) == 0
    assert answer(place, "plan", *settings, code=2)["pending_cells"] == 0


def test_a_changed_clip_reruns_two_cells(place):
    clip = place.corpus / "train_splits/dia0_utt0.mp4"
    clip.write_bytes(clip.read_bytes() + b"\x00\x00\x00\x08free")  # an empty box: other bytes, the same pictures
    plan = answer(place, "plan", code=2)
    assert plan["reasons"] == ["audio: 1 changed media file", "visual: 1 changed media file"]
    before = place.shards()
    assert place.run("extract") == 0
    assert {name.split("-")[0] for name in place.shards().keys() - before.keys()} == {"audio", "visual"}


def test_a_changed_setting_reruns_that_modality_alone(place):
    plan = answer(place, "plan", "--set", "text.layers=last4", code=2)
    total = sum(plan["cells"]["text"].values()) - plan["cells"]["text"]["orphaned"]
    assert plan["reasons"] == [f"text: setting layers default -> last4 ({total} cells)"]
    assert plan["cells"]["audio"]["changed"] == plan["cells"]["visual"]["changed"] == 0


def test_a_changed_training_setting_reruns_the_training_alone(place):
    plan = answer(place, "plan", "--set", "train.epochs=3", code=2)
    assert plan["pending_cells"] == 0
    assert plan["stages"]["train"]["why"].endswith("train epochs 2 -> 3")


@pytest.mark.slow
def test_a_run_takes_more_seeds_and_gives_fewer(place):
    (run,) = (place.folder / "work/runs").iterdir()
    trained = {path: path.stat().st_mtime_ns for path in run.glob("seed-*/trained.json")}
    one = answer(place, "run", "--set", "train.seeds=[1]")
    assert [seed["seed"] for seed in one["seeds"]] == [1]
    assert (
        answer(place, "plan", "--set", "train.seeds=[0, 1, 2]", code=2)["stages"]["train"]["why"]
        == f"run {run.name}: new seeds: 2"
    )
    three = answer(place, "run", "--seeds", "3")
    assert [seed["seed"] for seed in three["seeds"]] == [0, 1, 2]
    assert answer(place, "report", "--seeds", "3")["run"] == run.name
    assert answer(place, "evaluate", "--seeds", "3")["seeds"] == three["seeds"]
    assert answer(place, "plan", "--seeds", "3", code=0)["run"] == run.name
    assert place.run("report") == 1, "the settings' own two seeds are what is wanted without it"
    assert three["seeds"][1]["weighted_f1"] == one["weighted_f1"]
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert list((place.folder / "work/runs").iterdir()) == [run]
    assert answer(place, "plan", "--set", "train.seeds=[0, 1, 2]")["pending_cells"] == 0


def test_touch_and_a_moved_corpus_rerun_nothing(place):
    for path in place.corpus.rglob("*.mp4"):
        os.utime(path)
    moved = place.folder / "elsewhere"
    place.corpus.rename(moved)
    assert answer(place, "plan", "--set", f"corpus.root={moved}")["pending_cells"] == 0


def test_a_corpus_checked_out_again_reruns_nothing(place):
    """Other inodes, other times, the same bytes."""
    away = place.folder / "away"
    place.corpus.rename(away)
    shutil.copytree(away, place.corpus, copy_function=shutil.copyfile)
    assert answer(place, "plan")["pending_cells"] == 0


def test_a_clip_that_appears_is_computed(place):
    there = (place.corpus / "train_splits/dia0_utt0.mp4").read_bytes()
    (place.corpus / "train_splits/dia0_utt5.mp4").write_bytes(there + b"\x00\x00\x00\x08free")
    plan = answer(place, "plan", code=2)
    assert plan["reasons"] == ["audio: 1 media file added", "visual: 1 media file added"]


def test_a_failed_chunk_leaves_the_others_work(place, monkeypatch):
    from bigfusion.extractors.text.encoder import TextExtractor

    real, calls = TextExtractor.extract, []

    def failing(self, utterances, progress=lambda done: None):
        calls.append(len(utterances))
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return real(self, utterances, progress)

    monkeypatch.setattr(TextExtractor, "extract", failing)
    settings = ("--set", "text.layers=last4", "--set", "extract.retries=0")
    assert place.run("extract", *settings) == 1
    shown = place.capsys.readouterr().err
    assert "1 chunk failed, 2 stored; run the same command again to go on" in shown
    assert "First error: Input/output error" in shown, "the extractor's, not the store's"
    left = answer(place, "plan", *settings, code=2)["pending_cells"]
    assert left == calls[1]
    assert place.run("extract", *settings) == 0
    assert sum(calls) == calls[1] + answer(place, "plan", *settings, code=2)["cells"]["text"]["done"]


def test_a_clip_that_changes_under_the_run_is_not_stored_under_the_old_fingerprint(place):
    project = load(place.config, None, ["audio.silence_rms=2e-4"])
    manifest = corpus.ingest(project).manifest
    clip = place.corpus / "train_splits/dia0_utt0.mp4"
    clip.write_bytes(clip.read_bytes() + b"\x00\x00\x00\x08free")
    (part,) = [c for c in cells.plan(project, manifest).pending(Modality.AUDIO) if c.utterance == "train/dia0_utt0"]
    before = place.shards()
    (result,) = cells.extract_chunk(project, manifest, [part], "run")
    assert result.statuses == {"error": 1}
    assert "audio of train/dia0_utt0" in result.faults[0]
    assert "found it changed since" in result.faults[0]
    assert place.shards() == before


@pytest.mark.slow
def test_a_cell_that_fails_leaves_its_chunk_and_its_modality(place, monkeypatch):
    """One clip goes while the run is under way, another breaks a library: all other cells are there, and it is said."""

    project = load(place.config, None, ["audio.silence_rms=2e-4"])
    pending = cells.plan(project, corpus.kept(project)).pending(Modality.AUDIO)
    real, away = opensmile.read_audio, []

    def broken(span, *more):
        if not away:
            away.append(place.corpus / "train_splits/dia0_utt0.mp4")
            away[0].rename(place.folder / "away.mp4")
        if span.path.name == "dia0_utt1.mp4" and "train" in span.path.parent.name:
            raise ZeroDivisionError("a sample rate of 0")
        return real(span, *more)

    monkeypatch.setattr(opensmile, "read_audio", broken)
    settings = ("--set", "audio.silence_rms=2e-4")
    assert place.run("extract", *settings) == 1
    shown = place.capsys.readouterr().err
    assert "audio of train/dia0_utt1: an error that nobody foresaw: ZeroDivisionError: a sample rate of 0" in shown
    assert "audio of train/dia0_utt0: " in shown
    assert "2 cells failed, what was computed beside them is stored; run the same command again" in shown
    (place.folder / "away.mp4").rename(away[0])
    plan = answer(place, "plan", *settings, code=2)
    assert plan["pending_cells"] == 2
    assert plan["cells"]["audio"]["done"] + plan["cells"]["audio"]["failed"] == len(pending) - 2
    monkeypatch.setattr(opensmile, "read_audio", real)
    assert place.run("extract", *settings) == 0


def test_a_chunk_without_one_cell_ends_its_modality(place, monkeypatch):
    """A library that is broken fails every clip: that is said once, not once a clip."""

    calls = []

    def broken(span, *more):
        calls.append(span)
        raise ZeroDivisionError("a sample rate of 0")

    monkeypatch.setattr(opensmile, "read_audio", broken)
    assert place.run("extract", "--set", "audio.silence_rms=2e-4", "--set", "extract.chunk_size=4") == 1
    assert len(calls) == 4
    assert "not one cell of a chunk" in place.capsys.readouterr().err


@pytest.mark.slow
def test_an_error_that_passes_is_retried(place, monkeypatch):
    from bigfusion.extractors.text.encoder import TextExtractor

    real, calls = TextExtractor.extract, []

    def failing(self, utterances, progress=lambda done: None):
        calls.append(1)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        return real(self, utterances, progress)

    monkeypatch.setattr(TextExtractor, "extract", failing)
    assert place.run("extract", "--set", "text.layers=last4", "--set", "extract.chunk_size=64") == 0
    assert len(calls) == 2


def test_failures_are_tried_again_on_request_only(place):
    assert place.run("extract") == 0
    assert "0 cells to extract" in place.capsys.readouterr().err
    before = place.shards()
    assert place.run("extract", "--retry-failed") == 0
    assert "retry of corrupt_media" in place.capsys.readouterr().err
    assert len(place.shards()) > len(before)


@pytest.mark.slow
def test_what_was_lost_of_a_run_is_made_again(place):
    (run,) = (place.folder / "work/runs").iterdir()
    for lost in ("metrics.json", "predictions.parquet", "report.html"):
        (run / lost).rename(place.folder / lost)
        assert answer(place, "plan", code=2)["stages"]["evaluate"]["pending"], lost
        (place.folder / lost).rename(run / lost)
    assert answer(place, "plan")["pending_cells"] == 0
    (run / "seed-1/checkpoint.safetensors").unlink()
    (run / "metrics.json").unlink()
    assert answer(place, "plan", code=2)["stages"]["train"]["pending"]
    assert len(answer(place, "run")["seeds"]) == 2
    assert answer(place, "plan")["pending_cells"] == 0


def test_the_manifest_of_the_workspace_is_a_manifest(place):
    manifest = Manifest.read(place.folder / "work/manifest.parquet")
    assert manifest.corpus == "meld"
    assert set(manifest.counts()["dialogues"]) == {"train", "valid", "test"}


@pytest.mark.slow
def test_the_report_shows_the_ablations_wherever_they_were_made(place):
    """As README says: the next `evaluate` shows them, those of the run itself before those of its workspace."""
    (run,) = (place.folder / "work/runs").iterdir()
    score = {"mean": 0.5, "std": None, "values": [0.5]}
    data = json.loads((run / "seed-0/checkpoint.json").read_text())["data"]["digest"]
    for folder, name in ((place.folder / "work/reproduction", "w/o GCL"), (run / "reproduction", "w/o SNN")):
        assert place.run("evaluate") == 0
        assert name not in (run / "report.html").read_text()
        folder.mkdir()
        row = {"name": name, "accuracy": score, "weighted_f1": score, "paper": None, "against_complete": None}
        made = {"rows": [row], "seeds": [0], "scored": "test", "data": data}
        (folder / "table-4.json").write_text(json.dumps(made))
        stage = answer(place, "plan", code=2)["stages"]["evaluate"]
        assert stage["why"].endswith("scored, but its report does not show the ablations as they are now")
        assert place.run("evaluate") == 0
        assert name in (run / "report.html").read_text()
    assert "w/o GCL" not in (run / "report.html").read_text()
    assert answer(place, "plan", code=0)["pending_cells"] == 0
