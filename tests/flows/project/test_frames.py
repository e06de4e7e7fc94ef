"""A project with ``level = "frame"``: extracted, exported in every layout, and trained as one without."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from bigfusion.extractors.frames import FramedFeature
from bigfusion.flows import cli
from bigfusion.flows.project import cells, corpus, export_layouts
from bigfusion.flows.project.computing import compute
from bigfusion.flows.project.load import load_project
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.schema import FeatureName
from bigfusion.pipeline.sequences import spans_of
from tests.helpers.clip_maker import write_clip
from tests.helpers.tiny_encoder import save_roberta
from tests.helpers.tiny_images import saved
from tests.helpers.tiny_speech import save_speech, voice

pytestmark = pytest.mark.slow

SPLITS = ["train"] * 5 + ["valid"] * 2 + ["test"] * 2
SECONDS = (0.6, 1.1, 0.8, 0.6, 1.4, 0.7, 0.9, 0.6, 1.0)
SILENT = 3
FEATURES = ("text", "audio", "audio.wavlm", "visual.vit")
CONFIG = """
[corpus]
kind = "table"
path = "utterances.csv"

[text]
model = "FOLDER/roberta"
level = "LEVEL"

[audio]
feature_set = "emobase"
level = "LEVEL"

[audio.wavlm]
kind = "transformer"
model = "FOLDER/wavlm"
pooling = "mean+std"
device = "cpu"
level = "LEVEL"

[visual.vit]
kind = "image_encoder"
model = "FOLDER/vit"
on = "frame"
device = "cpu"
level = "LEVEL"

[model]
features = ["text", "opensmile", "wavlm", "vit"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine clips of a voice and moving greys, extracted with frames; the sound of one is silence."""
    folder = tmp_path_factory.mktemp("project")
    save_roberta(folder / "roberta")
    save_speech(folder / "wavlm", "wavlm")
    saved(folder / "vit", "vit")
    lines = ["dialogue,turn,speaker,text,label,split,media"]
    for number, (seconds, split) in enumerate(zip(SECONDS, SPLITS, strict=True)):
        greys = [np.full((48, 64, 3), 17 * shade + number, np.uint8) for shade in range(round(seconds * 10))]
        sound = np.zeros(round(seconds * 16_000), np.float32) if number == SILENT else voice(seconds, number)
        write_clip(folder / f"{number}.mkv", greys, sound[None], fps=10, audio="pcm_s16le")
        emotion = ["joy", "anger", "neutral"][number % 3]
        lines.append(f"{split}{number // 3},{number},A,This is number {number}.,{emotion},{split},{number}.mkv")
    (folder / "utterances.csv").write_text("\n".join(lines) + "\n")
    config = CONFIG.replace("FOLDER", str(folder))
    (folder / "bigfusion.toml").write_text(config.replace("LEVEL", "frame"))
    (folder / "plain.toml").write_text(config.replace("LEVEL", "utterance") + '\n[workspace]\npath = "plain"\n')
    for project in (framed(folder), plain(folder)):
        planned = cells.plan(project, corpus.ingest(project).manifest)
        compute(project, planned, "test")
    return folder


def framed(folder: Path) -> Project:
    return load_project(folder / "bigfusion.toml")


def plain(folder: Path) -> Project:
    return load_project(folder / "plain.toml")


def stored(project: Project, feature: str):
    """Vectors, and frames by row."""
    planned = cells.plan(project, corpus.kept(project))
    name = FeatureName(feature)
    keys = planned.fingerprints(name)
    with project.files.store() as store:
        found = store.read(name.modality, keys)
        return found, dict(store.frames(keys, store.frames_places(name.modality, keys)))


@pytest.mark.parametrize("feature", FEATURES)
def test_the_vectors_are_those_of_a_project_without_frames(folder: Path, feature: str) -> None:
    with_frames, frames = stored(framed(folder), feature)
    without, none = stored(plain(folder), feature)
    np.testing.assert_array_equal(with_frames.values, without.values)
    np.testing.assert_array_equal(with_frames.present, without.present)
    assert none == {}
    assert frames.keys() == set(np.flatnonzero(with_frames.present).tolist())
    assert (len(frames) < 9) == feature.startswith("audio")


def command(folder: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    capsys.readouterr()
    assert cli.main([*words, "--config", str(folder / "bigfusion.toml"), "--json"]) == code
    out = capsys.readouterr()
    return json.loads(out.out) if code == 0 else {"error": out.err or out.out}


def test_parquet_holds_frames_and_times_of_every_row(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("bigfusion.flows.project.exporting_frames.TOGETHER", 40_000)  # several blocks a split
    command(folder, capsys, "export", str(tmp_path / "out"))
    seen = 0
    for feature in FEATURES:
        vectors, frames = stored(framed(folder), feature)
        for name, rows in (("train", range(5)), ("validation", range(5, 7)), ("test", range(7, 9))):
            table = pq.read_table(tmp_path / f"out/data/{name}.parquet").to_pylist()
            for row, found in zip(rows, table, strict=True):
                if row not in frames:
                    assert found[feature] is found[f"{feature}_frames"] is found[f"{feature}_times"] is None
                    assert found[f"{feature}_status"] == "silent"
                    continue
                seen += 1
                np.testing.assert_array_equal(np.float32(found[f"{feature}_frames"]), frames[row].values)
                np.testing.assert_array_equal(np.float32(found[feature]), vectors.values[row])
                if feature == "text":
                    assert f"{feature}_times" not in found
                    spans = spans_of(frames[row])
                    assert spans is not None
                    said = [None if start < 0 else [start, end] for start, end in spans.tolist()]
                    assert found["text_spans"] == said
                    assert said[0] is said[-1] is None
                    text = f"This is number {row}."
                    own = [span for span in said if span]
                    assert "".join(text[start:end] for start, end in own) == text.replace(" ", "")
                else:
                    assert f"{feature}_spans" not in found
                    np.testing.assert_array_equal(found[f"{feature}_times"], frames[row].times)
    assert seen == 4 * 9 - 2
    card = (tmp_path / "out/README.md").read_text()
    assert "`audio_frames` holds the frames behind `audio`, each 26 numbers (pcm_intensity_sma" in card
    assert "`text_frames` holds the frames behind `text`, each 32 numbers; they have no times, but places" in card
    fields = {
        field["name"]: field
        for field in json.loads((tmp_path / "out/croissant.json").read_text())["recordSet"][0]["field"]
    }
    assert fields["audio.wavlm_frames"]["dataType"] == "sc:Float"
    assert fields["audio.wavlm_frames"]["repeated"]
    assert fields["text_spans"]["dataType"] == "sc:Integer"
    assert pq.ParquetFile(tmp_path / "out/data/train.parquet").num_row_groups > 1
    assert not [*(tmp_path / "out").rglob("*.tmp")]


def test_mmsa_s_unaligned_pickle_is_padded_and_comes_back_as_means(folder: Path, tmp_path: Path, capsys) -> None:
    chosen = ("--set", "model.features=['text', 'wavlm', 'vit']")
    answer = command(folder, capsys, "export", str(tmp_path / "out"), "--layout", "mmsa", *chosen)
    assert "text is a row a token: set MMSA's use_bert to false, for there is no text_bert" in answer["notes"]
    assert "frames are not aligned: set MMSA's need_data_aligned to false" in answer["notes"]
    content = pickle.loads((tmp_path / "out/features.pkl").read_bytes())
    for key, feature in (("text", "text"), ("audio", "audio.wavlm"), ("vision", "visual.vit")):
        _, frames = stored(framed(folder), feature)
        for split, rows in (("train", range(5)), ("valid", range(5, 7)), ("test", range(7, 9))):
            part = content[split]
            counts = [len(frames[row].values) if row in frames else 1 for row in rows]
            assert part[f"{key}_lengths"] == counts
            assert part[key].dtype == np.float32
            assert part[key].shape == (len(rows), max(counts), next(iter(frames.values())).values.shape[1])
            assert (f"{key}_times" in part) == (key != "text")
            assert (f"{key}_spans" in part) == (key == "text")
            for at, row in enumerate(rows):
                assert not part[key][at, counts[at] :].any()
                if row in frames:
                    np.testing.assert_array_equal(part[key][at, : counts[at]], frames[row].values)
                    if key != "text":
                        np.testing.assert_array_equal(part[f"{key}_times"][at, : counts[at]], frames[row].times)
                        assert np.isnan(part[f"{key}_times"][at, counts[at] :]).all()
                    else:
                        np.testing.assert_array_equal(part["text_spans"][at, : counts[at]], spans_of(frames[row]))
                        assert (part["text_spans"][at, counts[at] :] == -1).all()
    back = read_features(tmp_path / "out/features.pkl")
    assert back.present["audio"].tolist() == [row != SILENT for row in range(9)]
    for name, feature in (("text", "text"), ("audio", "audio.wavlm"), ("visual", "visual.vit")):
        _, frames = stored(framed(folder), feature)
        for row, one in frames.items():
            np.testing.assert_allclose(back.features[name][row], one.values.mean(0), rtol=1e-4, atol=1e-5)


def test_a_pickle_that_would_not_fit_is_refused_in_a_line(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(export_layouts, "os", SimpleNamespace(sysconf=lambda name: 400))
    chosen = ("--set", "model.features=['text', 'wavlm', 'vit']")
    error = command(folder, capsys, "export", str(tmp_path / "out"), "--layout", "mmsa", *chosen, code=1)["error"]
    assert "a third of this machine's memory" in error
    assert "choose --layout merbench or parquet" in error
    assert not (tmp_path / "out").exists()


def test_merbench_gets_an_array_a_clip(folder: Path, tmp_path: Path, capsys) -> None:
    answer = command(folder, capsys, "export", str(tmp_path / "out"), "--layout", "merbench")
    assert {Path(path).name for path in answer["files"]} >= {"audio-wavlm-FRA", "audio-wavlm-UTT", "text-FRA"}
    names = framed_names(folder)
    for feature in FEATURES:
        vectors, frames = stored(framed(folder), feature)
        place = f"{feature.replace('.', '-')}-FRA"
        for row, name in enumerate(names):
            values = np.load(tmp_path / f"out/features/{place}/{name}.npy")
            times = tmp_path / f"out/times/{place}/{name}.npy"
            assert times.exists() == (feature != "text")
            spans = tmp_path / f"out/spans/{place}/{name}.npy"
            assert spans.exists() == (feature == "text")
            if feature == "text":
                np.testing.assert_array_equal(np.load(spans), spans_of(frames[row]))
            if row in frames:
                np.testing.assert_array_equal(values, frames[row].values)
                if feature != "text":
                    np.testing.assert_array_equal(np.load(times), frames[row].times)
            else:
                assert values.shape[0] == 1
                assert not values.any()
            utterance = np.load(tmp_path / f"out/features/{place.replace('FRA', 'UTT')}/{name}.npy")
            np.testing.assert_array_equal(utterance, vectors.values[row])


def framed_names(folder: Path) -> list[str]:
    return [name.replace("/", "_") for name in corpus.kept(framed(folder)).table["utterance"]]


def test_plan_explain_and_status_say_what_is_there(folder: Path, tmp_path: Path, capsys) -> None:
    plain_plan = ("--config", str(folder / "plain.toml"))
    capsys.readouterr()
    assert cli.main(["plan", *plain_plan, "--set", "audio.level=frame"]) == 2, "cells are pending"
    assert "setting level default -> frame (9 cells)" in capsys.readouterr().out
    (name,) = corpus.kept(framed(folder)).table["utterance"][:1]
    found = command(folder, capsys, "explain", name)
    assert found["cells"]["audio"]["extractor"]["settings"]["level"] == "frame"
    assert found["cells"]["audio"]["state"] == "done"
    frames = command(folder, capsys, "status")["store"]["frames"]
    assert frames["files"] == 4
    on_disk = [path.stat().st_size for path in (folder / "work/store/frames").iterdir()]
    assert frames["bytes"] == sum(on_disk)
    assert command(folder, capsys, "fsck")["frames"] == 4
    assert cli.main(["status", *plain_plan]) == 0
    assert "frames" not in capsys.readouterr().out


def test_memory_does_not_grow_with_the_chunk(folder: Path, tmp_path: Path, monkeypatch) -> None:
    """Frames of a few are computed, stored and let go before the next."""
    project = load_project(folder / "bigfusion.toml", assignments=[f"workspace.path={tmp_path}"])
    planned = cells.plan(project, corpus.ingest(project).manifest)
    feature = FeatureName("audio.wavlm")
    monkeypatch.setattr(cells, "_AT_ONCE", {feature.modality: 2})
    monkeypatch.setattr(cells.pieces, "__defaults__", (100_000,))
    seen: list[int] = []
    maker = cells.extractor(project, feature)
    do = maker.extract

    def extract(utterances, progress):
        outcomes = do(utterances, progress)
        seen.append(sum(isinstance(outcome, FramedFeature) for outcome in outcomes))
        return outcomes

    monkeypatch.setattr(maker, "extract", extract)
    (result,) = cells.extract_chunk(project, planned.manifest, planned.pending(feature), "r")
    assert seen == [2, 1, 2, 2, 1]
    assert result.statuses == {"ok": 8, "silent": 1}
    with project.files.store() as store:
        assert len(store.folder.frames()) >= 5
        assert all(entry.bytes < 130_000 for entry in store.folder.entries(store.folder.frames()))
    found, frames = stored(project, str(feature))
    expected, others = stored(framed(folder), str(feature))
    np.testing.assert_array_equal(found.values, expected.values)
    assert frames.keys() == others.keys()
