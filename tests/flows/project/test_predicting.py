"""A trained run predicts new recordings: what is computed, what is said, and what comes back from annotators."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

import bigfusion
from bigfusion.flows import cli
from bigfusion.flows.commands.predict import _text
from bigfusion.flows.project import cells, find_model, prediction_files, runs
from bigfusion.flows.project.assemble import assemble
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.load import load_project
from bigfusion.flows.project.predicting import Prediction, Vectors, _warnings, every, predict, subtitles
from bigfusion.flows.project.prediction_frames import frame
from bigfusion.model.data.batch import Dialogue
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.cogmen import COGMENSettings
from bigfusion.model.runs import checkpoint
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.predict import choose_device
from bigfusion.model.scoring.predict import predict as logits_of
from bigfusion.pipeline.corpora.scan import SubtitleSettings, scan
from bigfusion.pipeline.corpora.subtitles import recordings
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import BigFusionError, CorpusError, TrainingError
from bigfusion.pipeline.schema import FeatureName, Split
from tests.helpers import trained_recordings
from tests.helpers.tiny_encoder import save_roberta
from tests.helpers.tiny_media import write_avi, write_wav
from tests.helpers.trained_recordings import CONFIG, LABELS, new_recording


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A trained project, once for this file. Not to be changed, except for its store."""
    return trained_recordings.make(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def model(made):
    return find_model.load(made.parent)


@pytest.fixture
def changed(made, tmp_path) -> Path:
    """The settings file of a copy of the project, to be changed."""
    shutil.copytree(made.parent, tmp_path / "copy")
    return tmp_path / "copy" / "bigfusion.toml"


def run_folder(config: Path) -> Path:
    (run,) = runs.runs(load_project(config))
    return Path(run["folder"])


@pytest.mark.parametrize("setting", ['model.modalities=["text"]', 'model.features=["text"]'])
def test_a_feature_of_the_training_that_is_not_computed_is_named(model, tmp_path, setting):
    with pytest.raises(TrainingError, match="features that it was trained on, found no audio; use the settings"):
        model.predict(new_recording(tmp_path), settings=[setting])


def test_a_new_recording_gets_a_row_an_utterance(model, tmp_path):
    table = model.predict(new_recording(tmp_path))
    assert table["speaker"].tolist() == ["Anna", "Ben", "Anna"]
    assert table["start"].tolist() == [0.0, 0.6, 1.2]
    assert table["text"].tolist()[2] == "What?"
    assert set(table["label"]) <= {*LABELS, "not sure"}
    sums = table[[f"p_{label}" for label in LABELS]].sum(axis=1)
    assert sums.to_numpy() == pytest.approx(1)
    assert (table["absent"] == "").all()


def test_probabilities_are_the_mean_over_the_seeds_at_the_temperature(model, made, tmp_path):
    """Against the same features and checkpoints, put together here."""
    path = new_recording(tmp_path)
    table = model.predict(path)
    text, audio = (bigfusion.extract(
        path, modalities=[name], settings=[f"text.model={made.parent / 'encoder'}"], workspace=tmp_path / "features"
    ) for name in ("text", "audio"))  # fmt: skip
    dialogue = Dialogue(
        "new", ("0", "1", "2"),
        {"text": text.features["text"], "audio": audio.features["audio"]},
        {"text": text.present["text"], "audio": audio.present["audio"]},
        np.array([0, 1, 0]), np.array([-1, -1, -1]),
    )  # fmt: skip
    cpu = choose_device("cpu")
    each = [
        logits_of(checkpoint.load(run_folder(made) / f"seed-{seed}", cpu).network, [dialogue], cpu, 1)
        .softmax(1)
        .numpy()
        for seed in (0, 1)
    ]
    powers = np.mean(each, axis=0) ** (1 / model.trust.temperature)
    expected = powers / powers.sum(1, keepdims=True)
    assert table[[f"p_{label}" for label in LABELS]].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_the_seeds_that_were_scored_answer_and_no_others_in_the_folder(changed, tmp_path):
    """Five seeds, and later `run --seeds 1`: score, temperature and threshold are of the one that was scored last."""
    project, run = load_project(changed), run_folder(changed)
    manifest = kept(project)
    evaluate(run, assemble(project, manifest, cells.plan(project, manifest)), [1], "cpu")
    path = new_recording(tmp_path, "scored")
    model = find_model.load(run, "cpu")
    assert [seed.facts.seed for seed in model.seeds] == [1]
    assert model.origin.seeds == 1
    found = model.predict(path)
    shutil.rmtree(run / "seed-0")
    pd.testing.assert_frame_equal(found, find_model.load(run, "cpu").predict(path))


def test_a_second_call_computes_nothing_and_a_changed_line_one_text_cell(model, tmp_path):
    path = new_recording(tmp_path, "again")
    first = model.timelines(path)
    assert first.computed["audio"] == 3
    again = model.timelines(path)
    assert again.computed == {}
    assert again.timelines == first.timelines
    srt = path.with_suffix(".srt")
    srt.write_text(srt.read_text().replace("What?", "What did you say?"))
    assert model.timelines(path).computed == {"text": 1}


def test_another_recording_does_not_load_the_encoder_again(model, tmp_path):
    model.predict(new_recording(tmp_path, "loaded"))
    before = {id(extractor) for extractor in cells._kept.values()}
    model.predict(new_recording(tmp_path, "reloaded"))
    assert {id(extractor) for extractor in cells._kept.values()} == before


def test_an_interrupted_call_goes_on_where_it_stopped(model, tmp_path, monkeypatch):
    path = new_recording(tmp_path, "interrupted")
    whole, calls = cells.extract_chunk, []

    def stopped(*given: object) -> object:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(cells, "extract_chunk", stopped)
    with pytest.raises(KeyboardInterrupt):
        model.timelines(path, settings=["extract.chunk_size=1"])
    monkeypatch.undo()
    assert model.timelines(path).computed == {"audio": 2}


def test_a_model_on_features_with_frames_predicts_from_their_vectors_and_stores_no_frames(model, tmp_path, caplog):
    framed = CONFIG.replace('model = "encoder"', 'model = "encoder"\nlevel = "frame"\n\n[audio]\nlevel = "frame"')
    (tmp_path / "framed").mkdir()
    config = trained_recordings.make(tmp_path / "framed", framed)
    own = tmp_path / "framed/work/store"
    before = {path.name for path in own.rglob("*") if path.is_file()}
    assert any(name.endswith(".frames") for name in before)
    path = new_recording(tmp_path)
    expected = model.predict(path)
    with caplog.at_level(logging.WARNING, "bigfusion"):
        caplog.clear()
        found = find_model.load(config.parent).predict(path)
    pd.testing.assert_frame_equal(found, expected)
    assert caplog.messages == [], "the same code made these vectors"
    made = {path.name for path in own.rglob("*") if path.is_file()} - before
    assert [name for name in made if name.startswith(("text-", "audio-"))]
    assert [name for name in made if "framed" in name or name.endswith(".frames")] == []
    project = load_project(config)
    assert cells.plan(project, kept(project)).pending_count == 0, "its own cells are what they were"


def test_several_recordings_are_one_plan_and_each_is_predicted_as_if_alone(model, tmp_path):
    first, second = new_recording(tmp_path, "one"), new_recording(tmp_path, "two")
    second.with_suffix(".srt").write_text("1\n00:00:00,100 --> 00:00:01,000\nMaybe.\n")
    both = model.predict([first, second])
    assert both["recording"].tolist() == ["one.wav"] * 3 + ["two.wav"]
    pd.testing.assert_frame_equal(both[:3], model.predict(first))
    pd.testing.assert_frame_equal(both[3:].reset_index(drop=True), model.predict(second))


def test_the_cells_lie_in_the_projects_store(model, made, tmp_path):
    before = {path.name for path in (made.parent / "work/store").rglob("*.parquet")}
    path = new_recording(tmp_path, "stored")
    path.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:00,900\nSomething nobody said before.\n")
    model.predict(path)
    after = {path.name for path in (made.parent / "work/store").rglob("*.parquet")}
    assert len(after - before) == 2
    assert len(kept(load_project(made))) == 12  # the project's own manifest is untouched


def test_where_nothing_is_heard_seen_or_said_no_label_is_guessed(model, tmp_path):
    path = write_avi(tmp_path / "mute.avi", 1.9)
    corpus = {**subtitles([path]), "whole": True}
    (timeline,) = predict(model, model.project(corpus)).timelines
    (moment,) = timeline.moments
    assert (moment.label, moment.probabilities, moment.start, moment.end) == ("no speech", {}, 0.0, timeline.seconds)
    assert moment.absent == {"text": moment.absent["text"], "audio": "no_audio: mute.avi has no sound"}
    assert timeline.has_picture
    table = frame([timeline])
    assert table["confidence"].tolist() == [0.0]
    assert table[["p_anger", "p_joy"]].isna().all(axis=None)


def test_a_recording_without_sound_says_so_in_one_line(model, tmp_path, caplog):
    path = write_avi(tmp_path / "mute.avi", 1.9)
    new_recording(tmp_path, "mute")
    with caplog.at_level(logging.WARNING):
        found = model.timelines(path)
    (line,) = [line for line in found.warnings if "audio" in line]
    assert line == (
        "mute.avi: audio is absent from all 3 utterances (no_audio: mute.avi has no sound); predicted from text alone"
    )
    assert [message for message in caplog.messages if "audio" in message or "train" in message] == [f"predict: {line}"]


def test_a_silence_in_a_recording_says_what_its_utterances_are_predicted_from(model, tmp_path):
    path = new_recording(tmp_path, "stille")
    samples, rate = sf.read(path)
    samples[round(1.2 * rate) :] = 0
    sf.write(path, samples, rate)
    (line,) = model.timelines(path).warnings
    assert line.startswith("stille.wav: audio is absent from 1 of 3 utterances (silent: stille.wav: ")
    assert line.endswith("); predicted from text alone")


def test_each_lack_of_a_recording_has_a_line_with_what_is_left(model, tmp_path):
    """Rows lack: nothing, audio, visual, both, both; the second of the last two for another reason."""
    audio, visual, text = (FeatureName(name) for name in ("audio", "visual", "text"))
    vectors = {
        text: Vectors(np.zeros((5, 1), np.float32), np.ones(5, bool)),
        audio: Vectors(
            np.zeros((5, 1), np.float32), np.array([True, False, True, False, False]),
            {1: "silent: a", 3: "silent: b", 4: "overlong: c"},
        ),
        visual: Vectors(
            np.zeros((5, 1), np.float32), np.array([True, True, False, False, False]),
            dict.fromkeys((2, 3, 4), "no_face: d"),
        ),
    }  # fmt: skip
    facts = model.seeds[0].facts.model_copy(update={"model": BigFusionSettings(), "absent": {"audio": 3, "visual": 0}})
    learned = replace(model, seeds=(replace(model.seeds[0], facts=facts),))
    path = new_recording(tmp_path, "five")
    path.with_suffix(".srt").write_text("".join(f"{n}\n00:00:0{n},0 --> 00:00:0{n},9\nYes.\n\n" for n in range(5)))
    write_wav(path, 5.0, 300)
    project = model.project(subtitles([path]))
    manifest = scan(project.corpus, FileDigests(tmp_path / "digests.sqlite"))
    assert _warnings(learned, manifest, recordings(project.corpus)[0], vectors)[:3] == [
        "five.wav: audio is absent from 1 of 5 utterances (silent: a); predicted from text and visual alone",
        "five.wav: visual is absent from 1 of 5 utterances (no_face: d); predicted from text and audio alone, though"
        " training never lacked visual: its absent vector was never learned",
        "five.wav: audio and visual are absent from 2 of 5 utterances (audio: silent: b; also overlong; visual:"
        " no_face: d); predicted from text alone, though training never lacked visual: its absent vector was never"
        " learned",
    ]


def test_more_speakers_than_the_network_tells_apart_are_said(model, tmp_path):
    assert not any("speakers" in line for line in model.timelines(new_recording(tmp_path)).warnings)
    facts = model.seeds[0].facts.model_copy(update={"model": COGMENSettings(speakers=1)})
    small = replace(model, seeds=(replace(model.seeds[0], facts=facts), *model.seeds[1:]))
    (line,) = [line for line in small.timelines(new_recording(tmp_path)).warnings if "speakers" in line]
    assert "has 2 speakers, and the network tells 1 apart (model.speakers of its training)" in line


def test_a_recording_shorter_than_every_dialogue_of_the_training_is_said(model, tmp_path):
    """Unless the network reads each utterance by itself, as this model's does."""
    path = new_recording(tmp_path)

    def said(shortest: int, network: NetworkSettings) -> list[str]:
        facts = model.seeds[0].facts.model_copy(update={"model": network})
        makers = model.makers.model_copy(update={"shortest": shortest})
        other = replace(model, makers=makers, seeds=(replace(model.seeds[0], facts=facts), *model.seeds[1:]))
        return [line for line in other.timelines(path).warnings if "shortest" in line]

    assert model.makers.shortest == 2
    assert said(3, COGMENSettings()) == said(4, model.seeds[0].facts.model) == []
    (line,) = said(4, COGMENSettings())
    assert "new.wav: has 3 utterances, and the shortest dialogue of the training has 4" in line


def test_the_threshold_makes_an_answer_not_sure(model, tmp_path):
    strict = replace(model, trust=model.trust.model_copy(update={"threshold": 1.01}))
    table = strict.predict(new_recording(tmp_path))
    assert table["label"].tolist() == ["not sure"] * 3
    assert table["confidence"].tolist() == model.predict(new_recording(tmp_path))["confidence"].tolist()


def test_where_came_it_from(model, made):
    metrics = json.loads((run_folder(made) / "metrics.json").read_text())
    origin = model.origin
    assert (origin.corpus, origin.network, origin.seeds) == ("recorded", "logistic", 2)
    assert (origin.scored, origin.weighted_f1) == (metrics["scored"], metrics["weighted_f1"])
    assert origin.accuracy == metrics["together"]["accuracy"]
    assert origin.errors == model.trust.errors
    assert (origin.threshold, origin.calibration_error) == (model.trust.threshold, model.trust.calibration_error)
    assert origin.features[0].startswith("text: ")


def test_the_score_on_the_last_line_names_its_split(model, tmp_path, monkeypatch, capsys):
    path = new_recording(tmp_path)
    for split, said in ((Split.TEST, " together: test WF1 "), (Split.VALID, " together: validation WF1 ")):
        known = replace(model, origin=replace(model.origin, scored=split))
        monkeypatch.setattr(find_model, "load", lambda where, known=known: known)
        assert cli.main(["predict", str(path), "--run", str(model.source)]) == 0
        assert said in capsys.readouterr().out


def test_a_short_recording_of_one_utterance_is_said_so(model, tmp_path):
    (timeline,) = model.timelines(new_recording(tmp_path)).timelines
    short = replace(timeline, seconds=0.05, moments=timeline.moments[:1])
    first, *_ = _text(model, Prediction((short,), {}), [{"timeline.html": tmp_path / "timeline.html"}]).splitlines()
    assert first == f"new.wav: 0.05 s, 1 utterance: 1 {timeline.moments[0].label}"
    assert [every(number) for number in (1, 2, 3)] == ["its only utterance", "both utterances", "all 3 utterances"]


def test_a_run_is_found_by_its_folder_its_id_and_its_project(made, model):
    folder = run_folder(made)
    project = load_project(made)
    for found in (find_model.load(folder), find_model.load(made), find_model.current(project, folder.name[:6])):
        assert (found.name, found.place["workspace"]["store"]) == (folder.name, str(made.parent / "work/store"))
    with pytest.raises(TrainingError, match=r"run zzz: expected one evaluated run, found .*; `bigfusion models`"):
        find_model.current(project, "zzz")


def test_another_language_is_noticed(model, tmp_path):
    path = new_recording(tmp_path, "german")
    path.with_suffix(".srt").write_text(
        "1\n00:00:00,000 --> 00:00:01,800\nIch habe dir doch gesagt, dass wir heute nicht mehr dorthin fahren,"
        " weil der Weg durch den Wald bei diesem Wetter viel zu gefährlich ist.\n"
    )
    (line,) = [line for line in model.timelines(path).warnings if "language" in line]
    assert line.startswith("german.wav: seems to be in another language than the model's training texts")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "seed-1/checkpoint.safetensors").write_bytes(b"x"), r"checkpoint\.safetensors: "),
        (lambda run: (run / "seed-1/checkpoint.json").write_text("{"), r"checkpoint\.json: "),
        (lambda run: (run / "predictions.parquet").unlink(), r"expected the run's predictions, found .*evaluate"),
        (lambda run: (run / "extractors.json").write_text("[]"), r"extractors\.json: "),
        (lambda run: (run / "run.json").write_text("{}"), r"expected a run's folder, a project or a published model"),
        (lambda run: shutil.rmtree(run / "seed-0") or shutil.rmtree(run / "seed-1"), r"expected a finished seed"),
    ],
)
def test_a_damaged_run_is_one_line(changed, spoil, message):
    folder = run_folder(changed)
    spoil(folder)
    with pytest.raises(BigFusionError, match=message) as raised:
        find_model.load(folder)
    assert "\n" not in str(raised.value)


def test_other_weights_than_in_training_are_refused(changed, tmp_path):
    save_roberta(changed.parent / "encoder", layers=4, seed=7)
    path = new_recording(tmp_path)
    settings = [f"text.model={changed.parent / 'encoder'}"]
    with pytest.raises(TrainingError, match=r"expects the features that it was trained on, found text: other weights"):
        find_model.load(run_folder(changed)).predict(path, settings=settings)
    with pytest.raises(TrainingError, match=r"found audio: other settings"):
        find_model.load(run_folder(changed)).predict(path, settings=["text.device=cpu", "audio.silence_rms=0.5"])


def test_a_run_on_imported_features_says_that_nothing_computes_them(changed):
    folder = run_folder(changed)
    content = json.loads((folder / "extractors.json").read_text()) | {"kind": "features"}
    (folder / "extractors.json").write_text(json.dumps(content))
    with pytest.raises(TrainingError, match=r"was trained on imported features .*no extractor computes those"):
        find_model.load(folder)


def test_a_run_of_an_earlier_version_is_recorded_when_it_is_the_present_one(changed, made):
    folder = run_folder(changed)
    content = (folder / "extractors.json").read_text()
    (folder / "extractors.json").unlink()
    with pytest.raises(TrainingError, match="expected how the run's features were made"):
        find_model.load(folder)
    find_model.load(changed)
    assert (folder / "extractors.json").read_text() == content.replace(str(made.parent), str(changed.parent))


def written(model, path: Path, folder: Path, monkeypatch) -> dict[str, Path]:
    """The files of one recording without the page, which has tests of its own."""
    monkeypatch.setattr(prediction_files, "_page", lambda *_: {})
    (timeline,) = model.timelines(path).timelines
    return prediction_files.write(timeline, folder)


def test_the_files_say_the_same(model, tmp_path, monkeypatch):
    path = new_recording(tmp_path)
    table = model.predict(path).drop(columns="recording")
    files = written(model, path, tmp_path / "out", monkeypatch)
    pd.testing.assert_frame_equal(pd.read_parquet(files["predictions.parquet"]), table)
    csv = pd.read_csv(files["predictions.csv"], keep_default_na=False)
    assert csv["label"].tolist() == table["label"].tolist()
    moments = json.loads(files["predictions.json"].read_text())
    assert [*moments[0]] == ["start", "end", "speaker", "text", "label", "probabilities", "absent"]
    assert [moment["label"] for moment in moments] == table["label"].tolist()
    assert moments[1]["probabilities"] == {label: table[f"p_{label}"][1] for label in LABELS}
    assert f"<v Anna><b>[{table['label'][0]}]</b> Okay" in files["predictions.vtt"].read_text()


@pytest.mark.parametrize("suffix", ["eaf", "TextGrid", "csv", "json"])
def test_what_annotators_corrected_comes_back_as_labels_to_train_on(model, tmp_path, suffix, monkeypatch):
    path = new_recording(tmp_path)
    files = written(model, path, tmp_path / "out", monkeypatch)
    given = model.predict(path)["label"].tolist()
    corrected = tmp_path / f"corrected.{suffix}"
    wanted = ["joy" if label == "anger" else "anger" for label in given]
    correct(files[f"predictions.{suffix}"], corrected, dict(zip((0.0, 0.6, 1.2), wanted, strict=True)))
    settings = SubtitleSettings(kind="subtitles", media=[path], transcripts=[corrected])
    found = scan(settings, FileDigests(tmp_path / "digests.sqlite")).table
    assert found["label"].tolist() == wanted
    assert found["text"].tolist() == ["Okay, everything is fine, really!", "No, no! He's totally lost it.", "What?"]
    assert found["speaker"].tolist() == ["Anna", "Ben", "Anna"]
    assert found["audio_start"].tolist() == [0.0, 0.6, 1.2]


def correct(source: Path, target: Path, labels: dict[float, str]) -> None:
    """Write other labels at these times, as an annotator would in the tool that the file belongs to."""
    if source.suffix == ".eaf":
        from pympi.Elan import Eaf

        file = Eaf(str(source))
        for name in [name for name in file.get_tier_names() if name.startswith("emotion@")]:
            for start, end, *_ in file.get_annotation_data_for_tier(name):
                file.remove_annotation(name, (start + end) // 2)
                file.add_annotation(name, start, end, labels[start / 1000])
        file.to_file(str(target))
    elif source.suffix == ".TextGrid":
        from praatio import textgrid

        grid = textgrid.openTextgrid(str(source), includeEmptyIntervals=False)
        for name in [name for name in grid.tierNames if name.startswith("emotion@")]:
            tier = grid.getTier(name)
            grid.replaceTier(name, tier.new(entries=[(a, b, labels[a]) for a, b, _ in tier.entries]))
        grid.save(str(target), format="short_textgrid", includeBlankSpaces=True)
    elif source.suffix == ".csv":
        table = pd.read_csv(source)
        table.assign(label=table["start"].map(labels)).to_csv(target, index=False)
    else:
        moments = [moment | {"label": labels[moment["start"]]} for moment in json.loads(source.read_text())]
        target.write_text(json.dumps(moments))


def test_folders_of_several_recordings_do_not_collide(model, tmp_path):
    (timeline,) = model.timelines(new_recording(tmp_path)).timelines
    several = [
        replace(timeline, media=Path(name)) for name in ("a/talk.mp4", "b/talk.mp4", "c/other.mp4", "c/other.wav")
    ]
    names = [str(path) for path in prediction_files.folders(several, Path("out"))]
    assert names == ["out/talk-1", "out/talk-2", "out/other-1", "out/other-2"]
    beside = [str(path) for path in prediction_files.folders(several, None)]
    assert beside == ["a/talk-predictions", "b/talk-predictions", "c/other-predictions-1", "c/other-predictions-2"]
    assert prediction_files.folders(several[:1], Path("out")) == [Path("out")]


def test_features_of_any_files_without_a_project(made, tmp_path, caplog):
    path = new_recording(tmp_path)
    path.with_suffix(".srt").unlink()
    caplog.set_level(logging.WARNING, "bigfusion")
    features = bigfusion.extract(path, modalities=["audio"], workspace=tmp_path / "work")
    assert features.features["audio"].shape == (1, 1582)
    assert features.present["audio"].tolist() == [True]
    assert features.manifest.table["utterance"].tolist() == ["new/0"]
    assert caplog.messages == []
    bigfusion.extract(write_avi(tmp_path / "mute.avi"), modalities=["audio"], workspace=tmp_path / "work")
    assert caplog.messages == ["extract: audio is absent from its only utterance (no_audio: mute.avi has no sound)"]
    with pytest.raises(CorpusError, match="expected a video or a sound file"):
        bigfusion.extract(tmp_path / "none.mp4", workspace=tmp_path / "work")
